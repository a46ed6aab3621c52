/* check.h - what the tests of base share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fresh directory and its name, for setup(); scratch_stop() expects it empty again, or removes
 * what plain rm can. */
struct scratch {
	char path[64];
	int fd;
};

static inline int scratch_start(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	strcpy(s->path, "/tmp/cupel-base-XXXXXX");
	*state = s;
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->fd < 0 ? -1 : 0;
}

static inline int scratch_stop(void **state)
{
	struct scratch *s = *state;
	char command[96];
	int rc;

	(void)snprintf(command, sizeof(command), "rm -rf -- %s", s->path);
	rc = system(command);
	(void)close(s->fd);
	free(s);
	return rc;
}

static inline void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static inline int is_there(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What `act` returns in a child process, 0 to 255; -1 when it ends in another way. */
static inline int in_child(int (*act)(void *with), void *with)
{
	int status;
	pid_t pid;

	(void)fflush(NULL); /* else the child would write it, too */
	pid = fork();
	if (pid == 0)
		exit(act(with)); /* rather than _exit(), for coverage is written then */
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
