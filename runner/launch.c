#include "runner/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_FIRST  0x70000000u /* above the ranges that container managers take by themselves */
#define ID_COUNT  65536u
#define ID_BLOCKS 560u /* of LAUNCH_SLOTS ranges each, up to the end of the ids */

void launch_ids(uint32_t who, uint32_t slot, uid_t *id_base, uint32_t *id_count)
{
	*id_base = ID_FIRST + (who % ID_BLOCKS * LAUNCH_SLOTS + slot % LAUNCH_SLOTS) * ID_COUNT;
	*id_count = ID_COUNT;
}

void launch_room_done(struct launch_room *room)
{
	for (char **e = room->env; e && *e; e++)
		free(*e);
	free(room->env);
	free(room->argv);
	*room = (struct launch_room){0};
}

static char *variable(const char *name, const char *value)
{
	char *text;

	return asprintf(&text, "%s=%s", name, value ? value : "") < 0 ? NULL : text;
}

/* What every job is told; last, since what comes later wins. */
static int add_standard(const struct launch *l, char **env, size_t *n)
{
	char run[24];
	const char *const all[][2] = {
		{"CI", "true"},
		{"CUPEL", "1"},
		{"CUPEL_RUN", run},
		{"CUPEL_JOB", l->spec->name},
		{"CUPEL_COMMIT", l->commit},
		{"CUPEL_REF", l->ref},
		{"CUPEL_REPOSITORY", l->repository},
	};

	(void)snprintf(run, sizeof(run), "%llu", (unsigned long long)l->run);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		env[*n] = variable(all[i][0], all[i][1]);
		if (!env[*n])
			return -ENOMEM;
		(*n)++;
	}
	return 0;
}

static int fill_env(const struct launch *l, struct launch_room *room)
{
	size_t n = 0;

	room->env = calloc(l->spec->n_env + 8, sizeof(*room->env));
	if (!room->env)
		return -ENOMEM;
	for (size_t i = 0; i < l->spec->n_env; i++) {
		room->env[n] = variable(l->spec->env[i]->name, l->spec->env[i]->value);
		if (!room->env[n])
			return -ENOMEM;
		n++;
	}
	return add_standard(l, room->env, &n);
}

static int fill_argv(const struct launch *l, struct launch_room *room)
{
	const Cupel__JobSpec *spec = l->spec;

	room->argv = calloc(spec->n_argv + 5, sizeof(*room->argv));
	if (!room->argv)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_argv; i++)
		room->argv[i] = spec->argv[i];
	if (!spec->n_argv) {
		room->argv[0] = "sh";
		room->argv[1] = "-eu";
		room->argv[2] = "-c";
		room->argv[3] = spec->run;
	}
	return 0;
}

static void fill_limits(const Cupel__Limits *granted, struct sandbox_limits *out)
{
	*out = (struct sandbox_limits){
		.memory = granted->memory,
		.tasks = granted->tasks,
		.cpu_milli = granted->cpu_milli,
		.cpu_time_ms = granted->cpu_time_ms,
		.wall_ms = granted->wall_ms,
		.idle_ms = granted->idle_ms,
		.output = granted->output,
		.disk = granted->disk,
		.inodes = granted->inodes,
		.files = granted->files,
	};
}

static int fill_words(const Cupel__JobSpec *spec, struct sandbox_spec *out, struct error *err)
{
	static const char *const profiles[] = {"strict", "ci", "nested"}; /* as the enum counts */
	const char *profile = *spec->profile ? spec->profile : "ci";
	size_t i = 0;

	while (i < 3 && strcmp(profiles[i], profile) != 0)
		i++;
	if (i == 3)
		return error_say(err, EINVAL, "there is no profile '%.60s'", profile);
	out->profile = (enum sandbox_profile)i;
	if (*spec->network && strcmp(spec->network, "none") && strcmp(spec->network, "host"))
		return error_say(err, EINVAL, "there is no network '%.60s'", spec->network);
	out->network = strcmp(spec->network, "host") ? SANDBOX_NETWORK_NONE : SANDBOX_NETWORK_HOST;
	return 0;
}

int launch_fill(const struct launch *l, struct launch_room *room, struct sandbox_spec *out,
		struct error *err)
{
	int rc = fill_words(l->spec, out, err);

	if (rc < 0)
		return rc;
	if (!*l->spec->run && !l->spec->n_argv)
		return error_say(err, EINVAL, "job '%.100s' has nothing to run", l->spec->name);
	if (fill_env(l, room) < 0 || fill_argv(l, room) < 0)
		return error_set(err, ENOMEM, "start job '%.100s'", l->spec->name);
	fill_limits(l->granted, &out->limits);
	out->argv = room->argv;
	out->env = (const char *const *)room->env;
	out->merge_output = true;
	return 0;
}

/* --- results ------------------------------------------------------------ */

Cupel__Verdict launch_verdict(enum sandbox_verdict verdict)
{
	static const Cupel__Verdict verdicts[] = {
		[SANDBOX_PASSED] = CUPEL__VERDICT__VERDICT_PASSED,
		[SANDBOX_FAILED] = CUPEL__VERDICT__VERDICT_FAILED,
		[SANDBOX_TIMED_OUT] = CUPEL__VERDICT__VERDICT_TIMED_OUT,
		[SANDBOX_KILLED] = CUPEL__VERDICT__VERDICT_KILLED,
		[SANDBOX_CANCELLED] = CUPEL__VERDICT__VERDICT_CANCELLED,
		[SANDBOX_ERRORED] = CUPEL__VERDICT__VERDICT_ERRORED,
	};

	return verdicts[verdict];
}

void launch_usage(const struct sandbox_usage *usage, Cupel__Usage *out)
{
	cupel__usage__init(out);
	out->wall_ms = usage->wall_ms;
	out->cpu_user_ms = usage->cpu_user_ms;
	out->cpu_system_ms = usage->cpu_system_ms;
	out->memory_peak = usage->memory_peak;
	out->tasks_peak = usage->tasks_peak;
	out->disk_peak = usage->disk_peak;
	out->output_bytes = usage->output_bytes;
}

void launch_result(const struct sandbox_outcome *outcome, Cupel__Usage *usage,
		   Cupel__Denied *denied, Cupel__Denied **list, Cupel__Result *out)
{
	launch_usage(&outcome->usage, usage);
	out->verdict = launch_verdict(outcome->verdict);
	out->reason = (char *)outcome->reason;
	out->infrastructure = outcome->verdict == SANDBOX_ERRORED && outcome->infrastructure;
	out->exit_code = outcome->exit_code;
	out->signal = (uint32_t)outcome->signal;
	out->limit = (char *)(outcome->limit ? outcome->limit : "");
	out->usage = usage;
	out->n_denied = outcome->denied_count;
	out->denied = list;
	for (size_t i = 0; i < outcome->denied_count; i++) {
		cupel__denied__init(&denied[i]);
		denied[i].name = (char *)outcome->denied[i].name;
		denied[i].count = outcome->denied[i].count;
		denied[i].hint = (char *)(outcome->denied[i].hint ? outcome->denied[i].hint : "");
		list[i] = &denied[i];
	}
}
