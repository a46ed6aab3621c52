#include "sandbox/outlet.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct chunk {
	struct chunk *next;
	int to;
	size_t length;
	char bytes[];
};

struct outlet {
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;
	struct chunk *first, **end; /* the first is being written */
	bool runs;
	int broken;
	int empty; /* an eventfd */
};

/* The reader's end may have been made non-blocking, by him or by anybody else. */
static int write_all(const struct chunk *c)
{
	size_t done = 0;

	while (done < c->length) {
		struct pollfd wait = {.fd = c->to, .events = POLLOUT};
		ssize_t n = write(c->to, c->bytes + done, c->length - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			(void)poll(&wait, 1, -1);
		else if (errno != EINTR)
			return errno;
	}
	return 0;
}

static void *pass_on(void *argument)
{
	struct outlet *o = argument;

	(void)pthread_mutex_lock(&o->lock);
	for (;;) {
		struct chunk *c;
		int broken = o->broken;

		while (!o->first)
			(void)pthread_cond_wait(&o->more, &o->lock);
		c = o->first;
		(void)pthread_mutex_unlock(&o->lock);
		if (!broken)
			broken = write_all(c);
		(void)pthread_mutex_lock(&o->lock);
		o->broken = broken;
		o->first = c->next;
		free(c);
		if (!o->first) {
			o->end = &o->first;
			(void)eventfd_write(o->empty, 1);
		}
	}
	return NULL;
}

int outlet_new(struct outlet **out)
{
	struct outlet *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->empty = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->empty < 0) {
		int code = errno;

		free(o);
		return -code;
	}
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_cond_init(&o->more, NULL);
	o->end = &o->first;
	*out = o;
	return 0;
}

static int run(struct outlet *o)
{
	pthread_t thread;
	int rc = o->runs ? 0 : pthread_create(&thread, NULL, pass_on, o);

	if (rc == 0 && !o->runs)
		(void)pthread_detach(thread);
	o->runs = o->runs || rc == 0;
	return rc;
}

void outlet_put(struct outlet *o, int to, const void *bytes, size_t length)
{
	struct chunk *c = malloc(sizeof(*c) + length);
	int rc;

	(void)pthread_mutex_lock(&o->lock);
	rc = c ? run(o) : ENOMEM;
	if (rc == 0) {
		*c = (struct chunk){.to = to, .length = length};
		memcpy(c->bytes, bytes, length);
		*o->end = c;
		o->end = &c->next;
		(void)pthread_cond_signal(&o->more);
	} else {
		o->broken = rc;
		free(c);
	}
	(void)pthread_mutex_unlock(&o->lock);
}

bool outlet_is_empty(struct outlet *o)
{
	bool empty;

	(void)pthread_mutex_lock(&o->lock);
	empty = !o->first;
	(void)pthread_mutex_unlock(&o->lock);
	return empty;
}

int outlet_broken(struct outlet *o)
{
	int broken;

	(void)pthread_mutex_lock(&o->lock);
	broken = o->broken;
	(void)pthread_mutex_unlock(&o->lock);
	return broken;
}

void outlet_free(struct outlet *o)
{
	if (!o || o->runs) /* it may stand in a write for ever: it ends with the process */
		return;
	(void)close(o->empty);
	free(o);
}

int outlet_fd(const struct outlet *o)
{
	return o->empty;
}

void outlet_heard(struct outlet *o)
{
	eventfd_t count;

	(void)eventfd_read(o->empty, &count);
}
