#include "runner/settings.h"

#include "base/units.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* --- one key, wherever it stands
 * ------------------------------------------------------------------ */

static int set_text(const char *text, void *where)
{
	*(const char **)where = text;
	return *text ? 0 : -EINVAL;
}

static int parse_count(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > max)
		return -EINVAL;
	*out = n;
	return 0;
}

static int set_size(const char *text, void *where)
{
	return units_parse_size(text, where);
}

static int set_time(const char *text, void *where)
{
	return units_parse_time(text, where);
}

static int set_milli(const char *text, void *where)
{
	return units_parse_milli(text, where);
}

static int set_milli32(const char *text, void *where)
{
	uint64_t milli;
	int rc = units_parse_milli(text, &milli);

	if (rc == 0 && milli <= 1u << 20)
		*(uint32_t *)where = (uint32_t)milli;
	return rc < 0 || milli > 1u << 20 ? -EINVAL : 0;
}

static int set_count(const char *text, void *where)
{
	return parse_count(text, 1u << 30, where);
}

static int set_slots(const char *text, void *where)
{
	uint64_t n = 0;

	if (parse_count(text, RUNNER_SLOTS_MAX, &n) < 0 || n == 0)
		return -EINVAL;
	*(uint32_t *)where = (uint32_t)n;
	return 0;
}

static int set_yes(const char *text, void *where)
{
	*(bool *)where = strcmp(text, "true") == 0;
	return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? 0 : -EINVAL;
}

#define PLACE(member) offsetof(struct settings, member)

static const struct key {
	const char *name;
	size_t place;
	int (*set)(const char *text, void *where);
	const char *expected;
} keys[] = {
	{"state", PLACE(options.state), set_text, "a directory"},
	{"work", PLACE(options.work), set_text, "a directory"},
	{"dispatcher", PLACE(dispatcher), set_text, "unix:PATH or HOST:PORT"},
	{"token", PLACE(token), set_text, "a file"},
	{"name", PLACE(options.name), set_text, "a name"},
	{"slots", PLACE(options.owner.slots), set_slots, "a number from 1 to 64"},
	{"cpus", PLACE(options.owner.cpu_milli), set_milli, "processors, as in 1.5"},
	{"memory", PLACE(options.owner.memory), set_size, "a size, as in 8G"},
	{"tasks", PLACE(options.owner.tasks), set_count, "a number"},
	{"wall", PLACE(options.owner.ceiling.wall_ms), set_time, "a time, as in 1h"},
	{"job-cpus", PLACE(options.owner.ceiling.cpu_milli), set_milli32, "processors, as in 1.5"},
	{"job-memory", PLACE(options.owner.ceiling.memory), set_size, "a size, as in 2G"},
	{"job-tasks", PLACE(options.owner.ceiling.tasks), set_count, "a number"},
	{"job-wall", PLACE(options.owner.ceiling.wall_ms), set_time, "a time, as in 1h"},
	{"job-idle", PLACE(options.owner.ceiling.idle_ms), set_time, "a time, as in 10m"},
	{"job-cpu-time", PLACE(options.owner.ceiling.cpu_time_ms), set_time, "a time, as in 1h"},
	{"job-disk", PLACE(options.owner.ceiling.disk), set_size, "a size, as in 4G"},
	{"job-output", PLACE(options.owner.ceiling.output), set_size, "a size, as in 64M"},
	{"disk-floor", PLACE(options.disk_floor), set_size, "a size, as in 2G"},
	{"allow-network-host", PLACE(options.owner.network_host), set_yes, "true or false"},
};
#define KEYS (sizeof(keys) / sizeof(*keys))

static int set_key(struct settings *s, size_t i, const char *text)
{
	return keys[i].set(text, (char *)s + keys[i].place);
}

/* --- lists
 * --------------------------------------------------------------------------------------- */

static int add_label(struct settings *s, const char *label, struct error *err)
{
	size_t n = 0;

	for (; s->options.labels[n]; n++)
		if (strcmp(s->options.labels[n], label) == 0)
			return 0;
	if (n == RUNNER_LABELS_MAX || !*label || strlen(label) > 64)
		return error_say(err, EINVAL,
				 "'%.100s' makes no label: at most %d, of at most 64 letters",
				 label, RUNNER_LABELS_MAX);
	s->options.labels[n] = label;
	return 0;
}

