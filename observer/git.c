#include "observer/git.h"

#include <git2.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A commit or a tag. */
#define OBJECT_MAX ((size_t)64 << 20)
#define TAGS_MAX   16 /* one behind the other */

struct gitdir {
	git_repository *repo;
	char *path;
};

_Static_assert(sizeof(struct oid) == sizeof(git_oid), "libgit2's ids are as ours");

/* "SENTENCE: what libgit2 said". */
static int git_fail(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int git_fail(struct error *err, int code, const char *format, ...)
{
	const git_error *last = git_error_last();
	char sentence[300];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	return error_say(err, code == GIT_ENOTFOUND ? ENOENT : EIO, "%s: %s", sentence,
			 last && last->message ? last->message : "git error");
}

/* Objects are read once and rarely again: the cache stays as small as it can be. */
#define CACHE_MAX ((ssize_t)1 << 20)

int gitdir_start(struct error *err)
{
	/* settings of linked worktrees and notes on precious objects don't concern a reader */
	static const char *extensions[] = {"worktreeconfig", "preciousobjects"};
	static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
				     GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
	int rc = git_libgit2_init();

	for (size_t i = 0; rc >= 0 && i < sizeof(levels) / sizeof(*levels); i++)
		rc = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
	if (rc >= 0)
		rc = git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, (size_t)2);
	if (rc >= 0) /* nothing of a repository is obeyed, whoever owns it */
		rc = git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	if (rc >= 0) /* a pack that was fetched must survive a power failure */
		rc = git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	if (rc >= 0)
		rc = git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, CACHE_MAX);
	return rc < 0 ? git_fail(err, rc, "start libgit2") : 0;
}

void gitdir_stop(void)
{
	(void)git_libgit2_shutdown(); /* the count of users, nothing to act on */
}

/* --- opening ------------------------------------------------------------ */

static int open_failed(const char *path, int code, struct error *err)
{
	const git_error *last = git_error_last();
	const char *text = last && last->message ? last->message : "";

	if (eaccess(path, R_OK | X_OK) < 0 && errno == EACCES)
		return error_set(err, EACCES,
				 "open repository %s (uid %u must be able to read and search it)",
				 path, (unsigned)geteuid());
	if (eaccess(path, R_OK) < 0)
		return error_set(err, errno, "open repository %s", path);
	if (strstr(text, "objectformat"))
		return error_say(
			err, ENOTSUP,
			"open repository %s: its objects are named by SHA-256, which isn't "
			"supported: use a repository with SHA-1 names",
			path);
	if (strstr(text, "refstorage"))
		return error_say(err, ENOTSUP,
				 "open repository %s: its refs are in a reftable, which isn't "
				 "supported: convert it with `git refs migrate --ref-format=files`",
				 path);
	if (strstr(text, "extension"))
		return error_say(err, ENOTSUP, "open repository %s: %s: convert it to plain format",
				 path, text);
	if (code == GIT_ENOTFOUND)
		return error_say(
			err, ENOENT,
			"open repository %s: there is no git repository: name the directory that "
			"holds .git, or a bare repository",
			path);
	return git_fail(err, code, "open repository %s", path);
}

void gitdir_known_done(struct gitdir_known *k)
{
	free(k->common);
	*k = (struct gitdir_known){0};
}

static int stat_config(const char *common, struct stat *out)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%sconfig", common); /* one that is cut isn't there */
	return stat(path, out);
}

/* Is it the repository whose format was checked before? */
static bool is_known(const struct gitdir_known *k)
{
	struct stat now;

	return k && k->common && stat_config(k->common, &now) == 0 &&
	       now.st_dev == k->config.st_dev && now.st_ino == k->config.st_ino &&
	       now.st_mtim.tv_sec == k->config.st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == k->config.st_mtim.tv_nsec;
}

static void know(struct gitdir_known *k, const struct gitdir *g)
{
	gitdir_known_done(k);
	if (stat_config(gitdir_common(g), &k->config) == 0)
		k->common = strdup(gitdir_common(g)); /* without memory it isn't known */
}

