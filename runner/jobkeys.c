#include "runner/jobkeys.h"

#include "base/buffer.h"
#include "runner/jobfile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define LABEL_CHARACTERS NAME_CHARACTERS "+:/"
#define JOB_NAME_MAX     64

Cupel__JobSpec *jobkeys_new_spec(void)
{
	Cupel__JobSpec *spec = malloc(sizeof(*spec));

	if (!spec)
		return NULL;
	cupel__job_spec__init(spec);
	spec->limits = malloc(sizeof(*spec->limits));
	spec->network = strdup("none");
	spec->profile = strdup("ci");
	spec->rule = strdup(JOBFILE_NAME);
	if (spec->limits)
		cupel__limits__init(spec->limits);
	if (spec->limits && spec->network && spec->profile && spec->rule)
		return spec;
	cupel__job_spec__free_unpacked(spec, NULL);
	return NULL;
}

Cupel__JobSpec *jobkeys_copy(const Cupel__JobSpec *spec)
{
	size_t size = cupel__job_spec__get_packed_size(spec);
	uint8_t *packed = malloc(size ? size : 1);
	Cupel__JobSpec *copy = NULL;

	if (packed) {
		cupel__job_spec__pack(spec, packed);
		copy = cupel__job_spec__unpack(NULL, size, packed);
	}
	free(packed);
	return copy;
}

static int no_memory(const char *file, struct error *err)
{
	return error_set(err, ENOMEM, "read %s", file);
}

/* Replaces a string member, which may hold protobuf's shared empty string. */
static int set_string(const char *file, char **member, const char *text, struct error *err)
{
	char *copy = strdup(text);

	if (!copy)
		return no_memory(file, err);
	if (*member != (char *)protobuf_c_empty_string)
		free(*member);
	*member = copy;
	return 0;
}

int jobkeys_check_plain(const char *file, const struct config *c, const char *what,
			struct error *err)
{
	if (c->kind != CONFIG_SCALAR || !*c->text)
		return config_complain(file, c, err, "expected %s", what);
	for (const char *at = c->text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return config_complain(file, c, err, "%s can't hold control characters",
					       what);
	return 0;
}

int jobkeys_check_variable(const char *file, const struct config *c, struct error *err)
{
	const char *at = c->key;

	if (!isalpha((unsigned char)*at) && *at != '_')
		return config_complain(file, c, err, "'%.100s' can't be a variable's name", c->key);
	for (; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '_')
			return config_complain(file, c, err, "'%.100s' can't be a variable's name",
					       c->key);
	if (strlen(c->key) > 128)
		return config_complain(file, c, err, "a variable's name of more than 128 bytes");
	if (strncmp(c->key, "CUPEL", 5) == 0)
		return config_complain(file, c, err,
				       "'%.100s': names that begin with CUPEL are set by Cupel",
				       c->key);
	return 0;
}

int jobkeys_name(const char *file, const struct config *job, Cupel__JobSpec *spec,
		 struct error *err)
{
	size_t length = strlen(job->key);

	if (!length || length > JOB_NAME_MAX || !isalnum((unsigned char)*job->key) ||
	    strspn(job->key, NAME_CHARACTERS) != length)
		return config_complain(file, job, err,
				       "'%.100s' can't be a job's name: 1 to %d letters, digits, "
				       "'.', '_', '-', the first a letter or digit",
				       job->key, JOB_NAME_MAX);
	return set_string(file, &spec->name, job->key, err);
}

/* --- run ---------------------------------------------------------------- */

static int add_line(const char *file, const struct config *c, struct buffer *script,
		    struct error *err)
{
	if (c->kind != CONFIG_SCALAR)
		return config_complain(file, c, err, "expected a line of the script");
	if (buffer_printf(script, "%s%s", script->length ? "\n" : "", c->text) < 0)
		return no_memory(file, err);
	return 0;
}

static int read_run(const char *file, const struct config *c, Cupel__JobSpec *spec,
		    struct error *err)
{
	owned_buffer script = {0};
	int rc = 0;

