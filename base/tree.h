/* tree.h - removing a directory that a stranger has filled. */
#pragma once

#include "base/error.h"

/* Removes `name` in `dir` and all below it. Links are removed, never followed; mounts are not
 * crossed (-EBUSY names the place); ten thousand levels and directories without permission bits
 * are no obstacle, and the descriptors in use don't grow with the depth. A name that isn't there
 * is fine, and so is a file. Nobody else may still be filling it. Where it fails, what is left may
 * lie directly in `name` under made-up names. */
int tree_remove(int dir, const char *name, struct error *err);

/* Lets the owner read, search and change the directory `path`, an O_PATH descriptor will do. What
 * fails here shows itself when the directory is used. */
void tree_unlock(int path);
