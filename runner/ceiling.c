#include "runner/ceiling.h"

#include "base/units.h"
#include "sandbox/sandbox.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_TASKS 2048 /* when neither job file nor owner says; others are the protocol's */

/* Where the owner sets none: a job file must not fill the logs' disk or hold a slot for weeks. */
#define CEILING_TIME_MS ((uint64_t)24 * 60 * 60 * 1000)
#define CEILING_OUTPUT  ((uint64_t)1 << 30) /* bytes */

static const char *remedy_for(const char *limit)
{
	if (strcmp(limit, "disk") == 0)
		return "its worktrees stand on a larger file system; put them (--work) on one no larger, "
		       "such as a tmpfs of that size, or leave disk and inodes out";
	return "run as root, or have the service manager delegate the cgroup (cupel-sandbox "
	       "--check tells more)";
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

static uint64_t share(uint64_t all, uint32_t slots)
{
	return all && all / slots ? all / slots : all ? 1 : 0;
}

/* The wish, or the default where it can be held, under the ceiling. */
static uint64_t settle(uint64_t wish, uint64_t otherwise, bool holds, uint64_t ceiling)
{
	return least(wish ? wish : holds ? otherwise : 0, ceiling);
}

/* A limit that every job has, and that has a ceiling in any case. */
static uint64_t settle_always(uint64_t wish, uint64_t otherwise, uint64_t ceiling,
			      uint64_t ceiling_otherwise)
{
	return settle(wish, otherwise, true, ceiling ? ceiling : ceiling_otherwise);
}

static void settle_all(const Cupel__Limits *wish, const struct owner_limits *owner, unsigned can,
		       Cupel__Limits *out)
{
	const Cupel__Limits *ceiling = &owner->ceiling;

	cupel__limits__init(out);
	out->wall_ms =
		settle_always(wish->wall_ms, LIMIT_WALL_MS, ceiling->wall_ms, CEILING_TIME_MS);
	out->idle_ms =
		settle_always(wish->idle_ms, LIMIT_IDLE_MS, ceiling->idle_ms, CEILING_TIME_MS);
	out->output = settle_always(wish->output, LIMIT_OUTPUT, ceiling->output, CEILING_OUTPUT);
	out->cpu_time_ms = settle(wish->cpu_time_ms, 0, true, ceiling->cpu_time_ms);
	out->disk = settle(wish->disk, 0, true, ceiling->disk);
	out->inodes = settle(wish->inodes, 0, true, ceiling->inodes);
	out->files = settle(wish->files, 0, true, ceiling->files);
	/* a share of the owner's whole, so that jobs without wishes fit into their slots */
	out->memory = settle(wish->memory, share(owner->memory, owner->slots), true,
			     least(ceiling->memory, owner->memory));
	out->cpu_milli = (uint32_t)settle(wish->cpu_milli, share(owner->cpu_milli, owner->slots),
					  true, least(ceiling->cpu_milli, owner->cpu_milli));
	out->tasks = settle(wish->tasks,
			    owner->tasks ? share(owner->tasks, owner->slots) : DEFAULT_TASKS,
			    can & SANDBOX_CAN_TASKS, least(ceiling->tasks, owner->tasks));
}

/* Which limit of these can't be held: its name, or NULL. */
static const char *unheld(const Cupel__Limits *limits, unsigned can)
{
	const struct {
		uint64_t value;
		unsigned bit;
		const char *name;
	} all[] = {
		{limits->memory, SANDBOX_CAN_MEMORY, "memory"},
		{limits->tasks, SANDBOX_CAN_TASKS, "tasks"},
		{limits->cpu_milli, SANDBOX_CAN_CPU, "cpus"},
		{limits->cpu_time_ms, SANDBOX_CAN_CPU_TIME, "cpu_time"},
		{limits->disk | limits->inodes, SANDBOX_CAN_DISK, "disk"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i].value && !(can & all[i].bit))
			return all[i].name;
	return NULL;
}

static bool fits(const char *what, uint64_t need, uint64_t all, uint64_t taken,
		 void (*format)(uint64_t, char *, size_t), struct error *reason)
{
	char needed[32], left[32];

	if (!all || !need || (taken <= all && need <= all - taken))
		return true;
	format(need, needed, sizeof(needed));
	format(taken < all ? all - taken : 0, left, sizeof(left));
	(void)error_say(reason, EAGAIN, "it needs %s %s, of which %s are left", needed, what, left);
	return false;
}

static void format_count(uint64_t n, char *out, size_t size)
{
	(void)snprintf(out, size, "%llu", (unsigned long long)n);
}

static void format_cpus(uint64_t milli, char *out, size_t size)
{
	(void)snprintf(out, size, "%.3g", (double)milli / 1000);
}

enum ceiling_answer ceiling_grant(const Cupel__Limits *wish, const struct owner_limits *owner,
				  const struct taken *taken, unsigned can, Cupel__Limits *granted,
				  struct error *reason)
{
	static const Cupel__Limits nothing = CUPEL__LIMITS__INIT;
	const char *name;

	settle_all(wish ? wish : &nothing, owner, can, granted);
	name = unheld(granted, can);
	if (name) {
		(void)error_say(reason, ENOTSUP, "this runner can't hold a limit of %s: %s", name,
				remedy_for(name));
		return CEILING_NEVER;
	}
	if (taken->slots >= owner->slots) {
		(void)error_say(reason, EAGAIN, "all %u slots are taken", owner->slots);
		return CEILING_NOT_NOW;
	}
	if (!fits("memory", granted->memory, owner->memory, taken->memory, units_format_size,
		  reason) ||
	    !fits("tasks", granted->tasks, owner->tasks, taken->tasks, format_count, reason) ||
	    !fits("processors", granted->cpu_milli, owner->cpu_milli, taken->cpu_milli, format_cpus,
		  reason))
		return CEILING_NOT_NOW;
	return CEILING_GRANTED;
}

int ceiling_check(const struct owner_limits *owner, unsigned can, struct error *err)
{
	Cupel__Limits whole = owner->ceiling;
	const char *name;

	whole.memory |= owner->memory;
	whole.tasks |= owner->tasks;
	whole.cpu_milli |= owner->cpu_milli ? 1 : 0;
	name = unheld(&whole, can);
	if (name)
		return error_say(
			err, ENOTSUP,
			"a limit of %s was set, and nothing here can hold it: %s; or take the "
			"limit back",
			name, remedy_for(name));
	return 0;
}

void ceiling_take(struct taken *taken, const Cupel__Limits *granted)
{
	taken->slots++;
	taken->memory += granted->memory;
	taken->tasks += granted->tasks;
	taken->cpu_milli += granted->cpu_milli;
}

void ceiling_capacity(const struct owner_limits *owner, Cupel__Capacity *out)
{
	cupel__capacity__init(out);
	out->slots = owner->slots;
	out->cpu_milli = (uint32_t)owner->cpu_milli;
	out->memory = owner->memory;
	out->tasks = owner->tasks;
	out->ceiling = (Cupel__Limits *)&owner->ceiling; /* packed, never changed */
	out->network_host = owner->network_host;
}

static uint64_t left(uint64_t all, uint64_t taken)
{
	return taken < all ? all - taken : 0;
}

void ceiling_unused(const struct owner_limits *owner, const struct taken *taken,
		    Cupel__Capacity *out)
{
	ceiling_capacity(owner, out);
	out->slots = (uint32_t)left(owner->slots, taken->slots);
	out->cpu_milli = (uint32_t)left(owner->cpu_milli, taken->cpu_milli);
	out->memory = left(owner->memory, taken->memory);
	out->tasks = left(owner->tasks, taken->tasks);
}
