/* launch.h - from a job's spec to a sandbox, and from the sandbox's outcome to a result. */
#pragma once

#include "proto/message.h"
#include "sandbox/sandbox.h"

/* Who and what is being tested, for the job's environment. */
struct launch {
	const Cupel__JobSpec *spec;
	const Cupel__Limits *granted;
	uint64_t run; /* 0: none, a run by hand */
	const char *commit, *ref, *repository;
};

/* Argument list and environment of a job: made once, borrowed by the sandbox's spec. */
struct launch_room {
	char **env;        /* owned, NULL-terminated */
	const char **argv; /* owned, NULL-terminated; its strings are borrowed */
};
void launch_room_done(struct launch_room *room);

/* Fills command, environment, profile, network and limits of `out`; the rest is the caller's. */
int launch_fill(const struct launch *l, struct launch_room *room, struct sandbox_spec *out,
		struct error *err);

/* A range of host ids for one job of a caller who is root: `who` tells callers on one box apart,
 * `slot` (below LAUNCH_SLOTS) his jobs. Worktrees belong to id_base + SANDBOX_UID. */
#define LAUNCH_SLOTS 64
void launch_ids(uint32_t who, uint32_t slot, uid_t *id_base, uint32_t *id_count);

Cupel__Verdict launch_verdict(enum sandbox_verdict verdict);
void launch_usage(const struct sandbox_usage *usage, Cupel__Usage *out);

/* What of a result comes from the outcome. `usage`, `denied` and `list` are room for it: the result
 * borrows them and the outcome. */
void launch_result(const struct sandbox_outcome *outcome, Cupel__Usage *usage,
		   Cupel__Denied *denied, Cupel__Denied **list, Cupel__Result *out);
