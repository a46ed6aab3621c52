#include "cli/subcommands.h"

#include "cli/told.h"

struct values {
	uint64_t slots, cpus, memory, tasks;
	uint64_t job_cpus, job_memory, job_tasks, job_wall;
};

static const struct option_row rows[] = {
	{"slots", 0, OPTION_COUNT, "N", "jobs at a time", offsetof(struct values, slots)},
	{"cpus", 0, OPTION_MILLI, "X", "processors of all jobs together",
	 offsetof(struct values, cpus)},
	{"memory", 0, OPTION_SIZE, "SIZE", "memory of all jobs together",
	 offsetof(struct values, memory)},
	{"tasks", 0, OPTION_COUNT, "N", "processes and threads of all jobs together",
	 offsetof(struct values, tasks)},
	{"job-cpus", 0, OPTION_MILLI, "X", "processors of one job, at most",
	 offsetof(struct values, job_cpus)},
	{"job-memory", 0, OPTION_SIZE, "SIZE", "memory of one job, at most",
	 offsetof(struct values, job_memory)},
	{"job-tasks", 0, OPTION_COUNT, "N", "processes and threads of one job, at most",
	 offsetof(struct values, job_tasks)},
	{"job-wall", 0, OPTION_TIME, "TIME", "time of one job, at most",
	 offsetof(struct values, job_wall)},
};

static uint32_t narrow(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static bool says_nothing(const struct values *v)
{
	return !v->slots && !v->cpus && !v->memory && !v->tasks && !v->job_cpus && !v->job_memory &&
	       !v->job_tasks && !v->job_wall;
}

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	Cupel__SetLimits wish = CUPEL__SET_LIMITS__INIT;
	Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;
	Cupel__Limits ceiling = CUPEL__LIMITS__INIT;
	owned(client) *c = NULL;
	struct error err = {0};

	if (says_nothing(v)) {
		(void)error_say(&err, EINVAL,
				"no limit was named; `cupel runners` shows them as they are");
		return cli_usage(cli, &command_limits, &err);
	}
	wish.runner = (char *)cli_word(cli, 0);
	wish.capacity = &capacity;
	capacity.slots = narrow(v->slots);
	capacity.cpu_milli = narrow(v->cpus);
	capacity.memory = v->memory;
	capacity.tasks = v->tasks;
	ceiling.cpu_milli = narrow(v->job_cpus);
	ceiling.memory = v->job_memory;
	ceiling.tasks = v->job_tasks;
	ceiling.wall_ms = v->job_wall;
	if (v->job_cpus || v->job_memory || v->job_tasks || v->job_wall)
		capacity.ceiling = &ceiling;
	if (client_open(cli, CUPEL__ROLE__ROLE_ADMIN, &c, &err) < 0)
		return cli_fail(cli, &err);
	return told(cli, c, FRAME_SET_LIMITS, &wish.base);
}

const struct command command_limits = {
	.name = "limits",
	.synopsis = "RUNNER",
	.summary = "changes what a runner may use, while it works",
	.details =
		"What isn't named stays as it is, and jobs that run keep what they were granted. It holds\n"
		"until the runner starts again: for good, write it into its runner.yml.",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.asks = true,
	.run = run,
};
