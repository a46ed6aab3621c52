/* sys.h - system calls without a wrapper in glibc 2.36, and constants newer than Debian's headers.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* A descriptor on `path` below `dir`, no part of which is a link; -1 and errno (ELOOP: a link).
 * `resolve` is added to openat2's RESOLVE_*; where there is no openat2, as inside another sandbox,
 * the path is walked, and RESOLVE_BENEATH refuses "..". */
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve);

/* The same without that call; `beneath`: as RESOLVE_BENEATH. */
int sys_walk(int dir, const char *path, uint64_t flags, bool beneath);

static inline pid_t sys_clone3(struct clone_args *args)
{
	return (pid_t)syscall(SYS_clone3, args, sizeof(*args));
}

/* The old call, for where clone3 isn't: the same flags, no cgroup, handlers stay. */
static inline pid_t sys_clone(uint64_t flags, int *pidfd)
{
	return (pid_t)syscall(SYS_clone, flags & 0xffffffff, 0, pidfd, 0, 0);
}

static inline int sys_pidfd_send_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* A set of one signal, as the kernel has it. The calls below are made without the library where a
 * job's child makes them: what it hasn't run yet of the library is a page fault for each job. */
#define SYS_SIGNAL(number) (UINT64_C(1) << ((number)-1))

static inline void sys_block_signals(uint64_t set)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, sizeof(set));
}

/* Every signal as a new process would have it; the library's own calls leave out two of its own. */
static inline void sys_default_signals(void)
{
	static const unsigned long
		usual[4]; /* the kernel's struct sigaction: handler, flags, restorer, mask */

	for (int i = 1; i < _NSIG; i++) /* refused for SIGKILL and SIGSTOP */
		(void)syscall(SYS_rt_sigaction, i, usual, NULL, 8UL);
}

static inline int sys_pivot_root(const char *to, const char *old)
{
	return (int)syscall(SYS_pivot_root, to, old);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}
