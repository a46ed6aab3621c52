/* disk.h - a working directory as it is: to look for its jobs, and to copy it into a worktree. */
#pragma once

#include "runner/detect.h"

#include <sys/types.h>

/* A look at the directory `fd`, which it borrows; the struct holds no memory. */
struct detect_tree disk_tree(const int *fd);

/* Makes directory `name` in `dir` with a copy of `path`: of a git repository's working directory
 * what is tracked or not ignored, else all; never `.git`. Links are copied as links, modes as 0644
 * and 0755, sockets and devices are passed over. `owner` (uid_t)-1: whoever we are. */
int disk_copy(const char *path, int dir, const char *name, uid_t owner, struct error *err);
