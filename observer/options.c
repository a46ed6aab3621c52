#include "observer/options.h"

#include "base/config.h"
#include "base/fd.h"
#include "base/units.h"
#include "observer/git.h"
#include "proto/message.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)

static void watched_done(struct watched *w)
{
	free(w->name);
	free(w->place);
	for (char **glob = w->refs; glob && *glob; glob++)
		free(*glob);
	free(w->refs);
}

void options_done(struct options *o)
{
	free(o->state);
	free(o->dispatcher);
	free(o->token);
	free(o->name);
	for (size_t i = 0; i < o->count; i++)
		watched_done(&o->repositories[i]);
	free(o->repositories);
	*o = (struct options){0};
}

/* A place at the end, NULL when there is no memory or there are too many. */
static struct watched *add(struct options *o)
{
	struct watched *more;

	if (o->count >= REPOSITORIES_MAX)
		return NULL;
	more = reallocarray(o->repositories, o->count + 1, sizeof(*more));
	if (!more)
		return NULL;
	o->repositories = more;
	more[o->count] = (struct watched){0};
	return &more[o->count++];
}

/* --- the command line --------------------------------------------------- */

static int check_name(const char *name, struct error *err)
{
	if (!*name || strlen(name) > MESSAGE_NAME_MAX || !git_text_is_plain(name))
		return error_say(
			err, EINVAL,
			"'%.50s' is no name for a repository: give 1 to %d bytes of UTF-8 text",
			name, MESSAGE_NAME_MAX);
	return 0;
}

static int check_place(const char *place, struct error *err)
{
	if (!*place || strlen(place) >= MESSAGE_URL_MAX || !git_text_is_plain(place))
		return error_say(
			err, EINVAL,
			"'%.50s' is no path or URL of a repository: it must be UTF-8 text of less than "
			"%d bytes",
			place, MESSAGE_URL_MAX);
	return 0;
}

int options_add_repository(struct options *o, const char *text, struct error *err)
{
	size_t equals = strcspn(text, "=/:");
	bool named = text[equals] == '=';
	struct watched *w = add(o);
	int rc;

	if (!w)
		return error_say(err, E2BIG, "%.200s: there is room for %d repositories", text,
				 REPOSITORIES_MAX);
	w->name = named ? strndup(text, equals) : NULL;
	w->place = strdup(named ? text + equals + 1 : text);
	if (!w->place || (named && !w->name))
		return error_set(err, ENOMEM, "repository %.200s", text);
	rc = named ? check_name(w->name, err) : 0;
	return rc < 0 ? rc : check_place(w->place, err);
}

static int check_poll(uint64_t ms, struct error *err)
{
	if (ms < POLL_MS_MIN || ms > (uint64_t)30 * 24 * 3600 * 1000)
		return error_say(err, EINVAL, "poll: give a time from %dms to 30d", POLL_MS_MIN);
	return 0;
}

int options_set_poll(struct options *o, const char *text, struct error *err)
{
	if (units_parse_time(text, &o->poll_ms) < 0)
		return error_say(err, EINVAL, "poll: '%.50s' is no time: give one as 30s or 5m",
				 text);
	return check_poll(o->poll_ms, err);
}

void options_merge(struct options *o, struct options *fallback)
{
	char **own[] = {&o->state, &o->dispatcher, &o->token, &o->name};
	char **other[] = {&fallback->state, &fallback->dispatcher, &fallback->token,
			  &fallback->name};
	bool reached = o->dispatcher || o->token; /* one way to the dispatcher is enough */

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!*own[i] && !(reached && (i == 1 || i == 2)))
			*own[i] = give(*other[i]);
	if (!o->poll_ms)
		o->poll_ms = fallback->poll_ms;
	o->build_head |= fallback->build_head;
	if (o->count)
		return;
	o->repositories = give(fallback->repositories);
	o->count = fallback->count;
	fallback->count = 0;
}

/* --- observer.yml ------------------------------------------------------- */

static int read_string(const char *name, const struct config *map, const char *key, char **out,
		       struct error *err)
{
	const struct config *c = config_get(map, key);
	const char *text;
	int rc = c ? config_as_string(name, c, &text, err) : 0;

	if (rc < 0 || !c)
		return rc;
	*out = strdup(text);
	return *out ? 0 : error_set(err, ENOMEM, "read %s", name);
}

static int read_poll(const char *name, const struct config *map, uint64_t *out, struct error *err)
{
	const struct config *c = config_get(map, "poll");
	struct error why = {0};
	int rc = c ? config_as_time(name, c, out, err) : 0;

	if (rc < 0 || !c || check_poll(*out, &why) == 0)
		return rc;
	return config_complain(name, c, err, "%s", why.text);
}

static int read_refs(const char *name, const struct config *list, struct watched *w,
		     struct error *err)
{
	size_t n = 0;

