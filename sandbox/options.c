#include "sandbox/options.h"

#include "base/units.h"
#include "sandbox/cpuset.h"

#include <stdlib.h>
#include <string.h>

const char options_help[] =
	"usage: cupel-sandbox [OPTION...] -- COMMAND [ARG...]\n"
	"\n"
	"Runs COMMAND behind walls, with the current directory as its read-write worktree.\n"
	"\n"
	"  --memory SIZE     memory of all its processes together, 512M; over it all are killed\n"
	"  --tasks N         processes and threads, its first process included: 2 or more\n"
	"  --cpus N          processors, 1.5\n"
	"  --cpu-weight N    its share when processors are short, 1 to 10000, usually 100\n"
	"  --cpu-time TIME   processor time of all its processes together, 5m\n"
	"  --wall TIME       time until it is stopped, 10m\n"
	"  --idle TIME       time without output until it is stopped, 1m\n"
	"  --output SIZE     bytes that it may print; over it, it is stopped\n"
	"  --cut-output      over --output the rest is thrown away instead, and it goes on\n"
	"  --disk SIZE       bytes that it may write\n"
	"  --inodes N        files that it may make\n"
	"  --io-read SIZE, --io-write SIZE  bytes a second from and to each disk that it may write on\n"
	"  --io-read-ops N, --io-write-ops N  requests a second\n"
	"  --io-weight N     its share when these disks are busy, 1 to 10000, usually 100\n"
	"  --cpuset LIST     the processors that it may run on, 0-1,3\n"
	"  --files N         descriptors of one process\n"
	"  --network MODE    none (its own loopback; the default) or host\n"
	"  --workdir DIR     the worktree, instead of the current directory\n"
	"  --bare            no worktree: a private, empty directory\n"
	"  --launcher        starts it by a launcher, as programs with many jobs do\n"
	"  --root DIR        a directory to be the root, instead of the host's /usr\n"
	"  --bind FROM[:TO[:rw]]  shows a file or directory of the host inside, read-only or not\n"
	"  --env NAME=VALUE  adds a variable; nothing is inherited\n"
	"  --profile NAME    system calls: strict, ci (the default) or nested\n"
	"  --report FILE     writes how it ended as JSON\n"
	"  --check           tells what this host offers, and how to get what is missing\n"
	"  --prove           attacks itself on this host and tells what held\n"
	"  --help, --version\n"
	"\n"
	"Exit status: the command's own; 128+N for its own signal N; 124 for a time limit; 125 when\n"
	"the sandbox could not be set up; 126 and 127 when the command can't be executed or found;\n"
	"137 for another limit.\n";

/* What a limit's value was found to be; none of them is 0. */
static int told(int rc, const uint64_t *got, const char *value, const char *like, struct error *err)
{
	if (rc == -ERANGE)
		return error_say(err, EINVAL, "'%.60s' is too large", value);
	if (rc < 0)
		return error_say(err, EINVAL, "'%.60s' is not a %s", value, like);
	if (*got == 0)
		return error_say(err, EINVAL, "0 is no limit; leave the option out for none");
	return 0;
}

static int set_size(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)o;
	return told(units_parse_size(value, out), out, value, "size like 512M", err);
}

static int set_time(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)o;
	return told(units_parse_time(value, out), out, value, "time like 90s or 10m", err);
}

static int set_milli(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)o;
	return told(units_parse_milli(value, out), out, value, "number like 1.5", err);
}

static int set_count(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	char *end;

	(void)o;
	errno = 0;
	*out = strtoull(value, &end, 10);
	return told(*end || *value < '0' || *value > '9' ? -EINVAL : -errno, out, value,
		    "number above 0", err);
}

static int set_cpuset(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	struct cpuset set;

	(void)out;
	if (strlen(value) >= sizeof(o->spec.limits.cpuset) || cpuset_parse(value, &set) < 0)
		return error_say(err, EINVAL, "'%.60s' is not a list of processors like 0-1,3",
				 value);
	memcpy(o->spec.limits.cpuset, value, strlen(value) + 1);
	return 0;
}

static int set_network(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)out;
	if (strcmp(value, "none") != 0 && strcmp(value, "host") != 0)
		return error_say(err, EINVAL, "network '%.60s': there are none and host", value);
	o->spec.network = *value == 'h' ? SANDBOX_NETWORK_HOST : SANDBOX_NETWORK_NONE;
	return 0;
}

static int set_profile(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	static const char *const names[] = {"strict", "ci", "nested"};

	(void)out;
	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0) {
			o->spec.profile = (enum sandbox_profile)i;
			return 0;
		}
	return error_say(err, EINVAL, "profile '%.60s': there are strict, ci and nested", value);
}

static int set_env(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)out;
	if (o->env_count == OPTIONS_ENV_MAX)
		return error_say(err, EINVAL, "more than %d variables", OPTIONS_ENV_MAX);
	if (!strchr(value, '=') || *value == '=')
		return error_say(err, EINVAL, "'%.60s' is not a variable: write NAME=VALUE", value);
	o->env[o->env_count++] = value;
	return 0;
}

/* FROM[:TO[:rw]] */
static int set_bind(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	struct sandbox_bind *bind = &o->binds[o->spec.bind_count];
	char *text, *to, *mode = NULL;

	(void)out;
	if (o->spec.bind_count == OPTIONS_BINDS_MAX)
		return error_say(err, EINVAL, "more than %d binds", OPTIONS_BINDS_MAX);
	text = strdup(value);
	if (!text)
		return error_set(err, ENOMEM, "bind");
	o->bind_text[o->spec.bind_count++] = text;
	to = strchr(text, ':');
	if (to) {
		*to++ = '\0';
		mode = strchr(to, ':');
	}
	if (mode)
		*mode++ = '\0';
	if (mode && strcmp(mode, "rw") != 0 && strcmp(mode, "ro") != 0)
		return error_say(err, EINVAL, "bind '%.100s': after the second ':' comes rw or ro",
				 value);
	*bind = (struct sandbox_bind){
		.from = text, .to = to && *to ? to : NULL, .writable = mode && mode[1] == 'w'};
	return 0;
}

