/* ceiling.h - what a job gets: the least of its wish, the owner's ceiling, and what is left. Pure.
 */
#pragma once

#include "base/error.h"
#include "proto/message.h"

#include <stdbool.h>

/* What the box's owner gives. 0: not limited. */
struct owner_limits {
	uint32_t slots;
	uint64_t cpu_milli, memory, tasks; /* of all jobs together */
	Cupel__Limits ceiling; /* of one job; wall, idle, output: 0 is a day, a day, 1 GiB */
	bool network_host;
};

/* What running jobs have of the owner's cpus, memory, tasks. */
struct taken {
	uint32_t slots;
	uint64_t cpu_milli, memory, tasks;
};

enum ceiling_answer {
	CEILING_GRANTED,
	CEILING_NOT_NOW, /* it would fit once others have ended */
	CEILING_NEVER,   /* this box can't hold a limit that the job asks for */
};

/* Fills `granted`. `can` is sandbox_can(): a limit that nobody asked for is given only where it
 * holds. `reason` says why not. */
enum ceiling_answer ceiling_grant(const Cupel__Limits *wish, const struct owner_limits *owner,
				  const struct taken *taken, unsigned can, Cupel__Limits *granted,
				  struct error *reason);

/* Refuses an owner's limits that this box can't hold, with cause and remedy. */
int ceiling_check(const struct owner_limits *owner, unsigned can, struct error *err);

void ceiling_take(struct taken *taken, const Cupel__Limits *granted);

/* As the dispatcher is told: all, and what is unused. */
void ceiling_capacity(const struct owner_limits *owner, Cupel__Capacity *out);
void ceiling_unused(const struct owner_limits *owner, const struct taken *taken,
		    Cupel__Capacity *out);