	if (!list)
		return 0;
	if (list->kind != CONFIG_LIST || !list->count || list->count > GLOBS_MAX)
		return config_complain(
			name, list, err,
			"refs is a list of 1 to %d patterns: [refs/heads/*, refs/tags/*]",
			GLOBS_MAX);
	w->refs = calloc(list->count + 1, sizeof(*w->refs));
	if (!w->refs)
		return error_set(err, ENOMEM, "read %s", name);
	for (const struct config *c = list->first; c; c = c->next) {
		const char *text;
		int rc = config_as_string(name, c, &text, err);

		if (rc < 0)
			return rc;
		if (strncmp(text, "refs/", 5) != 0)
			return config_complain(
				name, c, err,
				"a pattern starts with refs/, as refs/heads/release-*");
		w->refs[n] = strdup(text);
		if (!w->refs[n++])
			return error_set(err, ENOMEM, "read %s", name);
	}
	return 0;
}

static int read_place(const char *name, const struct config *map, struct watched *w,
		      struct error *err)
{
	const char *key = config_get(map, "url") ? "url" : "path";
	const struct config *c = config_get(map, key);
	struct error why = {0};
	int rc;

	if (!c || (config_get(map, "url") && config_get(map, "path")))
		return config_complain(name, map, err, "a repository has either a path or a url");
	rc = read_string(name, map, key, &w->place, err);
	if (rc == 0 && check_place(w->place, &why) < 0)
		rc = config_complain(name, c, err, "%s", why.text);
	return rc;
}

static int read_repository(const char *name, const struct config *map, struct options *o,
			   struct error *err)
{
	static const char *const known[] = {"name", "path", "url", "poll", "refs", NULL};
	struct error why = {0};
	struct watched *w;
	int rc;

	if (map->kind != CONFIG_MAP)
		return config_complain(
			name, map, err,
			"a repository is a map: {name: app, path: /srv/git/app.git}");
	rc = config_check_keys(name, map, known, err);
	if (rc < 0)
		return rc;
	w = add(o);
	if (!w)
		return config_complain(name, map, err, "there is room for %d repositories",
				       REPOSITORIES_MAX);
	rc = read_string(name, map, "name", &w->name, err);
	if (rc == 0 && w->name && check_name(w->name, &why) < 0)
		rc = config_complain(name, map, err, "%s", why.text);
	if (rc == 0)
		rc = read_place(name, map, w, err);
	if (rc == 0)
		rc = read_poll(name, map, &w->poll_ms, err);
	return rc == 0 ? read_refs(name, config_get(map, "refs"), w, err) : rc;
}

static int read_all(const char *name, const struct config *root, struct options *o,
		    struct error *err)
{
	static const char *const known[] = {"state", "dispatcher", "token",        "name",
					    "poll",  "build-head", "repositories", NULL};
	const struct config *list = config_get(root, "repositories");
	const struct config *head = config_get(root, "build-head");
	int rc = config_check_keys(name, root, known, err);

	if (rc == 0)
		rc = read_string(name, root, "state", &o->state, err);
	if (rc == 0)
		rc = read_string(name, root, "dispatcher", &o->dispatcher, err);
	if (rc == 0)
		rc = read_string(name, root, "token", &o->token, err);
	if (rc == 0)
		rc = read_string(name, root, "name", &o->name, err);
	if (rc == 0)
		rc = read_poll(name, root, &o->poll_ms, err);
	if (rc == 0 && head)
		rc = config_as_bool(name, head, &o->build_head, err);
	if (rc == 0 && list && list->kind != CONFIG_LIST)
		rc = config_complain(name, list, err, "repositories is a list");
	for (const struct config *c = list ? list->first : NULL; rc == 0 && c; c = c->next)
		rc = read_repository(name, c, o, err);
	return rc;
}

int options_parse(const char *name, const void *bytes, size_t length, struct options *out,
		  struct error *err)
{
	owned_options o = {0};
	owned(config) *root = NULL;
	int rc = config_parse(name, bytes, length, &root, err);

	if (rc == 0 && root->kind != CONFIG_MAP)
		rc = config_complain(name, root, err, "the file is a map of settings");
	if (rc == 0)
		rc = read_all(name, root, &o, err);
	if (rc < 0)
		return rc;
	*out = o;
	o = (struct options){0};
	return 0;
}

int options_read(const char *path, struct options *out, struct error *err)
{
	owned_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	owned_buffer bytes = {0};
	char chunk[8192];
	ssize_t n;

	if (fd < 0)
		return error_set(err, errno, "read %s", path);
	while ((n = fd_read_all(fd, chunk, sizeof(chunk))) > 0)
		if (bytes.length + (size_t)n > FILE_MAX ||
		    buffer_append(&bytes, chunk, (size_t)n) < 0)
			return error_set(err, EFBIG, "read %s", path);
	if (n < 0)
		return error_set(err, (int)-n, "read %s", path);
	return options_parse(path, bytes.data ? bytes.data : "", bytes.length, out, err);
}