static int add_repository(struct settings *s, const char *place, struct error *err)
{
	size_t n = 0;
	int rc = allowed_entry(place, err);

	while (s->options.repositories[n])
		n++;
	if (rc == 0 && n == ALLOWED_MAX)
		return error_say(err, EINVAL, "at most %d places of repositories", ALLOWED_MAX);
	if (rc == 0)
		s->options.repositories[n] = place;
	return rc;
}

static const struct list {
	const char *name;
	size_t place, size; /* of the array that it fills */
	size_t words;       /* of what keeps the command line's words */
	int (*add)(struct settings *s, const char *word, struct error *err);
} lists[] = {
	{"labels", PLACE(options.labels), sizeof(((struct settings *)0)->options.labels),
	 PLACE(labels), add_label},
	{"repositories", PLACE(options.repositories),
	 sizeof(((struct settings *)0)->options.repositories), PLACE(repositories), add_repository},
};
#define LISTS (sizeof(lists) / sizeof(*lists))

static int add_words(struct settings *s, const struct list *l, const char *text, struct error *err)
{
	char **words = (char **)((char *)s + l->words), *rest = NULL;
	int rc = 0;

	memset((char *)s + l->place, 0, l->size); /* those of the file are outdone */
	free(*words);
	*words = strdup(text);
	if (!*words)
		return error_set(err, ENOMEM, "read --%s", l->name);
	for (char *word = strtok_r(*words, ",", &rest); rc == 0 && word;
	     word = strtok_r(NULL, ",", &rest))
		rc = l->add(s, word, err);
	return rc;
}

static int add_list(const char *name, const struct config *c, const struct list *list,
		    struct settings *s, struct error *err)
{
	if (c->kind != CONFIG_LIST)
		return config_complain(name, c, err, "'%s' must be a list of words", list->name);
	for (const struct config *l = c->first; l; l = l->next) {
		struct error why = {0};

		if (l->kind != CONFIG_SCALAR)
			return config_complain(name, l, err, "expected a word");
		if (list->add(s, l->text, &why) < 0)
			return config_complain(name, l, err, "%s", why.text);
	}
	return 0;
}

/* --- the file
 * ------------------------------------------------------------------------------------- */

static int read_key(const char *name, const struct config *c, struct settings *s, struct error *err)
{
	for (size_t i = 0; i < LISTS; i++)
		if (strcmp(c->key, lists[i].name) == 0)
			return add_list(name, c, &lists[i], s, err);
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, c->key) != 0)
			continue;
		if (c->kind == CONFIG_SCALAR && set_key(s, i, c->text) == 0)
			return 0;
		return config_complain(name, c, err, "'%s' must be %s", c->key, keys[i].expected);
	}
	return config_complain(name, c, err, "there is no key '%s'", c->key);
}

int settings_from_file(const char *name, const struct config *file, struct settings *out,
		       struct error *err)
{
	const char *known[KEYS + LISTS + 1] = {NULL};
	int rc;

	for (size_t i = 0; i < KEYS; i++)
		known[i] = keys[i].name;
	for (size_t i = 0; i < LISTS; i++)
		known[KEYS + i] = lists[i].name;
	if (file->kind != CONFIG_MAP)
		return config_complain(name, file, err, "expected a map of settings");
	rc = config_check_keys(name, file, known, err);
	for (const struct config *c = file->first; rc == 0 && c; c = c->next)
		rc = read_key(name, c, out, err);
	return rc;
}

static int read_file(struct settings *s, struct error *err)
{
	const char *path = s->config ? s->config : SETTINGS_FILE;
	int rc;

	if (!s->config && access(path, F_OK) < 0)
		return 0;
	rc = config_read(path, &s->file, err);
	return rc < 0 ? rc : settings_from_file(path, s->file, s, err);
}

/* --- the command line
 * ----------------------------------------------------------------------------- */

enum {
	OPTION_CONFIG = 256,
	OPTION_READY,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_LIST, /* and those behind it: a place in `lists` */
	OPTION_KEY = OPTION_LIST + LISTS,
};