static int set_string(struct options *o, const char **out, const char *value, struct error *err)
{
	(void)o;
	if (!*value)
		return error_say(err, EINVAL, "an empty name");
	*out = value;
	return 0;
}

static int set_root(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)out;
	return set_string(o, &o->spec.root, value, err);
}

static int set_workdir(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)out;
	return set_string(o, &o->spec.worktree, value, err);
}

static int set_report(struct options *o, uint64_t *out, const char *value, struct error *err)
{
	(void)out;
	return set_string(o, &o->report, value, err);
}

#define LIMIT(name) offsetof(struct options, spec.limits.name)

static const struct {
	const char *name;
	int (*set)(struct options *o, uint64_t *out, const char *value, struct error *err);
	size_t at;
} options[] = {
	{"--memory", set_size, LIMIT(memory)},
	{"--tasks", set_count, LIMIT(tasks)},
	{"--cpus", set_milli, LIMIT(cpu_milli)},
	{"--cpu-weight", set_count, LIMIT(cpu_weight)},
	{"--cpu-time", set_time, LIMIT(cpu_time_ms)},
	{"--wall", set_time, LIMIT(wall_ms)},
	{"--idle", set_time, LIMIT(idle_ms)},
	{"--output", set_size, LIMIT(output)},
	{"--disk", set_size, LIMIT(disk)},
	{"--inodes", set_count, LIMIT(inodes)},
	{"--io-read", set_size, LIMIT(io_read)},
	{"--io-write", set_size, LIMIT(io_write)},
	{"--io-read-ops", set_count, LIMIT(io_read_ops)},
	{"--io-write-ops", set_count, LIMIT(io_write_ops)},
	{"--io-weight", set_count, LIMIT(io_weight)},
	{"--cpuset", set_cpuset, 0},
	{"--files", set_count, LIMIT(files)},
	{"--network", set_network, 0},
	{"--profile", set_profile, 0},
	{"--env", set_env, 0},
	{"--bind", set_bind, 0},
	{"--root", set_root, 0},
	{"--workdir", set_workdir, 0},
	{"--report", set_report, 0},
};

static const struct {
	const char *name;
	enum options_action action;
} actions[] = {
	{"--check", OPTIONS_CHECK},       {"--prove", OPTIONS_PROVE},
	{"--resident", OPTIONS_RESIDENT}, /* of no use by hand */
	{"--help", OPTIONS_HELP},         {"--version", OPTIONS_VERSION},
};

/* "--name=value", or "--name" and the value behind it; *used is how many words that were. */
static int parse_option(struct options *o, const char *const *words, int count, int *used,
			struct error *err)
{
	const char *word = words[0], *is = strchr(word, '=');
	size_t length = is ? (size_t)(is - word) : strlen(word);

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *value = is ? is + 1 : NULL;
		int rc;

		if (strlen(options[i].name) != length || memcmp(options[i].name, word, length) != 0)
			continue;
		if (!value && count < 2)
			return error_say(err, EINVAL, "%s needs a value", options[i].name);
		*used = value ? 1 : 2;
		value = value ? value : words[1];
		rc = options[i].set(o, (uint64_t *)(void *)((char *)o + options[i].at), value, err);
		return rc < 0 ? error_prefix(err, "%s", options[i].name) : 0;
	}
	return error_say(err, EINVAL, "unknown option '%.60s'; see --help", word);
}

/* The words without a value. */
static bool parse_word(struct options *o, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"--launcher", &o->by_launcher},
		     {"--bare", &o->bare},
		     {"--cut-output", &o->spec.cut_output}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(word, flags[i].name) == 0) {
			*flags[i].flag = true;
			return true;
		}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(word, actions[i].name) == 0) {
			o->action = actions[i].action;
			return true;
		}
	return false;
}

static int check_together(const struct options *o, struct error *err)
{
	if (o->bare && o->spec.worktree)
		return error_say(err, EINVAL, "--bare and --workdir exclude each other");
	if (o->spec.cut_output && !o->spec.limits.output)
		return error_say(err, EINVAL, "--cut-output cuts at --output: give that, too");
	return 0;
}

int options_parse(int argc, const char *const *argv, struct options *o, struct error *err)
{
	int at = 1, rc = 0, used = 1;

	*o = (struct options){.spec = {.profile = SANDBOX_CI}};
	for (; at < argc && argv[at][0] == '-' && rc == 0; at += used) {
		used = 1;
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (!parse_word(o, argv[at]))
			rc = parse_option(o, argv + at, argc - at, &used, err);
	}
	o->spec.binds = o->binds;
	o->spec.env = o->env;
	o->spec.argv = argv + at;
	if (rc == 0 && o->action == OPTIONS_RUN && at >= argc)
		rc = error_say(err, EINVAL, "no command; see --help");
	if (rc == 0)
		rc = check_together(o, err);
	if (rc < 0)
		options_done(o);
	return rc;
}

void options_done(struct options *o)
{
	for (size_t i = 0; i < OPTIONS_BINDS_MAX; i++) {
		free(o->bind_text[i]);
		o->bind_text[i] = NULL;
	}
}