	if (c->kind == CONFIG_MAP)
		return config_complain(file, c, err, "'run' must be a script or a list of lines");
	if (c->kind == CONFIG_SCALAR)
		rc = add_line(file, c, &script, err);
	for (const struct config *line = c->first; rc == 0 && line; line = line->next)
		rc = add_line(file, line, &script, err);
	if (rc < 0)
		return rc;
	if (!script.length || strspn(script.data, " \t\n") == script.length)
		return config_complain(file, c, err, "'run' is empty: what shall it do?");
	if (script.length > MESSAGE_SCRIPT_MAX)
		return config_complain(
			file, c, err,
			"a script of %zu bytes, at most %d fit: put it into a file of "
			"the repository",
			script.length, MESSAGE_SCRIPT_MAX);
	return set_string(file, &spec->run, script.data, err);
}

/* --- env ---------------------------------------------------------------- */

static Cupel__Variable *new_variable(const char *name, const char *value)
{
	Cupel__Variable *v = malloc(sizeof(*v));

	if (!v)
		return NULL;
	cupel__variable__init(v);
	v->name = strdup(name);
	v->value = strdup(value);
	if (v->name && v->value)
		return v;
	free(v->name);
	free(v->value);
	free(v);
	return NULL;
}

int jobkeys_set_env(Cupel__JobSpec *spec, const char *name, const char *value)
{
	Cupel__Variable *v = new_variable(name, value);
	Cupel__Variable **grown;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_env; i++) {
		if (strcmp(spec->env[i]->name, name) != 0)
			continue;
		cupel__variable__free_unpacked(spec->env[i], NULL);
		spec->env[i] = v;
		return 0;
	}
	grown = realloc(spec->env, (spec->n_env + 1) * sizeof(*grown));
	if (!grown) {
		cupel__variable__free_unpacked(v, NULL);
		return -ENOMEM;
	}
	spec->env = grown;
	spec->env[spec->n_env++] = v;
	return 0;
}

static int read_env(const char *file, const struct config *c, Cupel__JobSpec *spec,
		    struct error *err)
{
	if (c->kind != CONFIG_MAP || c->count > JOBFILE_ENV_MAX)
		return config_complain(file, c, err, "'env' must be a map of at most %d variables",
				       JOBFILE_ENV_MAX);
	for (const struct config *v = c->first; v; v = v->next) {
		int rc = jobkeys_check_variable(file, v, err);

		if (rc < 0)
			return rc;
		if (v->kind != CONFIG_SCALAR || strlen(v->text) > JOBFILE_VALUE_MAX)
			return config_complain(
				file, v, err,
				"the value of '%.100s' must be a text of at most %d bytes", v->key,
				JOBFILE_VALUE_MAX);
		if (jobkeys_set_env(spec, v->key, v->text) < 0)
			return no_memory(file, err);
	}
	return 0;
}

/* --- limits ------------------------------------------------------------- */

enum unit { UNIT_TIME, UNIT_SIZE, UNIT_MILLI, UNIT_COUNT };

static int read_amount(const char *file, const struct config *c, enum unit unit, uint64_t *out,
		       struct error *err)
{
	int rc = unit == UNIT_TIME    ? config_as_time(file, c, out, err)
		 : unit == UNIT_SIZE  ? config_as_size(file, c, out, err)
		 : unit == UNIT_MILLI ? config_as_milli(file, c, out, err)
				      : config_as_count(file, c, 1, 1u << 30, out, err);

	if (rc == 0 && *out == 0)
		return config_complain(file, c, err, "'%s' must be more than 0", c->key);
	return rc;
}

static int read_limit(const char *file, const struct config *c, Cupel__Limits *limits,
		      struct error *err)
{
	const struct {
		const char *key;
		enum unit unit;
		uint64_t *where;
	} known[] = {
		{"wall", UNIT_TIME, &limits->wall_ms},
		{"idle", UNIT_TIME, &limits->idle_ms},
		{"cpu_time", UNIT_TIME, &limits->cpu_time_ms},
		{"memory", UNIT_SIZE, &limits->memory},
		{"tasks", UNIT_COUNT, &limits->tasks},
		{"disk", UNIT_SIZE, &limits->disk},
		{"inodes", UNIT_COUNT, &limits->inodes},
		{"output", UNIT_SIZE, &limits->output},
		{"files", UNIT_COUNT, &limits->files},
	};
	uint64_t cpus;
	int rc;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(known[i].key, c->key) == 0)
			return read_amount(file, c, known[i].unit, known[i].where, err);
	rc = read_amount(file, c, UNIT_MILLI, &cpus, err); /* the one that is left: cpus */
	if (rc < 0)
		return rc;
	if (cpus > 1u << 20)
		return config_complain(file, c, err, "more than a thousand processors");
	limits->cpu_milli = (uint32_t)cpus;
	return 0;
}

static int read_limits(const char *file, const struct config *c, Cupel__JobSpec *spec,
		       struct error *err)
{
	static const char *const known[] = {"wall", "idle",   "cpu_time", "memory", "cpus", "tasks",
					    "disk", "inodes", "output",   "files",  NULL};
	int rc;

