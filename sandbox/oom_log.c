#include "sandbox/oom_log.h"

#include "base/clock.h"
#include "base/owned.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The longest record that the kernel gives. */
#define RECORD_MAX 8192

/* The path up to `end` is that of a group of this name. */
static bool names(const char *path, const char *end, const char *name)
{
	size_t length = (size_t)(end - path), name_length = strlen(name);

	return length > name_length && memcmp(end - name_length, name, name_length) == 0 &&
	       end[-(long)name_length - 1] == '/';
}

/* "oom-kill:constraint=...,oom_memcg=/a/b,task_memcg=/a/b/NAME,task=COMM,pid=N,uid=U"; the first is
 * the group whose limit it was; ",global_oom" instead: the host's. */
bool oom_log_parse(const char *line, const char *name, struct oom_kill *out)
{
	static const char limit[] = ",oom_memcg=", group[] = ",task_memcg=", task[] = ",task=",
			  pid[] = ",pid=";
	const char *limit_at = strstr(line, limit), *group_at = strstr(line, group);
	const char *task_at = group_at ? strstr(group_at, task) : NULL;
	const char *pid_at = task_at ? strstr(task_at, pid) : NULL;

	if (!strstr(line, "oom-kill:") || !pid_at ||
	    !names(group_at + strlen(group), task_at, name))
		return false;
	out->own_limit =
		limit_at && limit_at < group_at && names(limit_at + strlen(limit), group_at, name);
	task_at += strlen(task);
	(void)snprintf(out->victim, sizeof(out->victim), "%.*s (pid %d)", (int)(pid_at - task_at),
		       task_at, atoi(pid_at + strlen(pid)));
	for (char *at = out->victim; *at; at++) /* a process names itself as it likes */
		if (!isprint((unsigned char)*at))
			*at = '?';
	return true;
}

/* The log's clock is the processor's, without the corrections that others get, and stands still
 * while the machine sleeps. */
#define SLACK_MS    2000
#define DRIFT_SHARE 2000 /* of the time since the machine started: 500 ppm, the most of NTP */

/* The moment in microseconds of that clock, or somewhat before. */
static int64_t in_log_time(int64_t boot_ms)
{
	struct timespec now;
	int64_t now_ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
	return (now_ms - (clock_boot_ms() - boot_ms) - SLACK_MS - now_ms / DRIFT_SHARE) * 1000;
}

bool oom_log_find(const char *name, int64_t since, struct oom_kill *out)
{
	owned_fd fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int64_t earliest = in_log_time(since);
	bool found = false;

	while (fd >= 0) {
		char record[RECORD_MAX + 1];
		long long at; /* "PRIORITY,NUMBER,MICROSECONDS,FLAGS;text" */
		ssize_t n = read(fd, record, RECORD_MAX);

		if (n < 0 && errno == EPIPE) /* overwritten meanwhile: go on with the next */
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		if (sscanf(record, "%*u,%*u,%lld", &at) == 1 && at >= earliest)
			found = oom_log_parse(record, name, out) || found;
	}
	return found;
}
