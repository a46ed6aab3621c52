#include "runner/git.h"

#include "base/leftovers.h"

#include <ctype.h>
#include <git2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A commit, a tag or a tree: the largest of real repositories have a tenth of it. */
#define OBJECT_MAX ((size_t)64 << 20)
#define TAGS_MAX   16 /* one behind the other */

#define DAMAGED (-1000) /* beside libgit2's codes */

struct git {
	git_repository *repo;
	char *path;
};

/* "SENTENCE: what libgit2 said". A code of libgit2 becomes an errno. */
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
	return error_say(err,
			 code == GIT_ENOTFOUND ? ENOENT
			 : code == GIT_EUSER   ? ECANCELED
			 : code == DAMAGED     ? EUCLEAN
					       : EIO,
			 "%s: %s", sentence, last && last->message ? last->message : "git error");
}

/* What isn't the fault of a peer, the disk or the object itself is the repository's: an object, a
 * pack or a ref that must be there isn't, or not whole. */
static int find_damage(int code)
{
	const git_error *last = git_error_last();

	switch (last ? last->klass : GIT_ERROR_NONE) {
	case GIT_ERROR_REFERENCE:
	case GIT_ERROR_ZLIB:
	case GIT_ERROR_REPOSITORY:
	case GIT_ERROR_CONFIG:
	case GIT_ERROR_ODB:
	case GIT_ERROR_INDEXER:
	case GIT_ERROR_OBJECT:
	case GIT_ERROR_TREE:
		return code == GIT_EUSER ? code : DAMAGED;
	default:
		return code;
	}
}

int git_start(struct error *err)
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
	if (rc >= 0) /* objects are only read, whoever owns them */
		rc = git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	if (rc >= 0) /* a pack that was fetched must survive a power failure */
		rc = git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	return rc < 0 ? git_fail(err, rc, "start libgit2") : 0;
}

void git_stop(void)
{
	(void)git_libgit2_shutdown(); /* the count of users, nothing to act on */
}

/* --- opening ------------------------------------------------------------ */

static int open_failed(const char *path, int code, struct error *err)
{
	const git_error *last = git_error_last();
	const char *text = last && last->message ? last->message : "";

	if (access(path, F_OK) < 0)
		return error_set(err, errno, "open repository %s", path);
	if (access(path, R_OK | X_OK) < 0)
		return error_set(err, errno, "open repository %s (uid %u must be able to read it)",
				 path, (unsigned)getuid());
	if (strstr(text, "objectformat"))
		return error_say(
			err, ENOTSUP,
			"open repository %s: its objects are named by SHA-256, which isn't "
			"supported: use a repository with SHA-1 names",
			path);
	if (strstr(text, "extension"))
		return error_say(err, ENOTSUP, "open repository %s: %s; convert it to plain format",
				 path, text);
	if (code == GIT_ENOTFOUND)
		return error_say(err, ENOENT, "open repository %s: there is no git repository",
				 path);
	return git_fail(err, code, "open repository %s", path);
}

