/* filter.h - the system call filter as bytes, made once per process and kind. Owner of libseccomp.
 */
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

/* `deny_setid`: modes with setuid or setgid bits can't be given to files, for a worktree whose
 * files land as root's on the disk. The filter lives as long as the process. */
int filter_get(enum sandbox_profile profile, bool deny_setid, const struct filter **out,
	       struct error *err);

/* What a denied call of that number returns: a positive errno. */
int filter_errno(int number);

/* What would allow the system call that the filter denied; static, never NULL. */
const char *filter_hint(int number);

/* Its name, or "syscall N". */
void filter_name(int number, char *out, size_t size);
