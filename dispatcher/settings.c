#include "dispatcher/settings.h"

#include "base/units.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The times, by one name in the file and on the command line. */
static const struct {
	const char *name;
	size_t place;
} times[] = {
	{"heartbeat", offsetof(struct dispatcher_options, heartbeat_ms)},
	{"lease", offsetof(struct dispatcher_options, lease_ms)},
	{"lease-slack", offsetof(struct dispatcher_options, lease_slack_ms)},
	{"accept", offsetof(struct dispatcher_options, accept_ms)},
	{"deadline-slack", offsetof(struct dispatcher_options, deadline_slack_ms)},
	{"prepare", offsetof(struct dispatcher_options, prepare_ms)},
};
#define TIMES (sizeof(times) / sizeof(times[0]))

static uint64_t *time_at(struct dispatcher_options *o, size_t i)
{
	return (uint64_t *)((char *)o + times[i].place);
}

/* --- the file
 * --------------------------------------------------------------------------------------------- */

static int add_listen(const char *name, const struct config *c, struct dispatcher_options *out,
		      struct error *err)
{
	const struct config *item = c->kind == CONFIG_LIST ? c->first : c;

	for (; item; item = c->kind == CONFIG_LIST ? item->next : NULL) {
		const char *text;
		int rc = config_as_string(name, item, &text, err);

		if (rc < 0)
			return rc;
		if (out->listen_count == DISPATCHER_LISTEN_MAX)
			return config_complain(name, item, err, "at most %d addresses",
					       DISPATCHER_LISTEN_MAX);
		out->listen[out->listen_count++] = text;
	}
	return 0;
}

static int add_uids(const char *name, const struct config *c, struct dispatcher_options *out,
		    struct error *err)
{
	if (c->kind != CONFIG_LIST)
		return config_complain(name, c, err, "expected a list of user ids");
	for (const struct config *item = c->first; item; item = item->next) {
		uint64_t uid;
		int rc = config_as_count(name, item, 0, UINT_MAX - 1, &uid, err);

		if (rc < 0)
			return rc;
		if (out->allow_uids_count == DISPATCHER_UIDS_MAX)
			return config_complain(name, item, err, "at most %d user ids",
					       DISPATCHER_UIDS_MAX);
		out->allow_uids[out->allow_uids_count++] = (uid_t)uid;
	}
	return 0;
}

static int one_key(const char *name, const struct config *c, struct dispatcher_options *out,
		   struct error *err)
{
	if (strcmp(c->key, "listen") == 0)
		return add_listen(name, c, out, err);
	if (strcmp(c->key, "allow_uids") == 0)
		return add_uids(name, c, out, err);
	if (strcmp(c->key, "state") == 0)
		return config_as_string(name, c, &out->state, err);
	if (strcmp(c->key, "advertise") == 0)
		return config_as_string(name, c, &out->advertise, err);
	for (size_t i = 0; i < TIMES; i++)
		if (strcmp(c->key, times[i].name) == 0)
			return config_as_time(name, c, time_at(out, i), err);
	return 0;
}

int settings_from_file(const char *name, const struct config *file, struct dispatcher_options *out,
		       struct error *err)
{
	static const char *const known[] = {
		"state",       "listen", "advertise",      "allow_uids", "heartbeat", "lease",
		"lease-slack", "accept", "deadline-slack", "prepare",    NULL};
	int rc;

	if (file->kind != CONFIG_MAP)
		return config_complain(name, file, err, "expected `name: value` lines");
	rc = config_check_keys(name, file, known, err);
	for (const struct config *c = file->first; c && rc == 0; c = c->next)
		rc = one_key(name, c, out, err);
	return rc;
}

/* --- the command line
 * ------------------------------------------------------------------------------------- */

enum {
	OPTION_STATE = 1000,
	OPTION_LISTEN,
	OPTION_CONFIG,
	OPTION_ADVERTISE,
	OPTION_READY,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_TIME
}; /* and those behind it: a place in `times` */