int git_open(const char *path, struct git **out, struct error *err)
{
	owned(git) *g = calloc(1, sizeof(*g));
	int rc;

	if (!g || !(g->path = strdup(path)))
		return error_set(err, ENOMEM, "open repository %s", path);
	rc = git_repository_open_ext(&g->repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (rc < 0)
		return open_failed(path, rc, err);
	*out = give(g);
	return 0;
}

void git_free(struct git *g)
{
	if (!g)
		return;
	git_repository_free(g->repo);
	free(g->path);
	free(g);
}

/* --- revisions ---------------------------------------------------------- */

/* Names, not expressions: what would be an operator, an option or a path is refused. */
static int check_revision(const char *revision, struct error *err)
{
	size_t length = strlen(revision);

	if (!length || length > 1024 || *revision == '-' || *revision == '/' ||
	    strstr(revision, "..") || strstr(revision, "@{") ||
	    strcspn(revision, " ~^:?*[\\\t\n\r\x7f") != length)
		return error_say(
			err, EINVAL,
			"'%.100s' is no revision: give HEAD, a branch, a tag or a commit id",
			revision);
	return 0;
}

static int find_ref(git_repository *repo, const char *revision, git_oid *out)
{
	static const char *const places[] = {"", "refs/", "refs/tags/", "refs/heads/"};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char name[1100];

		if (i == 0 && strcmp(revision, "HEAD") != 0 && strncmp(revision, "refs/", 5) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", places[i], revision);
		if (git_reference_name_to_id(out, repo, name) == 0)
			return 0;
	}
	return GIT_ENOTFOUND;
}

static bool is_hex(const char *text, size_t min)
{
	size_t length = strlen(text);

	return length >= min && length <= GIT_OID_HEXSZ &&
	       strspn(text, "0123456789abcdefABCDEF") == length;
}

/* What a revision names, at first sight: a tag perhaps. */
static int find_id(git_repository *repo, git_odb *odb, const char *revision, git_oid *out)
{
	git_oid prefix;

	if (is_hex(revision, GIT_OID_HEXSZ))
		return git_oid_fromstr(out, revision);
	if (find_ref(repo, revision, out) == 0)
		return 0;
	if (is_hex(revision, GIT_OID_MINPREFIXLEN)) {
		size_t length = strlen(revision);
		int rc = git_oid_fromstrn(&prefix, revision, length);

		return rc < 0 ? rc : git_odb_exists_prefix(out, odb, &prefix, length);
	}
	git_error_set_str(GIT_ERROR_REFERENCE, "no branch or tag has this name");
	return GIT_ENOTFOUND;
}

/* An object that was packed to little may be without end: its head tells, before it is unpacked. */
static int measure(git_odb *odb, const git_oid *id, size_t max, git_object_t *type)
{
	size_t length;
	int rc = git_odb_read_header(&length, type, odb, id);

	if (rc == 0 && length > max) {
		git_error_set_str(GIT_ERROR_INVALID, "the object is too large");
		rc = GIT_ERROR;
	}
	return rc;
}

/* Follows tags to their commit. */
static int peel(git_repository *repo, git_odb *odb, git_oid id, git_commit **out)
{
	for (int depth = 0; depth < TAGS_MAX; depth++) {
		git_tag *tag = NULL;
		git_object_t type;
		int rc = measure(odb, &id, OBJECT_MAX, &type);

		if (rc < 0)
			return rc;
		if (type == GIT_OBJECT_COMMIT)
			return git_commit_lookup(out, repo, &id);
		if (type != GIT_OBJECT_TAG)
			break;
		rc = git_tag_lookup(&tag, repo, &id);
		if (rc < 0)
			return rc;
		id = *git_tag_target_id(tag);
		git_tag_free(tag);
	}
	git_error_set_str(GIT_ERROR_OBJECT, "it is no commit");
	return GIT_EPEEL;
}

/* One line for people: what isn't printable becomes '?'. Bytes from 0x80 stay when they are UTF-8.
 */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0xc2   ? 0
			: at[0] < 0xe0 ? 2
			: at[0] < 0xf0 ? 3
			: at[0] < 0xf5 ? 4
				       : 0;

	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
		return 0; /* overlong, surrogates, beyond Unicode */
	if (at[0] == 0xc2 && at[1] < 0xa0)
		return 0; /* control characters of Latin 1 */
	return length;
}

static void copy_text(char *out, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t n = 0;

	while (*at) {
		size_t length = *at < 0x80 ? 1 : utf8_length(at);
		bool plain = length > 1 || (length == 1 && *at >= ' ' && *at != 0x7f);

		if (!length)
			length = 1;
		if (n + length >= size)
			break;
		if (plain)
			memcpy(out + n, at, length);
		else
			out[n] = '?';
		n += plain ? length : 1;
		at += length;
	}
	out[n] = '\0';
}

static void describe(git_commit *commit, struct git_commit *out)
{
	const git_signature *author = git_commit_author(commit);
	const char *summary = git_commit_summary(commit);
	char text[600];

	(void)git_oid_tostr(out->id, sizeof(out->id), git_commit_id(commit));
	(void)git_oid_tostr(out->tree, sizeof(out->tree), git_commit_tree_id(commit));
	out->time = git_commit_time(commit);
	copy_text(out->subject, sizeof(out->subject), summary ? summary : "");
	(void)snprintf(text, sizeof(text), "%.250s <%.250s>", author ? author->name : "",
		       author ? author->email : "");
	copy_text(out->author, sizeof(out->author), text);
}