	if (c->kind != CONFIG_MAP)
		return config_complain(file, c, err,
				       "'limits' must be a map, as in {wall: 10m, memory: 2G}");
	rc = config_check_keys(file, c, known, err);
	for (const struct config *limit = c->first; rc == 0 && limit; limit = limit->next)
		rc = read_limit(file, limit, spec->limits, err);
	return rc;
}

/* --- words -------------------------------------------------------------- */

static int read_network(const char *file, const struct config *c, Cupel__JobSpec *spec,
			struct error *err)
{
	if (c->kind != CONFIG_SCALAR || (strcmp(c->text, "none") && strcmp(c->text, "host")))
		return config_complain(file, c, err, "'network' is either none or host");
	return set_string(file, &spec->network, c->text, err);
}

static int read_profile(const char *file, const struct config *c, Cupel__JobSpec *spec,
			struct error *err)
{
	if (c->kind != CONFIG_SCALAR ||
	    (strcmp(c->text, "strict") && strcmp(c->text, "ci") && strcmp(c->text, "nested")))
		return config_complain(file, c, err, "'profile' is one of strict, ci, nested");
	return set_string(file, &spec->profile, c->text, err);
}

static int read_labels(const char *file, const struct config *c, Cupel__JobSpec *spec,
		       struct error *err)
{
	if (c->kind != CONFIG_LIST || c->count > JOBFILE_LIST_MAX)
		return config_complain(file, c, err, "'labels' must be a list of at most %d words",
				       JOBFILE_LIST_MAX);
	spec->labels = calloc(c->count + 1, sizeof(*spec->labels));
	if (!spec->labels)
		return no_memory(file, err);
	for (const struct config *l = c->first; l; l = l->next) {
		int rc = jobkeys_check_plain(file, l, "a label", err);

		if (rc < 0)
			return rc;
		if (strlen(l->text) > 64 || strspn(l->text, LABEL_CHARACTERS) != strlen(l->text))
			return config_complain(file, l, err,
					       "a label is at most 64 letters, digits and _.-+:/");
		spec->labels[spec->n_labels] = strdup(l->text);
		if (!spec->labels[spec->n_labels])
			return no_memory(file, err);
		spec->n_labels++;
	}
	return 0;
}

static int add_retry(const char *file, const struct config *c, Cupel__JobSpec *spec,
		     struct error *err)
{
	Cupel__JobSpec__RetryEntry *entry;
	uint64_t times;
	int rc = config_as_count(file, c, 0, JOBFILE_RETRY_MAX, &times, err);

	if (rc < 0)
		return rc;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return no_memory(file, err);
	cupel__job_spec__retry_entry__init(entry);
	spec->retry[spec->n_retry++] = entry;
	entry->value = (uint32_t)times;
	return set_string(file, &entry->key, c->key, err);
}

static int read_retry(const char *file, const struct config *c, Cupel__JobSpec *spec,
		      struct error *err)
{
	static const char *const known[] = {"failed", "timed_out", "killed", NULL};
	int rc;

	if (c->kind != CONFIG_MAP)
		return config_complain(file, c, err, "'retry' must be a map, as in {timed_out: 1}");
	rc = config_check_keys(file, c, known, err);
	if (rc < 0)
		return rc;
	spec->retry = calloc(c->count + 1, sizeof(*spec->retry));
	if (!spec->retry)
		return no_memory(file, err);
	for (const struct config *e = c->first; rc == 0 && e; e = e->next)
		rc = add_retry(file, e, spec, err);
	return rc;
}

static int read_later(const char *file, const struct config *c, Cupel__JobSpec *spec,
		      struct error *err)
{
	(void)spec;
	return config_complain(
		file, c, err,
		"'%s' is not available in this version: take the key out, print what "
		"matters to the log",
		c->key);
}

static int read_elsewhere(const char *file, const struct config *c, Cupel__JobSpec *spec,
			  struct error *err)
{
	(void)file;
	(void)c;
	(void)spec;
	(void)err;
	return 0;
}

int jobkeys_read(const char *file, const struct config *key, Cupel__JobSpec *spec,
		 struct error *err)
{
	static const struct {
		const char *name;
		int (*read)(const char *file, const struct config *c, Cupel__JobSpec *spec,
			    struct error *err);
	} readers[] = {
		{"run", read_run},         {"env", read_env},         {"matrix", read_elsewhere},
		{"needs", read_elsewhere}, {"limits", read_limits},   {"network", read_network},
		{"profile", read_profile}, {"labels", read_labels},   {"retry", read_retry},
		{"reports", read_later},   {"artifacts", read_later},
	};

	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (strcmp(readers[i].name, key->key) == 0)
			return readers[i].read(file, key, spec, err);
	return config_complain(file, key, err, "'%.100s' is not a key of a job", key->key);
}
