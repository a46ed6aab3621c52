/* repository.h - git repositories made for tests by the git command, in a folder of their own. */
#pragma once

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lab {
	char path[64];
	int dir;
};

/* Runs a shell command in the lab, git's configuration out of reach. What it prints, without the
 * last newline, in a static buffer. Ends the test program when it fails. */
static inline char *lab_run(const struct lab *lab, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline char *lab_run(const struct lab *lab, const char *format, ...)
{
	static char output[65536];
	char command[9000], script[8000];
	size_t length;
	va_list args;
	FILE *pipe;

	va_start(args, format);
	(void)vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	(void)snprintf(command, sizeof(command),
		       "cd %s && export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null "
		       "GIT_AUTHOR_NAME=T GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=T "
		       "GIT_COMMITTER_EMAIL=t@example.org GIT_AUTHOR_DATE='1700000000 +0000' "
		       "GIT_COMMITTER_DATE='1700000000 +0000'; set -e; %s",
		       lab->path, script);
	pipe = popen(command, "r");
	length = pipe ? fread(output, 1, sizeof(output) - 1, pipe) : 0;
	output[length] = '\0';
	if (length && output[length - 1] == '\n')
		output[length - 1] = '\0';
	if (!pipe || pclose(pipe) != 0) {
		(void)fprintf(stderr, "failed: %s\n", script);
		abort();
	}
	return output;
}

static inline void lab_open(struct lab *lab)
{
	if (!lab)
		abort();
	(void)umask(022);
	(void)strcpy(lab->path, access("/dev/shm", W_OK) == 0 ? "/dev/shm/cupel-unit-XXXXXX"
							      : "/tmp/cupel-unit-XXXXXX");
	if (!mkdtemp(lab->path))
		abort();
	lab->dir = open(lab->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void lab_close(struct lab *lab)
{
	char command[256];

	(void)close(lab->dir);
	(void)snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", lab->path,
		       lab->path);
	if (system(command) != 0)
		abort();
}
