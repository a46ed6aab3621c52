/* ready_root.h - a mount namespace that holds the usual root and nothing of the host's besides: a
 * process born in it has its root already, at a cost that no mount of the host adds to. */
#pragma once

#include "base/error.h"
#include "sandbox/ids.h"

/* A descriptor of a new one, for setns(). The process is where it was afterwards; it must have one
 * thread with these mounts, and be root or in a user namespace of its own. -errno. */
int ready_root_new(const struct ids *ids, struct error *err);
