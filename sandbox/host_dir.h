/* host_dir.h - the directories that are the host itself, or everybody's: nobody's worktree. */
#pragma once

#include <sys/stat.h>

/* Which of them `st` is, under whatever name; NULL: none. By its `path` (or "") also one that was
 * mounted lately. */
const char *host_dir_name(const char *path, const struct stat *st);
