/* target.h - the place inside where a bind shall stand, reached without following any link. */
#pragma once

#include <stdbool.h>

/* Opens (O_PATH) the absolute `path` below `root`, making what is missing: directories, and a file
 * at the end unless `directory`. What a link leads to is refused (ELOOP), and nothing is made in a
 * worktree or another bind (EROFS, EACCES). -1 and errno. */
int target_open(int root, const char *path, bool directory);
