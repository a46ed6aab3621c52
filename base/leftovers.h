/* leftovers.h - what a fetch that was killed leaves in a repository of our own. */
#pragma once

/* Removes lock files and unfinished packs below directory `path`. The caller holds the repository
 * alone, so that no lock in it is anybody's any more. What can't be removed, the next fetch tells.
 */
void leftovers_clear(const char *path);
