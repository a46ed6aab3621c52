/* launch.h - the parent's side of a launch: from a plan to a running program. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/plan.h"

/* Descriptors that come when it is too late for a refusal: the first process's of the launcher, the
 * listener, and two that the job is watched by. */
#define LAUNCH_RESERVE 4

struct launched {
	int pidfd;      /* of pid 1 of the job */
	pid_t pid;      /* of a child of this process, to be reaped; 0: the launcher's */
	int control;    /* says struct message */
	int output[2];  /* stdout, stderr; the second is -1 when they are one */
	int written[2]; /* their other ends: that the job's own are closed wakes nobody so */
	int listener;   /* of the filter; -1: none */
	uint32_t birth; /* of the launcher's: which */
	struct sandbox_launcher *launcher; /* borrowed; who reaps it, or NULL, */
	bool born_inside;                  /* its v2 group */
	bool reaped;                       /* and has told so while it was set up */
	int status;                        /* as wait(2) tells it, where it died before that */
	bool may_have_run;                 /* the program: it was about to be executed */
	int reserve[LAUNCH_RESERVE];       /* -1: there is none */
};

#define LAUNCHED_NONE                                                                              \
	((struct launched){.pidfd = -1,                                                            \
			   .control = -1,                                                          \
			   .output = {-1, -1},                                                     \
			   .written = {-1, -1},                                                    \
			   .listener = -1,                                                         \
			   .reserve = {-1, -1, -1, -1}})

/* Makes the job's first process, or, where the launcher was asked for it (launcher_birth()) and
 * `l->control` is there already, all else that it needs. On failure nothing of it is left. */
int launch_begin(struct plan *plan, struct sandbox_launcher *launcher, struct cgroup *cg,
		 struct launched *l, struct error *err);

/* Waits for it. The program is executed next when this returns 0 and `failure` has no word; with
 * WORD_FAILED there it never was, and nothing is left of it. Groups stay the caller's. */
int launch_end(struct plan *plan, struct cgroup *cg, struct launched *l, struct message *failure,
	       struct error *err);

/* Kills and reaps the job, and closes everything but what its status was. `rc`, which `err` tells,
 * is why. Returns it; where the job doesn't die after some seconds, `err` tells that, too, with the
 * name of its groups, and 0 becomes -ETIMEDOUT. */
int launched_kill(struct launched *l, const char *groups, int rc, struct error *err);

/* Closes what is open. The job must be over. */
void launched_done(struct launched *l);
