/* filter.h - the system call filter as bytes, made once per process and kind. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

#include <linux/filter.h>

struct filter {
	/* Tells the caller of each denied call through a seccomp listener, who answers with
	 * filter_errno(). */
	struct sock_fprog loud;
	/* The same, answered by the kernel: for where there can be no listener. */
	struct sock_fprog quiet;
};

/* What a filter denies beyond its profile. */
enum {
	/* Modes with setuid or setgid bits for files: the worktree's land as root's on the disk.
	 * And in profile nested extended attributes, among which are capabilities: root of a user
	 * namespace inside may give them (user_namespaces(7)), and the host honours them. */
	FILTER_SETID = 1,
	/* Control group namespaces: below one a job can mount its own groups, and these belong to
	 * its user, limits and all. */
	FILTER_CGROUPS = 2,
	/* Changing the limits and the priority of process 1, which is of the job's own user where
	 * only one id could be mapped: a limit of processor time would kill it, and the verdict be
	 * that of a broken sandbox. It can't be traced, and takes no signal from inside. */
	FILTER_FIRST = 4,
	FILTER_ALL = 7,
};

/* It lives as long as the process. */
int filter_get(enum sandbox_profile profile, unsigned more, const struct filter **out,
	       struct error *err);

/* What a denied call of that number returns: a positive errno. */
int filter_errno(int number);

/* What would allow the system call that the filter denied; static, never NULL. */
const char *filter_hint(int number);

/* Its name, or "syscall N". */
void filter_name(int number, char *out, size_t size);