static int read_option(struct settings *s, int option, const char *text, struct error *err)
{
	size_t i = (size_t)option - OPTION_KEY;
	uint64_t fd;

	switch (option) {
	case OPTION_CONFIG:
		return 0; /* was read first */
	case OPTION_READY:
		if (parse_count(text, INT_MAX, &fd) < 0)
			return error_say(err, EINVAL, "--ready-fd %.40s: not a descriptor", text);
		s->ready_fd = (int)fd;
		return 0;
	case OPTION_HELP:
		s->help = true;
		return 0;
	case OPTION_VERSION:
		s->version = true;
		return 0;
	default:
		if (option < OPTION_KEY)
			return add_words(s, &lists[option - OPTION_LIST], text, err);
		if (set_key(s, i, text ? text : "true") == 0)
			return 0;
		return error_say(err, EINVAL, "--%s %.100s: expected %s", keys[i].name, text,
				 keys[i].expected);
	}
}

/* Calls `use` for each option of the command line. */
static int each_option(int argc, char **argv, struct settings *s, bool only_config,
		       struct error *err)
{
	struct option all[4 + LISTS + KEYS + 1] = {
		{"config", required_argument, NULL, OPTION_CONFIG},
		{"ready-fd", required_argument, NULL, OPTION_READY},
		{"help", no_argument, NULL, OPTION_HELP},
		{"version", no_argument, NULL, OPTION_VERSION},
	};
	int option, rc = 0;

	for (size_t i = 0; i < LISTS; i++)
		all[4 + i] = (struct option){lists[i].name, required_argument, NULL,
					     OPTION_LIST + (int)i};
	for (size_t i = 0; i < KEYS; i++)
		all[4 + LISTS + i] = (struct option){
			keys[i].name, keys[i].set == set_yes ? no_argument : required_argument,
			NULL, OPTION_KEY + (int)i};
	optind = 0; /* both passes begin anew */
	opterr = 0;
	while (rc == 0 && (option = getopt_long(argc, argv, "+:", all, NULL)) >= 0) {
		if (option == '?' || option == ':')
			return error_say(err, EINVAL, "%s: %s", argv[optind - 1],
					 option == '?' ? "there is no such option"
						       : "it needs a value");
		if (option == OPTION_CONFIG)
			s->config = optarg;
		if (!only_config)
			rc = read_option(s, option, optarg, err);
	}
	if (rc == 0 && optind < argc)
		return error_say(err, EINVAL, "%.100s: nothing is expected here", argv[optind]);
	return rc;
}

/* --- what follows from it
 * ------------------------------------------------------------------------- */

static int find_dispatcher(struct settings *s, struct error *err)
{
	int rc;

	if (s->token) {
		rc = link_token_read(s->token, &s->secret, err);
		if (rc < 0)
			return rc;
		s->options.token = &s->secret;
		s->options.address = s->secret.address;
		if (!s->options.name)
			s->options.name = s->secret.name;
	}
	if (s->dispatcher)
		return link_address_parse(s->dispatcher, &s->options.address, err);
	return s->token ? 0 : error_say(err, EINVAL, "give --dispatcher ADDRESS or --token FILE");
}

static int fill_rest(struct settings *s, struct error *err)
{
	struct utsname host;
	int rc;

	if (!s->options.state)
		return error_say(err, EINVAL, "give --state DIR");
	rc = find_dispatcher(s, err);
	if (rc < 0)
		return rc;
	if (uname(&host) < 0)
		return error_set(err, errno, "ask for the name of this box");
	(void)snprintf(s->name, sizeof(s->name), "%s", host.nodename);
	(void)snprintf(s->machine, sizeof(s->machine), "%s", host.machine);
	if (!s->options.name)
		s->options.name = s->name;
	rc = add_label(s, "linux", err);
	if (rc == 0)
		rc = add_label(s, s->machine, err);
	if (!s->options.owner.slots) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		s->options.owner.slots = cpus < 1 ? 1 : cpus > 64 ? 64 : (uint32_t)cpus;
	}
	return rc;
}

int settings_read(int argc, char **argv, struct settings *out, struct error *err)
{
	int rc;

	*out = (struct settings){.ready_fd = -1};
	cupel__limits__init(&out->options.owner.ceiling);
	rc = each_option(argc, argv, out, true, err);
	if (rc == 0)
		rc = read_file(out, err);
	if (rc == 0)
		rc = each_option(argc, argv, out, false, err);
	if (rc < 0 || out->help || out->version)
		return rc;
	return fill_rest(out, err);
}

void settings_done(struct settings *s)
{
	config_free(s->file);
	free(s->labels);
	free(s->repositories);
}
