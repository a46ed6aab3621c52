/* aside.h - a function run to its end in a process that shares this one's memory, while this one
 * stands still: for what a process can do to itself only, or not undo. */
#pragma once

#include <sys/types.h>

/* `flags` of clone(2) are added to CLONE_VM and CLONE_VFORK. The process is reaped, whatever the
 * caller's way with SIGCHLD. 0 or -errno of clone. */
int aside(unsigned flags, int (*run)(void *argument), void *argument);

/* The same, for a function that ends by executing a program, which goes on, as an ordinary child:
 * the caller reaps it. All signals are blocked in it. 0 or -errno of clone. */
int aside_leave(int (*run)(void *argument), void *argument, pid_t *pid, int *pidfd);