int gitdir_open(const char *path, struct gitdir_known *known, struct gitdir **out,
		struct error *err)
{
	owned(gitdir) *g = calloc(1, sizeof(*g));
	bool checked = is_known(known);
	int rc;

	if (!g || !(g->path = strdup(path)))
		return error_set(err, ENOMEM, "open repository %s", path);
	if (checked)
		rc = git_repository_open_bare(&g->repo, known->common);
	else
		rc = git_repository_open_ext(&g->repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (rc < 0)
		return open_failed(path, rc, err);
	if (known && !checked)
		know(known, g);
	*out = give(g);
	return 0;
}

void gitdir_free(struct gitdir *g)
{
	if (!g)
		return;
	git_repository_free(g->repo);
	free(g->path);
	free(g);
}

const char *gitdir_common(const struct gitdir *g)
{
	return git_repository_commondir(g->repo);
}

bool gitdir_is_there(const struct gitdir *g)
{
	char head[PATH_MAX];

	(void)snprintf(head, sizeof(head), "%sHEAD",
		       gitdir_common(g)); /* one that is cut isn't there */
	return access(head, R_OK) == 0;
}

/* --- refs --------------------------------------------------------------- */

bool gitdir_head(const struct gitdir *g, char *out, size_t size)
{
	git_reference *head = NULL;
	const char *target = NULL;

	if (git_reference_lookup(&head, g->repo, "HEAD") == 0)
		target = git_reference_symbolic_target(head);
	if (target)
		(void)snprintf(out, size, "%s", target); /* one that is cut names no branch */
	git_reference_free(head);
	return target;
}

/* Follows symbolic refs; one that leads nowhere is passed over. */
static int add_ref(git_reference *ref, struct refs *out)
{
	const char *name = git_reference_name(ref);
	git_reference *direct = NULL;
	struct oid id;

	if (git_reference_resolve(&direct, ref) < 0)
		return 0;
	memcpy(id.bytes, git_reference_target(direct)->id, OID_SIZE);
	git_reference_free(direct);
	return refs_add(out, name, strlen(name), &id);
}

static int list_failed(const struct gitdir *g, int rc, struct error *err)
{
	if (rc == -E2BIG)
		return error_say(
			err, E2BIG,
			"repository %s has more than %d branches and tags: name fewer with "
			"`refs:` in observer.yml",
			g->path, REFS_MAX);
	return error_set(err, -rc, "list the refs of %s", g->path);
}

int gitdir_refs(const struct gitdir *g, bool (*wanted)(void *context, const char *name),
		void *context, struct refs *out, struct error *err)
{
	owned_refs found = {0};
	git_reference_iterator *it = NULL;
	git_reference *ref = NULL;
	int rc = 0, step = git_reference_iterator_new(&it, g->repo);

	while (rc == 0 && step == 0 && (step = git_reference_next(&ref, it)) == 0) {
		if (wanted(context, git_reference_name(ref)))
			rc = add_ref(ref, &found);
		git_reference_free(ref);
	}
	git_reference_iterator_free(it);
	if (step < 0 && step != GIT_ITEROVER)
		return git_fail(err, step, "list the refs of %s", g->path);
	if (rc == 0)
		rc = refs_sort(&found);
	if (rc < 0)
		return list_failed(g, rc, err);
	*out = found;
	found = (struct refs){0};
	return 0;
}

/* --- history ------------------------------------------------------------ */

static const git_oid *theirs(const struct oid *id)
{
	return (const git_oid *)id;
}

/* An object that was packed to little may be without end: its head tells, before it is unpacked. */
static int measure(git_odb *odb, const git_oid *id, git_object_t *type)
{
	size_t length;
	int rc = git_odb_read_header(&length, type, odb, id);

	return rc == 0 && length > OBJECT_MAX ? GIT_EUSER : rc;
}

/* Follows tags to their commit. */
static int peel(git_repository *repo, git_odb *odb, git_oid *id)
{
	for (int depth = 0; depth < TAGS_MAX; depth++) {
		git_tag *tag = NULL;
		git_object_t type;
		int rc = measure(odb, id, &type);

		if (rc < 0 || type == GIT_OBJECT_COMMIT)
			return rc;
		if (type != GIT_OBJECT_TAG)
			break;
		rc = git_tag_lookup(&tag, repo, id);
		if (rc < 0)
			return rc;
		*id = *git_tag_target_id(tag);
		git_tag_free(tag);
	}
	return GIT_EPEEL;
}

int gitdir_commit(const struct gitdir *g, const struct oid *id, struct oid *out)
{
	git_odb *odb = NULL;
	git_oid at = *theirs(id);
	int rc = git_repository_odb(&odb, g->repo);

	if (rc == 0)
		rc = peel(g->repo, odb, &at);
	if (rc == 0)
		memcpy(out->bytes, at.id, OID_SIZE);
	git_odb_free(odb);
	return rc == 0 ? 0 : rc == GIT_ENOTFOUND ? -ENOENT : -EINVAL;
}

static int walk_start(const struct gitdir *g, const struct oid *tip, const struct walk *how,
		      git_revwalk **out)
{
	int rc = git_revwalk_new(out, g->repo);

	if (rc == 0)
		rc = git_revwalk_sorting(*out,
					 GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME | GIT_SORT_REVERSE);
	if (rc == 0)
		rc = git_revwalk_push(*out, theirs(tip));
	for (size_t i = 0; rc == 0 && i < how->hidden_count; i++)
		(void)git_revwalk_hide(*out,
				       theirs(&how->hidden[i])); /* gone by now: hides nothing */
	git_error_clear();
	return rc;
}

/* Appends to a list that doubles: most pushes bring one commit. */
static int keep(struct oid **list, size_t count, const git_oid *id)
{
	if ((count & (count - 1)) == 0) { /* 0, or a power of two: full */
		struct oid *more = reallocarray(*list, count ? count * 2 : 1, sizeof(**list));

		if (!more)
			return -ENOMEM;
		*list = more;
	}
	memcpy((*list)[count].bytes, id->id, OID_SIZE);
	return 0;
}

int gitdir_walk(const struct gitdir *g, const struct oid *tip, const struct walk *how,
		struct oid **out, size_t *count, struct error *err)
{
	git_revwalk *walk = NULL;
	struct oid *list = NULL;
	size_t passed = 0, n = 0;
	int rc = walk_start(g, tip, how, &walk), memory = 0;
	git_oid id;

