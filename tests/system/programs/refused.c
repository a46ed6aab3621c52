/* Tries calls that no profile allows, and prints what came of each. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	long number;
} calls[] = {
	{"bpf", SYS_bpf},
	{"perf_event_open", SYS_perf_event_open},
	{"io_uring_setup", SYS_io_uring_setup},
};

int main(void)
{
	char nothing[256] = {0};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		long rc = syscall(calls[i].number, 1L, nothing, 64L, -1L, 0L);

		printf("%s %s\n", calls[i].name, rc < 0 ? strerrorname_np(errno) : "done");
	}
	return 0;
}
