#include "sandbox/spec.h"

#include "base/units.h"
#include "sandbox/cpuset.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Inside, a bind must not stand over what the library itself puts there. */
static const char *const reserved[] = {"/proc", "/dev", "/etc", "/usr", "/tmp"};

bool spec_path_is_plain(const char *path)
{
	const char *at = path;

	if (*at != '/' || strlen(path) >= PATH_MAX || !at[1])
		return false;
	while (*at) {
		size_t length = strcspn(++at, "/");

		if (length == 0 || length > NAME_MAX || (length == 1 && at[0] == '.') ||
		    (length == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += length;
	}
	return true;
}

static bool climbs(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

static bool strings_fit(const char *const *strings)
{
	for (size_t i = 0; strings[i]; i++)
		if (i >= SPEC_STRINGS_MAX)
			return false;
	return true;
}

static int check_command(const struct sandbox_spec *spec, struct error *err)
{
	if (!spec->argv || !spec->argv[0] || !*spec->argv[0])
		return error_say(err, EINVAL, "there is no command to run");
	if (!strings_fit(spec->argv))
		return error_say(err, EINVAL, "more than %d arguments", SPEC_STRINGS_MAX);
	if (!spec->env)
		return 0;
	if (!strings_fit(spec->env))
		return error_say(err, EINVAL, "more than %d variables", SPEC_STRINGS_MAX);
	for (size_t i = 0; spec->env[i]; i++) {
		const char *is = strchr(spec->env[i], '=');

		if (!is || is == spec->env[i])
			return error_say(err, EINVAL, "'%.60s' is not a variable: write NAME=VALUE",
					 spec->env[i]);
	}
	return 0;
}

static int check_name(const char *what, const char *name, const char *allowed, struct error *err)
{
	size_t length = strlen(name);

	if (length == 0 || length > SPEC_NAME_MAX || name[0] == '.' || name[0] == '-' ||
	    strspn(name, allowed) != length)
		return error_say(
			err, EINVAL,
			"%s '%.60s': 1 to %d letters, digits, '-', '_', '.', and no '.' or "
			"'-' first",
			what, name, SPEC_NAME_MAX);
	return 0;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

static int check_names(const struct sandbox_spec *spec, struct error *err)
{
	const char *parent = spec->cgroup_parent;
	int rc = 0;

	if (spec->name)
		rc = check_name("job name", spec->name, LETTERS, err);
	if (rc == 0 && spec->hostname)
		rc = check_name("host name", spec->hostname, LETTERS, err);
	if (rc == 0 && spec->hostname && strlen(spec->hostname) > 64)
		rc = error_say(err, EINVAL, "host name '%.70s': at most 64 bytes", spec->hostname);
	if (rc == 0 && parent && (!*parent || strstr(parent, "..") || parent[0] == '/'))
		rc = error_say(err, EINVAL,
			       "cgroup parent '%.60s': a relative name without '..' is needed",
			       parent);
	if (rc == 0 && parent)
		rc = check_name("cgroup parent", parent, LETTERS "/", err);
	return rc;
}

static bool is_reserved(const char *path)
{
	if (strcmp(path, SANDBOX_WORKTREE) == 0)
		return true;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(path, reserved[i]) == 0)
			return true;
	return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/dev/", 5) == 0;
}

static int check_bind(const struct sandbox_bind *bind, struct error *err)
{
	const char *to = bind->to ? bind->to : bind->from;

	if (!bind->from || bind->from[0] != '/')
		return error_say(err, EINVAL, "bind '%.100s': an absolute path is needed",
				 bind->from ? bind->from : "");
	if (!spec_path_is_plain(bind->from) || !spec_path_is_plain(to))
		return error_say(
			err, EINVAL,
			"bind '%.100s' to '%.100s': absolute paths without '.', '..', '//' "
			"or '/' at the end are needed, of names of up to %d bytes",
			bind->from, to, NAME_MAX);
	if (is_reserved(to))
		return error_say(err, EINVAL, "bind to '%.100s': that place is the sandbox's own",
				 to);
	return 0;
}

static int check_places(const struct sandbox_spec *spec, struct error *err)
{
	const char *dir = spec->workdir;

	if (spec->worktree && !spec->worktree_open && spec->worktree[0] != '/')
		return error_say(err, EINVAL, "worktree '%.100s': an absolute path is needed",
				 spec->worktree);
	if (spec->worktree_open && spec->worktree_fd < 0)
		return error_say(err, EINVAL, "the worktree's descriptor is not open");
	if (dir && (!*dir || dir[0] == '/' || climbs(dir)))
		return error_say(err, EINVAL,
				 "working directory '%.100s': a path below the worktree is needed",
				 dir);
	if (spec->root && (spec->root[0] != '/' || !spec_path_is_plain(spec->root)))
		return error_say(err, EINVAL, "root '%.100s': an absolute plain path is needed",
				 spec->root);
	if (spec->bind_count > SPEC_BINDS_MAX)
		return error_say(err, EINVAL, "more than %d binds", SPEC_BINDS_MAX);
	if (spec->bind_count && !spec->binds)
		return error_say(err, EINVAL, "%zu binds are announced, but there are none",
				 spec->bind_count);
	for (size_t i = 0; i < spec->bind_count; i++) {
		int rc = check_bind(&spec->binds[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_network(const struct sandbox_spec *spec, struct error *err)
{
	if ((unsigned)spec->network > SANDBOX_NETWORK_HOST)
		return error_say(err, EINVAL, "there is no network %d", (int)spec->network);
	if (spec->network_open && spec->network_fd < 0)
		return error_say(err, EINVAL, "the network namespace's descriptor is not open");
	return 0;
}

static int check_ids(const struct sandbox_spec *spec, struct error *err)
{
	if (spec->id_count == 0 && spec->id_base == 0)
		return 0;
	if (spec->id_count <= SANDBOX_UID)
		return error_say(err, EINVAL, "an id range of %u: more than %d are needed",
				 spec->id_count, SANDBOX_UID);
	if (spec->id_base == 0)
		return error_say(err, EINVAL,
				 "the id range starts at 0: root's own id is never given");
	if (spec->id_base > UINT32_MAX - 1 - spec->id_count)
		return error_say(err, EINVAL, "the id range %u+%u goes past the largest id",
				 spec->id_base, spec->id_count);
	return 0;
}

static int check_cpuset(const struct sandbox_limits *limits, struct error *err)
{
	struct cpuset set;
	int rc;

	if (strnlen(limits->cpuset, sizeof(limits->cpuset)) == sizeof(limits->cpuset))
		return error_say(err, EINVAL, "the cpuset is longer than %d bytes",
				 SANDBOX_CPUSET_SIZE - 1);
	rc = limits->cpuset[0] ? cpuset_parse(limits->cpuset, &set) : 0;
	if (rc == -ERANGE)
		return error_say(err, EINVAL, "cpuset '%.60s': processors 0 to %d make sense",
				 limits->cpuset, CPUSET_PROCESSORS - 1);
	return rc < 0 ? error_say(err, EINVAL, "cpuset '%.60s': a list like 0-1,3 is needed",
				  limits->cpuset)
		      : 0;
}

/* What a limit counts, and so how it is told. */
enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_TIME, UNIT_MILLI };

static const char *in_unit(enum unit unit, uint64_t value, char *out, size_t size)
{
	if (unit == UNIT_BYTES)
		units_format_size(value, out, size);
	else if (unit == UNIT_TIME)
		units_format_time(value, out, size);
	else if (unit == UNIT_MILLI)
		(void)snprintf(out, size, "%.10g", (double)value / 1000);
	else
		(void)snprintf(out, size, "%llu", (unsigned long long)value);
	return out;
}

int spec_check_limits(const struct sandbox_limits *limits, struct error *err)
{
	const struct {
		const char *name;
		enum unit unit;
		uint64_t value, min, max;
	} ranges[] = {
		{"memory", UNIT_BYTES, limits->memory, SPEC_MEMORY_MIN, SPEC_BYTES_MAX},
		{"tasks", UNIT_COUNT, limits->tasks, SPEC_TASKS_MIN, SPEC_TASKS_MAX},
		{"cpus", UNIT_MILLI, limits->cpu_milli, SPEC_CPU_MILLI_MIN, SPEC_CPU_MILLI_MAX},
		{"cpu weight", UNIT_COUNT, limits->cpu_weight, 1, 10000},
		{"cpu time", UNIT_TIME, limits->cpu_time_ms, SPEC_CPU_TIME_MIN_MS,
		 SPEC_TIME_MAX_MS},
		{"wall time", UNIT_TIME, limits->wall_ms, 1, SPEC_TIME_MAX_MS},
		{"idle time", UNIT_TIME, limits->idle_ms, 1, SPEC_TIME_MAX_MS},
		{"output", UNIT_BYTES, limits->output, 1, SPEC_BYTES_MAX},
		{"disk", UNIT_BYTES, limits->disk, 4096, SPEC_BYTES_MAX},
		{"inodes", UNIT_COUNT, limits->inodes, 16, SPEC_INODES_MAX},
		{"files", UNIT_COUNT, limits->files, SPEC_FILES_MIN, 1 << 30},
		{"io read (bytes a second)", UNIT_BYTES, limits->io_read, SPEC_IO_MIN,
		 SPEC_BYTES_MAX},
		{"io written (bytes a second)", UNIT_BYTES, limits->io_write, SPEC_IO_MIN,
		 SPEC_BYTES_MAX},
		{"io read (requests a second)", UNIT_COUNT, limits->io_read_ops, 1,
		 SPEC_IO_OPS_MAX},
		{"io written (requests a second)", UNIT_COUNT, limits->io_write_ops, 1,
		 SPEC_IO_OPS_MAX},
		{"io weight", UNIT_COUNT, limits->io_weight, 1, 10000},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t value = ranges[i].value, min = ranges[i].min, max = ranges[i].max;
		char text[3][32];

		if (value && (value < min || value > max))
			return error_say(err, EINVAL,
					 "limit of %s is %s: between %s and %s make sense",
					 ranges[i].name,
					 in_unit(ranges[i].unit, value, text[0], sizeof(text[0])),
					 in_unit(ranges[i].unit, min, text[1], sizeof(text[1])),
					 in_unit(ranges[i].unit, max, text[2], sizeof(text[2])));
	}
	return check_cpuset(limits, err);
}

int spec_check(const struct sandbox_spec *spec, struct error *err)
{
	int rc = check_command(spec, err);

	if (rc == 0)
		rc = check_names(spec, err);
	if (rc == 0)
		rc = check_places(spec, err);
	if (rc == 0)
		rc = check_ids(spec, err);
	if (rc == 0)
		rc = spec_check_limits(&spec->limits, err);
	if (rc == 0 && (unsigned)spec->profile > SANDBOX_NESTED)
		rc = error_say(err, EINVAL, "there is no profile %d", (int)spec->profile);
	if (rc == 0)
		rc = check_network(spec, err);
	return rc;
}
