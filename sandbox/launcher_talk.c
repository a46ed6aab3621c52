#include "sandbox/launcher_talk.h"

#include "base/clock.h"
#include "sandbox/launcher.h"
#include "sandbox/packet.h"
#include "sandbox/sys.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct first *first_new(struct sandbox_launcher *l)
{
	struct first *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->id = ++l->last_id;
	b->control = b->pidfd = -1;
	return b;
}

void first_add(struct sandbox_launcher *l, struct first *b)
{
	struct first **end = &l->births;

	while (*end)
		end = &(*end)->next;
	*end = b;
}

struct first *first_find(struct sandbox_launcher *l, uint32_t id)
{
	struct first *b = l->births;

	while (b && b->id != id)
		b = b->next;
	return b;
}

void first_free(struct sandbox_launcher *l, struct first *b)
{
	if (b->control >= 0)
		(void)close(b->control);
	if (b->pidfd >= 0) {
		(void)sys_pidfd_send_signal(b->pidfd, SIGKILL);
		(void)close(b->pidfd);
	}
	graves_add(&l->graves, b->cg);
	free(b);
}

struct first *first_take(struct sandbox_launcher *l, struct first *b)
{
	struct first **at = &l->births;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	return b;
}

/* Nobody waits for it any more: it must not live on. */
static void refuse(int pidfd)
{
	if (pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	(void)close(pidfd);
}

void talk_note(struct sandbox_launcher *l, const struct resident_answer *a, int fd)
{
	struct first *b = first_find(l, a->id);

	if (!b || b->forgotten) {
		refuse(fd);
		if (b)
			first_free(l, first_take(l, b));
		return;
	}
	b->answered = true;
	b->code = a->code;
	b->pidfd = fd;
	memcpy(b->text, a->text, sizeof(b->text));
}

int talk_hear(struct sandbox_launcher *l, int64_t until, struct resident_answer *out, int *fd,
	      struct error *err)
{
	int fds[PACKET_FDS_MAX];
	size_t count;
	ssize_t n = packet_receive(l->socket, until, out, sizeof(*out), fds, &count);

	*fd = count ? fds[0] : -1;
	if (n == -EMFILE) {
		out->code = EMFILE;
		(void)snprintf(out->text, sizeof(out->text), "hear from the launcher");
	}
	if (n == sizeof(*out) || n == -EMFILE)
		return 0;
	if (n == 0)
		return launcher_died(err);
	return error_set(err, n < 0 ? (int)-n : EPROTO, "hear from the launcher");
}

void talk_hear_all(struct sandbox_launcher *l)
{
	struct pollfd wait = {.fd = l->socket, .events = POLLIN};
	struct resident_answer a;
	int fd;

	while (poll(&wait, 1, 0) > 0 && talk_hear(l, 0, &a, &fd, NULL) == 0)
		talk_note(l, &a, fd);
}

int talk_await(struct sandbox_launcher *l, uint32_t id, struct resident_answer *out, int *fd,
	       struct error *err)
{
	int64_t until = clock_boot_ms() + ANSWER_MS;

	for (;;) {
		int rc = talk_hear(l, until, out, fd, err);

		if (rc < 0)
			return rc;
		if (out->id == id)
			return out->code ? error_set(err, out->code, "%s", out->text) : 0;
		talk_note(l, out, *fd);
	}
}

int talk_ask(struct sandbox_launcher *l, const struct resident_ask *q, const int *fds, size_t count,
	     struct error *err)
{
	size_t length = offsetof(struct resident_ask, path) + strlen(q->path) + 1;
	int rc = packet_send(l->socket, q, length, fds, count);

	if (rc == -EPIPE || rc == -ECONNRESET)
		return launcher_died(err);
	return rc < 0 ? error_set(err, -rc, "speak to the launcher") : 0;
}
