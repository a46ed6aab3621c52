/* host_dir.h - the directories that are the host itself, or everybody's: nobody's worktree. */
#pragma once

#include <sys/stat.h>

/* Which of them `path` (a real one, or "") or `st` is, under whatever name; NULL: none. */
const char *host_dir_name(const char *path, const struct stat *st);