	while (rc == 0 && memory == 0 && n < how->max && (rc = git_revwalk_next(&id, walk)) == 0)
		if (passed++ >= how->skip && (memory = keep(&list, n, &id)) == 0)
			n++;
	git_revwalk_free(walk);
	if (memory == 0 && (rc == 0 || rc == GIT_ITEROVER)) {
		*out = list;
		*count = n;
		return 0;
	}
	free(list);
	return memory ? error_set(err, ENOMEM, "walk the history of %s", g->path)
		      : git_fail(err, rc, "walk the history of %s", g->path);
}

/* --- texts -------------------------------------------------------------- */

/* Bytes of the UTF-8 character at `at`, 0 when it is none or a control character. */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0xc2   ? 0
			: at[0] < 0xe0 ? 2
			: at[0] < 0xf0 ? 3
			: at[0] < 0xf5 ? 4
				       : 0;

	if (at[0] < 0x80)
		return at[0] >= ' ' && at[0] != 0x7f;
	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90) ||
	    (at[0] == 0xc2 && at[1] < 0xa0))
		return 0; /* overlong, surrogates, beyond Unicode, control characters of Latin 1 */
	return length;
}

bool git_text_is_plain(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		size_t length = utf8_length(at);

		if (!length)
			return false;
		at += length;
	}
	return true;
}

