#include "sandbox/denied.h"

#include "sandbox/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

/* Answers in one go; a job that is denied without end must not hold its caller. */
#define ANSWERS_MAX 64

/* Larger than today's structures: a newer kernel writes as much as its own have. */
union notification {
	struct seccomp_notif request;
	char bytes[512];
};

static void count(struct denied_calls *calls, int number)
{
	size_t i = 0;

	while (i < calls->used && calls->number[i] != number)
		i++;
	if (i == SANDBOX_DENIED_MAX)
		return; /* as many kinds as can be told are told */
	if (i == calls->used) {
		calls->number[i] = number;
		calls->used++;
	}
	calls->count[i]++;
}

static bool answer_one(int listener, struct denied_calls *calls)
{
	union notification asked = {.bytes = {0}};
	struct seccomp_notif_resp answer = {0};

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
		return errno == ENOENT || errno == EINTR; /* the caller died meanwhile */
	count(calls, asked.request.data.nr);
	answer.id = asked.request.id;
	answer.error = -filter_errno(asked.request.data.nr);
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT;
}

bool denied_answer(int listener, struct denied_calls *calls)
{
	for (int i = 0; i < ANSWERS_MAX; i++) {
		struct pollfd wait = {.fd = listener, .events = POLLIN};

		if (poll(&wait, 1, 0) <= 0 || wait.revents == 0)
			return true;
		if (!(wait.revents & POLLIN) || !answer_one(listener, calls))
			return false;
	}
	return true;
}

void denied_report(const struct denied_calls *calls, struct sandbox_outcome *out)
{
	out->denied_count = calls->used;
	for (size_t i = 0; i < calls->used; i++) {
		struct sandbox_denied *d = &out->denied[i];

		filter_name(calls->number[i], d->name, sizeof(d->name));
		d->count = calls->count[i];
		d->hint = filter_hint(calls->number[i]);
	}
}