static const struct option long_options[] = {
	{"state", required_argument, NULL, OPTION_STATE},
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"advertise", required_argument, NULL, OPTION_ADVERTISE},
	{"ready-fd", required_argument, NULL, OPTION_READY},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"heartbeat", required_argument, NULL, OPTION_TIME},
	{"lease", required_argument, NULL, OPTION_TIME + 1},
	{"lease-slack", required_argument, NULL, OPTION_TIME + 2},
	{"accept", required_argument, NULL, OPTION_TIME + 3},
	{"deadline-slack", required_argument, NULL, OPTION_TIME + 4},
	{"prepare", required_argument, NULL, OPTION_TIME + 5},
	{0},
};

static int one_option(int option, struct settings *s, bool *listens, struct error *err)
{
	struct dispatcher_options *o = &s->options;
	char *end;

	switch (option) {
	case OPTION_STATE:
		o->state = optarg;
		return 0;
	case OPTION_LISTEN:
		if (!*listens)
			o->listen_count = 0; /* the file's are replaced, not added to */
		*listens = true;
		if (o->listen_count == DISPATCHER_LISTEN_MAX)
			return error_say(err, EINVAL, "at most %d times --listen",
					 DISPATCHER_LISTEN_MAX);
		o->listen[o->listen_count++] = optarg;
		return 0;
	case OPTION_ADVERTISE:
		o->advertise = optarg;
		return 0;
	case OPTION_READY:
		s->ready_fd = (int)strtol(optarg, &end, 10);
		return !*optarg || *end || s->ready_fd < 0
			       ? error_say(err, EINVAL, "--ready-fd %s is no descriptor", optarg)
			       : 0;
	case OPTION_CONFIG: /* was read first */
	case OPTION_HELP:
	case OPTION_VERSION:
		return 0;
	default:
		if (units_parse_time(optarg, time_at(o, (size_t)(option - OPTION_TIME))) < 0)
			return error_say(err, EINVAL, "--%s %s is no time; 90s or 5m are",
					 times[option - OPTION_TIME].name, optarg);
		return 0;
	}
}

/* The options that say where the others come from. */
static void first_look(int argc, char **argv, struct settings *s)
{
	int option;

	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPTION_CONFIG)
			s->config = optarg;
		s->help |= option == OPTION_HELP;
		s->version |= option == OPTION_VERSION;
	}
}

static int read_file(struct settings *s, struct error *err)
{
	const char *name = s->config ? s->config : SETTINGS_FILE;
	int rc = config_read(name, &s->file, err);

	if (rc == -ENOENT && !s->config) {
		*err = (struct error){0};
		return 0;
	}
	return rc < 0 ? rc : settings_from_file(name, s->file, &s->options, err);
}

static int check(const struct settings *s, struct error *err)
{
	const struct dispatcher_options *o = &s->options;

	if (!o->state || !*o->state)
		return error_say(err, EINVAL,
				 "--state DIR is missing: where the dispatcher keeps all "
				 "that it knows");
	for (size_t i = 0; i < TIMES; i++)
		if (!*time_at((struct dispatcher_options *)o, i) &&
		    strstr(times[i].name, "slack") == NULL)
			return error_say(err, EINVAL, "--%s must be longer than nothing",
					 times[i].name);
	if (o->heartbeat_ms >= o->lease_ms)
		return error_say(err, EINVAL, "--heartbeat must be shorter than --lease");
	return 0;
}

int settings_read(int argc, char **argv, struct settings *out, struct error *err)
{
	bool listens = false;
	int option, rc;

	*out = (struct settings){.options = DISPATCHER_OPTIONS, .ready_fd = -1};
	first_look(argc, argv, out);
	if (out->help || out->version)
		return 0;
	rc = read_file(out, err);
	optind = 1;
	while (rc == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		rc = option == '?' ? error_say(err, EINVAL,
					       "%s: no such option, or one without its value",
					       argv[optind - 1])
				   : one_option(option, out, &listens, err);
	if (rc == 0 && optind < argc)
		rc = error_say(err, EINVAL, "'%s' is no option", argv[optind]);
	return rc < 0 ? rc : check(out, err);
}

void settings_done(struct settings *s)
{
	if (s->file)
		config_free(s->file);
	s->file = NULL;
}
