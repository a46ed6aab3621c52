#include "proto/link_inside.h"

#include "base/fd.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A host that takes nothing for so long is given up, so that the dialler can try anew. */
#define UNACKNOWLEDGED_MS 30000

/* --- looking a name up -------------------------------------------------- */

/* getaddrinfo() blocks, for half a minute when a name server is away; a runner's leases don't wait
 * for that. So a thread of its own asks, and says through a pipe that it is done. Shared by both:
 * the last one frees it. */
struct lookup {
	atomic_int users;
	struct link_address address;
	int done; /* the pipe's end to write to */
	int failure;
	struct addrinfo *found;
};

static void lookup_free(struct lookup *u)
{
	if (!u || atomic_fetch_sub(&u->users, 1) > 1)
		return;
	if (u->found)
		freeaddrinfo(u->found);
	if (u->done >= 0)
		(void)close(u->done); /* a pipe: nothing can fail */
	free(u);
}
OWNED(lookup)

static void *lookup_run(void *context)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct lookup *u = context;
	int fd = u->done;

	u->failure = getaddrinfo(u->address.host, u->address.port, &hints, &u->found);
	u->done = -1;
	lookup_free(u);
	(void)close(fd); /* only now: the other side reads its end as "done" */
	return NULL;
}

static int lookup_start(struct lookup *u)
{
	sigset_t all, old;
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	atomic_fetch_add(&u->users, 1);
	(void)sigfillset(&all);                         /* these can't fail */
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the loop's */
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attributes, lookup_run, u);
	(void)pthread_attr_destroy(&attributes);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		atomic_fetch_sub(&u->users, 1);
	return -rc;
}

/* --- dialling over TCP -------------------------------------------------- */

struct dialling {
	struct link *link; /* borrowed */
	struct link_token token;
	struct lookup *lookup;
	int pipe;
	struct event looked_up;
	struct addrinfo *next; /* of the lookup's, to try when this one fails */
	char name[300];
};

void dialling_free(struct dialling *d)
{
	if (!d)
		return;
	event_del(&d->looked_up);
	if (d->pipe >= 0)
		(void)close(d->pipe); /* a pipe: nothing can fail */
	lookup_free(d->lookup);
	explicit_bzero(&d->token, sizeof(d->token));
	free(d);
}
OWNED(dialling)

static int connect_to(const struct addrinfo *a, int *out)
{
	const unsigned patience = UNACKNOWLEDGED_MS;
	owned_fd fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	link_keep_alive(fd);
	/* Comfort: without it the kernel gives up after a quarter of an hour. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof(patience));
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
		return -errno;
	*out = give_fd(&fd);
	return 0;
}

static void try_next(struct link *l, int last_failure)
{
	struct dialling *d = l->dialling;
	char name[sizeof(d->name)];

	while (d->next) {
		const struct addrinfo *a = d->next;
		int fd = -1;

		d->next = a->ai_next;
		last_failure = -connect_to(a, &fd);
		if (last_failure)
			continue;
		link_watch(l, fd);
		(void)event_add(&l->writable, NULL); /* without memory the deadline ends it */
		return;
	}
	strcpy(name, d->name);
	link_over(l, last_failure, "connect to %s: %s", name, strerror(last_failure));
}

static void on_looked_up(evutil_socket_t fd, short what, void *context)
{
	struct dialling *d = context;
	struct link *l = d->link;
	char name[sizeof(d->name)];

	(void)fd;
	(void)what;
	link_enter(l);
	atomic_thread_fence(memory_order_acquire);
	strcpy(name, d->name);
	if (d->lookup->failure) {
		link_over(l, ENOENT, "look up %s: %s", name, gai_strerror(d->lookup->failure));
	} else {
		d->next = d->lookup->found;
		try_next(l, ENOENT);
	}
	link_leave(l);
}

void dialling_writable(struct link *l)
{
	struct dialling *d = l->dialling;
	struct link_tls *tls = NULL;
	int failure = 0, fd = l->fd;
	socklen_t length = sizeof(failure);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length) < 0)
		failure = errno;
	if (failure) {
		link_watch(l, -1);
		(void)close(fd); /* it never was connected */
		try_next(l, failure);
		return;
	}
	if (link_tls_connect(&d->token, fd, &tls) < 0) {
		link_over(l, ENOMEM, "no memory for TLS");
		return;
	}
	dialling_free(give(l->dialling));
	if (link_attach(l, fd, tls) < 0)
		link_over(l, ENOMEM, "no memory for an event");
	else
		event_active(&l->readable, EV_READ, 0); /* begins the handshake */
}

static int dial_tcp(struct link *l, const struct link_address *address,
		    const struct link_token *token)
{
	owned(dialling) *d = calloc(1, sizeof(*d));
	owned(lookup) *u = calloc(1, sizeof(*u));
	int ends[2];

	if (!d || !u)
		return -ENOMEM;
	d->link = l;
	d->token = *token;
	d->pipe = u->done = -1;
	u->users = 1;
	u->address = *address;
	event_assign(&d->looked_up, l->base, -1, EV_READ, on_looked_up, d);
	link_address_format(address, d->name, sizeof(d->name));
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	d->pipe = ends[0];
	u->done = ends[1];
	event_assign(&d->looked_up, l->base, d->pipe, EV_READ, on_looked_up, d);
	if (event_add(&d->looked_up, NULL) < 0)
		return -ENOMEM;
	link_deadline(l, LINK_PATIENCE_MS);
	d->lookup = give(u);
	l->dialling = give(d);
	return lookup_start(l->dialling->lookup);
}

/* --- dialling a unix socket --------------------------------------------- */

static int dial_unix(struct link *l, const char *path)
{
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who;
	socklen_t length = sizeof(who);
	struct sockaddr_un a;
	int rc = link_unix_address(path, &a);

	if (fd < 0 || rc < 0)
		return fd < 0 ? -errno : rc;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int failure = errno == EAGAIN ? EBUSY : errno; /* its queue is full */

		link_over(l, failure, "connect to unix:%s: %s", path, strerror(failure));
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
		return -errno;
	l->peer.local = true;
	l->peer.uid = who.uid;
	l->peer.pid = who.pid;
	return link_attach(l, give_fd(&fd), NULL);
}

int link_dial(struct event_base *base, const struct link_address *address,
	      const struct link_token *token, const struct link_callbacks *callbacks, void *context,
	      struct link **out, struct error *err)
{
	owned(link) *l = NULL;
	char name[300];
	int rc;

	link_address_format(address, name, sizeof(name));
	if (!*address->path && !token)
		return error_say(err, EINVAL,
				 "dial %s: a join token is needed (cupel enroll prints one)", name);
	if (!*address->path && strcmp(address->port, "0") == 0)
		return error_say(err, EINVAL, "dial %s: 0 is no port to dial", name);
	l = link_new(base);
	if (!l)
		return error_set(err, ENOMEM, "dial %s", name);
	link_set_callbacks(l, callbacks, context);
	rc = *address->path ? dial_unix(l, address->path) : dial_tcp(l, address, token);
	if (rc < 0)
		return error_set(err, -rc, "dial %s", name);
	*out = give(l);
	return 0;
}
