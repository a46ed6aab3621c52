/* network.h - network namespaces: made ahead, entered for a birth, and their loopback. */
#pragma once

#include "base/error.h"

/* Brings lo up in this process's network namespace. 0 or -errno. */
int network_loopback(void);

/* Moves this thread into a new namespace with lo up: a descriptor of it, or -errno. */
int network_unshare(void);

/* -EINVAL when that is no network namespace. */
int network_check(int fd, struct error *err);

/* Moves this process into the namespace `fd`, and gives a descriptor of the one it was in, to go
 * back with. */
int network_enter(int fd, struct error *err);
