/* surroundings.h - what a caller must find where he is, told before something fails for want of it.
 */
#pragma once

#include "base/error.h"

/* The /proc of his own processes, a root that is none of a chroot, and the capabilities that root
 * works with. 0, or -errno and a sentence with the remedy. Looked at until it was right once. */
int surroundings_check(struct error *err);
