#include "sandbox/oom_log.h"

#include "base/owned.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The longest record that the kernel gives. */
#define RECORD_MAX 8192

/* "oom-kill:constraint=...,task_memcg=/a/b/NAME,task=COMM,pid=N,uid=U" */
bool oom_log_parse(const char *line, const char *name, char *out, size_t size)
{
	const char *group = strstr(line, ",task_memcg="), *task, *pid;
	size_t length, name_length = strlen(name);

	if (!strstr(line, "oom-kill:") || !group)
		return false;
	group += strlen(",task_memcg=");
	task = strstr(group, ",task=");
	pid = task ? strstr(task + 1, ",pid=") : NULL;
	if (!pid)
		return false;
	length = (size_t)(task - group);
	if (length <= name_length || memcmp(task - name_length, name, name_length) != 0 ||
	    task[-(long)name_length - 1] != '/')
		return false;
	task += strlen(",task=");
	(void)snprintf(out, size, "%.*s (pid %d)", (int)(pid - task), task,
		       atoi(pid + strlen(",pid=")));
	for (char *at = out; *at; at++) /* a process names itself as it likes */
		if (!isprint((unsigned char)*at))
			*at = '?';
	return true;
}

bool oom_log_victim(const char *name, char *out, size_t size)
{
	owned_fd fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool found = false;

	while (fd >= 0) {
		char record[RECORD_MAX + 1];
		ssize_t n = read(fd, record, RECORD_MAX);

		if (n < 0 && errno == EPIPE) /* overwritten meanwhile: go on with the next */
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		found |= oom_log_parse(record, name, out, size);
	}
	return found;
}