static void copy_plain(char *out, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t n = 0;

	while (*at) {
		size_t length = utf8_length(at);

		if (n + (length ? length : 1) >= size)
			break;
		if (length)
			memcpy(out + n, at, length);
		else
			out[n] = '?';
		n += length ? length : 1;
		at += length ? length : 1;
	}
	out[n] = '\0';
}

void gitdir_describe(const struct gitdir *g, const struct oid *id, struct git_text *out)
{
	git_commit *commit = NULL;
	const git_signature *author;
	const char *summary;
	char text[600];

	*out = (struct git_text){0};
	if (git_commit_lookup(&commit, g->repo, theirs(id)) < 0)
		return;
	summary = git_commit_summary(commit);
	author = git_commit_author(commit);
	copy_plain(out->subject, sizeof(out->subject), summary ? summary : "");
	(void)snprintf(text, sizeof(text), "%.250s <%.250s>", author ? author->name : "",
		       author ? author->email : "");
	copy_plain(out->author, sizeof(out->author), text);
	git_commit_free(commit);
}

/* --- fetching ----------------------------------------------------------- */

/* Keys come from the agent of whoever runs the observer; nothing is asked of a person. */
static int on_credentials(git_credential **out, const char *url, const char *user, unsigned types,
			  void *payload)
{
	bool *asked = payload; /* libgit2 asks again and again */

	(void)url;
	if (*asked || !(types & GIT_CREDENTIAL_SSH_KEY)) {
		git_error_set_str(GIT_ERROR_NET,
				  "it asks for a login: use a URL that needs none, or an ssh agent "
				  "with a key that it knows");
		return GIT_EAUTH;
	}
	*asked = true;
	return git_credential_ssh_key_from_agent(out, user ? user : "git");
}

static int open_mirror(const char *path, git_repository **out)
{
	git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;

	if (git_repository_open_ext(out, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) == 0)
		return 0;
	options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
	options.initial_head = "main";
	return git_repository_init_ext(out, path, &options);
}

/* What the remote's HEAD points at becomes the mirror's. A remote without one is fine. */
static void copy_head(git_repository *repo, git_remote *remote)
{
	git_buf name = {0};

	if (git_remote_default_branch(&name, remote) == 0)
		(void)git_repository_set_head(repo, name.ptr);
	git_buf_dispose(&name);
}

static int fetch_all(git_repository *repo, git_remote *remote)
{
	static char heads[] = "+refs/heads/*:refs/heads/*", tags[] = "+refs/tags/*:refs/tags/*";
	static char *specs[] = {heads, tags};
	const git_strarray refspecs = {.strings = specs, .count = 2};
	git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
	bool asked = false;
	int rc;

	options.callbacks.credentials = on_credentials;
	options.callbacks.payload = &asked;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	rc = git_remote_connect(remote, GIT_DIRECTION_FETCH, &options.callbacks, NULL, NULL);
	if (rc == 0)
		rc = git_remote_download(remote, &refspecs, &options);
	if (rc == 0) /* first, since a branch `a` that went must make room for `a/b` */
		rc = git_remote_prune(remote, &options.callbacks);
	if (rc == 0)
		rc = git_remote_update_tips(remote, &options.callbacks, 0, options.download_tags,
					    NULL);
	if (rc == 0)
		copy_head(repo, remote);
	return rc;
}

int gitdir_fetch(const char *path, const char *url, struct error *err)
{
	git_repository *repo = NULL;
	git_remote *remote = NULL;
	int rc = open_mirror(path, &repo);

	if (rc < 0) {
		rc = git_fail(err, rc, "make mirror %s", path);
	} else {
		rc = git_remote_create_anonymous(&remote, repo, url);
		if (rc == 0)
			rc = fetch_all(repo, remote);
		if (rc < 0)
			rc = git_fail(err, rc, "fetch from %.200s", url);
	}
	git_remote_free(remote);
	git_repository_free(repo);
	return rc;
}
