/* launcher.h - the caller's side of the launcher: its process, and the sandboxes it keeps ready. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/launch.h"
#include "sandbox/plan.h"

/* A first process for `plan`, with groups that hold the spec's limits: one that waits, or one asked
 * for now, which launcher_await() waits for. Fills out->control, and *cg. -ENOENT, -ESTALE: a
 * user's launcher doesn't see his worktree, and the plan is as it was. */
int launcher_birth(struct sandbox_launcher *l, struct plan *plan, struct cgroup **cg,
		   struct launched *out, struct error *err);

/* Its pidfd, into out->pidfd; it may have died already. */
int launcher_await(struct sandbox_launcher *l, struct launched *out, struct error *err);

/* The job failed before that, and nobody will wait. */
void launcher_forget(struct sandbox_launcher *l, const struct launched *job);

/* Lets it reap who is dead, of whom it says WORD_REAPED then. */
void launcher_reap(struct sandbox_launcher *l);

/* A job begins, runs, and is over, or will be soon. Then it reaps who is dead, and makes ahead what
 * was used: at once, or where some wait, when no more is asked of it for a moment. */
void launcher_join(struct sandbox_launcher *l);
void launcher_runs(struct sandbox_launcher *l);
void launcher_part(struct sandbox_launcher *l);

/* Removes what was left to it, and makes those ready that are missing: all when no job runs,
 * otherwise no more than one. Waits for nothing. */
void launcher_tend(struct sandbox_launcher *l);

/* For whose jobs run for long: makes one of those ready that are missing, when it is time, and no
 * other thread has its turn. When to look again (clock_boot_ms()), 0: none is missing. */
int64_t launcher_refill(struct sandbox_launcher *l, int64_t now);

/* Takes the groups of a job that is over, and removes them when there is time. */
void launcher_bury(struct sandbox_launcher *l, struct cgroup *cg);

/* The sentence about that it died: -ECHILD. */
int launcher_died(struct error *err);