int git_resolve(struct git *g, const char *revision, struct git_commit *out, struct error *err)
{
	git_commit *commit = NULL;
	git_odb *odb = NULL;
	git_oid id;
	int rc = check_revision(revision, err);

	if (rc < 0)
		return rc;
	rc = git_repository_odb(&odb, g->repo);
	if (rc == 0)
		rc = find_id(g->repo, odb, revision, &id);
	if (rc == 0)
		rc = peel(g->repo, odb, id, &commit);
	if (rc < 0)
		rc = git_fail(err, rc, "find '%.100s' in %s", revision, g->path);
	else
		describe(commit, out);
	git_commit_free(commit);
	git_odb_free(odb);
	return rc;
}

/* --- objects ------------------------------------------------------------ */

static enum git_kind kind_of(git_filemode_t mode)
{
	switch (mode & 0170000) {
	case GIT_FILEMODE_TREE:
		return GIT_DIRECTORY;
	case GIT_FILEMODE_LINK:
		return GIT_LINK;
	case GIT_FILEMODE_COMMIT:
		return GIT_SUBMODULE;
	default:
		return mode & 0100 ? GIT_EXECUTABLE : GIT_FILE;
	}
}

static int tree_open(struct git *g, const char *id, git_tree **out, struct error *err)
{
	git_odb *odb = NULL;
	git_object_t type;
	git_oid oid;
	int rc = git_oid_fromstr(&oid, id);

	if (rc == 0)
		rc = git_repository_odb(&odb, g->repo);
	if (rc == 0)
		rc = measure(odb, &oid, OBJECT_MAX, &type);
	if (rc == 0)
		rc = git_tree_lookup(out, g->repo, &oid);
	git_odb_free(odb);
	return rc < 0 ? git_fail(err, find_damage(rc), "read tree %s of %s", id, g->path) : 0;
}

int git_each(struct git *g, const char *id, int (*each)(void *context, const struct git_entry *e),
	     void *context, struct error *err)
{
	git_tree *tree = NULL;
	int rc = tree_open(g, id, &tree, err);
	size_t count = rc == 0 ? git_tree_entrycount(tree) : 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		struct git_entry entry = {.name = git_tree_entry_name(e),
					  .kind = kind_of(git_tree_entry_filemode_raw(e))};

		entry.name_length = strlen(entry.name);
		(void)git_oid_tostr(entry.id, sizeof(entry.id), git_tree_entry_id(e));
		rc = each(context, &entry);
	}
	git_tree_free(tree);
	return rc;
}

int git_file(struct git *g, const char *id, size_t max,
	     int (*use)(void *context, const void *bytes, size_t length), void *context,
	     struct error *err)
{
	git_odb *odb = NULL;
	git_odb_object *object = NULL;
	git_object_t type = GIT_OBJECT_INVALID;
	size_t length = 0;
	git_oid oid;
	int rc = git_oid_fromstr(&oid, id);

	if (rc == 0)
		rc = git_repository_odb(&odb, g->repo);
	if (rc == 0)
		rc = git_odb_read_header(&length, &type, odb, &oid);
	if (rc == 0 && length <= max)
		rc = git_odb_read(&object, odb, &oid);
	if (rc < 0)
		rc = git_fail(err, find_damage(rc), "read file %s of %s", id, g->path);
	else if (type != GIT_OBJECT_BLOB)
		rc = error_say(err, EIO, "read file %s of %s: the object is no file", id, g->path);
	else if (length > max)
		rc = error_say(err, EFBIG, "read file %s of %s: more than %zu bytes", id, g->path,
			       max);
	else
		rc = use(context, git_odb_object_data(object), git_odb_object_size(object));
	git_odb_object_free(object);
	git_odb_free(odb);
	return rc;
}

int git_find(struct git *g, const char *id, const char *path, char out[GIT_ID_MAX + 1],
	     enum git_kind *kind, struct error *err)
{
	git_tree *tree = NULL;
	git_tree_entry *entry = NULL;
	int rc = tree_open(g, id, &tree, err);

	if (rc < 0)
		return rc;
	rc = git_tree_entry_bypath(&entry, tree, path);
	if (rc == GIT_ENOTFOUND)
		rc = -ENOENT;
	else if (rc < 0)
		rc = git_fail(err, rc, "read %s in tree %s of %s", path, id, g->path);
	if (rc == 0) {
		(void)git_oid_tostr(out, GIT_ID_MAX + 1, git_tree_entry_id(entry));
		*kind = kind_of(git_tree_entry_filemode_raw(entry));
	}
	git_tree_entry_free(entry);
	git_tree_free(tree);
	return rc;
}

