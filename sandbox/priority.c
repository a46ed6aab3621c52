#include "sandbox/priority.h"

#include "base/owned.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ioprio_set(2), linux/ioprio.h. */
#define IOPRIO_PROCESS  1
#define IOPRIO_REALTIME 1
#define IOPRIO_CLASS(p) ((p) >> 13)

/* One call for both, sched_getattr(2), which glibc 2.36 doesn't know. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t deadline[3];
};

int priority_drop(void)
{
	const struct sched_param none = {0};
	struct scheduling own = {.size = sizeof(own)};
	long io = syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0);
	bool unusual;

	if (syscall(SYS_sched_getattr, 0, &own, sizeof(own), 0) < 0)
		return -errno;
	unusual =
		own.policy != SCHED_OTHER && own.policy != SCHED_BATCH && own.policy != SCHED_IDLE;
	if (unusual && sched_setscheduler(0, SCHED_OTHER, &none) < 0)
		return -errno;
	/* The unusual tell no niceness, and have one. */
	if ((unusual || own.nice < 0) && getpriority(PRIO_PROCESS, 0) < 0 &&
	    setpriority(PRIO_PROCESS, 0, 0) < 0)
		return -errno;
	if (io >= 0 && IOPRIO_CLASS(io) == IOPRIO_REALTIME &&
	    syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, 0) < 0)
		return -errno;
	return 0;
}

/* 1, 0 or -errno. */
static int is_spared(void)
{
	owned_fd fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return errno ? -errno : -EIO;
	return text[0] == '-';
}

int priority_expose(pid_t pid, struct error *err)
{
	enum { UNKNOWN, SPARED, USUAL };
	static atomic_int own; /* as it was at the first job */
	const struct rlimit one = {1, 1};
	char path[64];
	owned_fd fd = -1;

	/* Nobody in a user namespace may raise 0; and who may not either leaves it. */
	(void)prlimit(pid, RLIMIT_CORE, &one, NULL);
	if (own == UNKNOWN) {
		int spared = is_spared();

		if (spared < 0)
			return error_set(err, -spared, "read /proc/self/oom_score_adj");
		own = spared ? SPARED : USUAL;
	}
	if (own == USUAL)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return error_set(err, errno, "write the job's oom_score_adj");
	return 0;
}
