/* birth.h - the one call that makes a job's first process, in its namespaces and groups. */
#pragma once

#include "sandbox/guise.h"
#include "sandbox/plan.h"

/* Makes the child: 0 in it, its pid in the parent, -1 and errno. `owner`: of its user namespace,
 * where root makes it; GUISE_NONE: whoever makes it. `network`: one of its own, too.
 * `group`: the v2 control group to be born into, -1: none; *born_inside tells whether that was had.
 * Its end is not signalled: nobody else's handling of SIGCHLD ever sees this child. */
pid_t birth(uid_t owner, bool network, int group, int *pidfd, bool *born_inside);

/* It has given up, or was killed: then it is no wonder that nothing can be done to it. Waits a
 * moment for that. */
bool birth_has_ended(int pidfd);

/* From now on nobody is born into a group, but enters it before he hears the word to go. Linux 6.14
 * ("cgroup: fix race between fork and cgroup.kill", also in stable kernels) kills who is born into
 * another group than his parent's where their counts of cgroup.kill differ (kernel/cgroup/cgroup.c,
 * kill_seq): for ever, when the parent's was once written to. No file tells beforehand. */
void birth_stay_outside(void);
bool birth_stays_outside(void);