/* --- mirrors ------------------------------------------------------------ */

struct fetch {
	bool (*stop)(void *context);
	void *context;
	bool asked; /* libgit2 asks for credentials again and again */
};

static int on_progress(const git_indexer_progress *stats, void *payload)
{
	struct fetch *f = payload;

	(void)stats;
	return f->stop && f->stop(f->context) ? GIT_EUSER : 0;
}

static int on_sideband(const char *text, int length, void *payload)
{
	(void)text;
	(void)length;
	return on_progress(NULL, payload);
}

/* Keys come from the agent of whoever runs the runner; nothing is asked of a person. */
static int on_credentials(git_credential **out, const char *url, const char *user, unsigned types,
			  void *payload)
{
	struct fetch *f = payload;

	(void)url;
	if (f->asked || !(types & GIT_CREDENTIAL_SSH_KEY)) {
		git_error_set_str(GIT_ERROR_NET,
				  "it asks for a login: use a URL that needs none, or an ssh agent "
				  "with a key that it knows");
		return GIT_EAUTH;
	}
	f->asked = true;
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

static int fetch_all(git_repository *repo, git_remote *remote, struct fetch *f)
{
	static char heads[] = "+refs/heads/*:refs/heads/*", tags[] = "+refs/tags/*:refs/tags/*";
	static char *specs[] = {heads, tags};
	const git_strarray refspecs = {.strings = specs, .count = 2};
	git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
	int rc;

	options.callbacks.transfer_progress = on_progress;
	options.callbacks.sideband_progress = on_sideband;
	options.callbacks.credentials = on_credentials;
	options.callbacks.payload = f;
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

int git_fetch(const char *path, const char *url, bool (*stop)(void *context), void *context,
	      struct error *err)
{
	struct fetch f = {.stop = stop, .context = context};
	git_repository *repo = NULL;
	git_remote *remote = NULL;
	int rc;

	leftovers_clear(path); /* an earlier fetch may have been ended in the middle */
	rc = open_mirror(path, &repo);
	if (rc < 0) {
		rc = git_fail(err, find_damage(rc), "make mirror %s", path);
	} else {
		rc = git_remote_create_anonymous(&remote, repo, url);
		if (rc == 0)
			rc = fetch_all(repo, remote, &f);
		if (rc < 0)
			rc = git_fail(err, find_damage(rc), "fetch from %.200s", url);
	}
	git_remote_free(remote);
	git_repository_free(repo);
	return rc;
}

/* --- working directories ------------------------------------------------ */

static int each_status(git_repository *repo, int (*each)(void *context, const char *relative),
		       void *context, const char *root, struct error *err)
{
	git_status_options options = GIT_STATUS_OPTIONS_INIT;
	git_status_list *list = NULL;
	int rc;

	options.flags = GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_RECURSE_UNTRACKED_DIRS |
			GIT_STATUS_OPT_INCLUDE_UNMODIFIED | GIT_STATUS_OPT_EXCLUDE_SUBMODULES |
			GIT_STATUS_OPT_DISABLE_PATHSPEC_MATCH;
	options.show = GIT_STATUS_SHOW_WORKDIR_ONLY;
	rc = git_status_list_new(&list, repo, &options);
	if (rc < 0)
		return git_fail(err, rc, "look through %s", root);
	for (size_t i = 0; rc == 0 && i < git_status_list_entrycount(list); i++) {
		const git_status_entry *e = git_status_byindex(list, i);

		if (!(e->status & GIT_STATUS_WT_DELETED) && e->index_to_workdir)
			rc = each(context, e->index_to_workdir->new_file.path);
	}
	git_status_list_free(list);
	return rc;
}

int git_working_files(const char *path, char **root,
		      int (*each)(void *context, const char *relative), void *context,
		      struct error *err)
{
	git_repository *repo = NULL;
	int rc = git_repository_open_ext(&repo, path, 0, NULL);

	if (rc == GIT_ENOTFOUND || (rc == 0 && !git_repository_workdir(repo))) {
		git_repository_free(repo);
		return -ENOENT;
	}
	if (rc < 0)
		return open_failed(path, rc, err);
	*root = strdup(git_repository_workdir(repo));
	rc = *root ? each_status(repo, each, context, *root, err)
		   : error_set(err, ENOMEM, "look through %s", path);
	git_repository_free(repo);
	return rc;
}
