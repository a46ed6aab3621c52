#include "observer/watch.h"

#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* Git allows no ref that is longer than a path, hence no deeper directory. */
#define DEPTH_MAX 512

struct place {
	int wd;
	void *owner;              /* borrowed */
	char *path;               /* of the directory */
	char *ref;                /* its place below the repository: "", "refs", "refs/heads" */
	const char *const *globs; /* borrowed */
};

struct watch {
	int fd;
	struct event *event;
	struct watch_callbacks callbacks;
	void *context;
	struct place *places; /* sorted by wd */
	size_t count, size;
};

/* --- places ------------------------------------------------------------- */

static size_t find(const struct watch *w, int wd)
{
	size_t low = 0, high = w->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->places[middle].wd < wd)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct place *place_of(const struct watch *w, int wd)
{
	size_t at = find(w, wd);

	return at < w->count && w->places[at].wd == wd ? &w->places[at] : NULL;
}

static void place_done(struct place *p)
{
	free(p->path);
	free(p->ref);
}

static void remove_at(struct watch *w, size_t at)
{
	place_done(&w->places[at]);
	w->count--;
	memmove(&w->places[at], &w->places[at + 1], (w->count - at) * sizeof(*w->places));
}

/* Takes `path` and `ref`, also when it fails. */
static int insert(struct watch *w, const struct place *p)
{
	size_t at = find(w, p->wd);

	if (at < w->count &&
	    w->places[at].wd == p->wd) { /* known: perhaps under another name now */
		place_done(&w->places[at]);
		w->places[at] = *p;
		return 0;
	}
	if (w->count == w->size) {
		size_t size = w->size ? w->size * 2 : 16;
		struct place *more = reallocarray(w->places, size, sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->places = more;
		w->size = size;
	}
	memmove(&w->places[at + 1], &w->places[at], (w->count - at) * sizeof(*w->places));
	w->places[at] = *p;
	w->count++;
	return 0;
}

/* --- covering ----------------------------------------------------------- */

/* May directory `ref` hold, or lead to, a ref that one of the globs means? */
static bool is_wanted(const char *ref, const char *const *globs)
{
	size_t length = strlen(ref);

	for (; *globs; globs++) {
		size_t plain = strcspn(*globs, "*?[\\");
		size_t shorter = plain < length ? plain : length;

		if (strncmp(ref, *globs, shorter) == 0 &&
		    (plain <= length || (*globs)[length] == '/'))
			return true;
	}
	return length == 0;
}

static int watch_one(struct watch *w, const struct place *like, struct error *err)
{
	const uint32_t mask = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
			      IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
	struct place p = *like;
	int rc;

	p.wd = inotify_add_watch(w->fd, p.path, mask);
	if (p.wd < 0 && errno == ENOSPC)
		return error_say(err, ENOSPC,
				 "the limit of inotify watches is reached: raise "
				 "fs.inotify.max_user_watches (sysctl)");
	if (p.wd < 0)
		return error_set(err, errno, "watch %s", p.path);
	p.path = strdup(p.path);
	p.ref = strdup(p.ref);
	rc = p.path && p.ref ? insert(w, &p) : -ENOMEM;
	if (rc < 0) {
		place_done(&p);
		return error_set(err, ENOMEM, "watch %s", like->path);
	}
	return 0;
}

static int cover(struct watch *w, const struct place *like, int depth, struct error *err);

static bool is_directory(DIR *dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int cover_child(struct watch *w, const struct place *parent, const char *name, int depth,
		       struct error *err)
{
	char path[PATH_MAX], ref[PATH_MAX];
	struct place child = *parent;
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", parent->path, name) >= (int)sizeof(path) ||
	    snprintf(ref, sizeof(ref), "%s%s%s", parent->ref, *parent->ref ? "/" : "", name) >=
		    (int)sizeof(ref))
		return 0; /* no ref can be that long */
	child.path = path;
	child.ref = ref;
	rc = cover(w, &child, depth + 1, err);
	return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc; /* gone again, as empty directories go */
}

/* The repository's own directory holds much that is none of our business: of it only `refs`. */
static bool is_followed(const struct place *parent, const char *name)
{
	char ref[PATH_MAX];

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	if (!*parent->ref)
		return strcmp(name, "refs") == 0;
	return snprintf(ref, sizeof(ref), "%s/%s", parent->ref, name) < (int)sizeof(ref) &&
	       is_wanted(ref, parent->globs);
}

/* First the watch, then the list: what is made in between is seen by one of the two. */
static int cover(struct watch *w, const struct place *like, int depth, struct error *err)
{
	int rc = depth < DEPTH_MAX ? watch_one(w, like, err) : 0;
	struct dirent *e;
	DIR *dir;

	if (rc < 0 || depth >= DEPTH_MAX)
		return rc;
	dir = opendir(like->path);
	if (!dir)
		return error_set(err, errno, "read %s", like->path);
	while (rc == 0 && (e = readdir(dir)))
		if (is_followed(like, e->d_name) && is_directory(dir, e))
			rc = cover_child(w, like, e->d_name, depth, err);
	closedir(dir);
	return rc;
}

int watch_cover(struct watch *w, void *owner, const char *path, const char *const *globs,
		struct error *err)
{
	char copy[PATH_MAX], top[] = "";
	struct place place = {.owner = owner, .path = copy, .ref = top, .globs = globs};
	size_t length = strlen(path);

	if (length >= sizeof(copy))
		return error_set(err, ENAMETOOLONG, "watch %.200s", path);
	memcpy(copy, path, length + 1);
	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	return cover(w, &place, 0, err);
}

void watch_drop(struct watch *w, void *owner)
{
	for (size_t at = w->count; at-- > 0;) {
		if (w->places[at].owner != owner)
			continue;
		(void)inotify_rm_watch(w->fd, w->places[at].wd); /* the directory may be gone */
		remove_at(w, at);
	}
}

size_t watch_count(const struct watch *w)
{
	return w->count;
}

/* --- events ------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), n = strlen(end);

	return length >= n && strcmp(text + length - n, end) == 0;
}

/* A lock file says that something will happen; its renaming says that it has. */
static bool matters(const struct place *p, const struct inotify_event *e)
{
	if (!e->len)
		return true; /* the directory itself */
	if (!*p->ref)
		return strcmp(e->name, "packed-refs") == 0 || strcmp(e->name, "HEAD") == 0 ||
		       strcmp(e->name, "refs") == 0;
	return !ends_with(e->name, ".lock");
}

static void cover_new(struct watch *w, const struct place *parent, const char *name)
{
	struct place copy = {.owner = parent->owner, .globs = parent->globs};
	owned_str *path = strdup(parent->path);
	owned_str *ref = strdup(parent->ref);
	struct error err = {0};

	copy.path = path; /* the table of places may move meanwhile */
	copy.ref = ref;
	if (path && ref && is_followed(&copy, name) && cover_child(w, &copy, name, 0, &err) < 0)
		log_warning("%s; branches below %s/%s are found by the poll", err.text, path, name);
}

static void handle(struct watch *w, const struct inotify_event *e)
{
	struct place *p = place_of(w, e->wd);
	void *owner = p ? p->owner : NULL;

	if (e->mask & IN_Q_OVERFLOW) {
		w->callbacks.overflow(w->context);
		return;
	}
	if (!p)
		return;
	if (e->mask & IN_IGNORED) {
		remove_at(w, find(w, e->wd));
		return;
	}
	if (!matters(p, e))
		return;
	if (e->mask & IN_ISDIR && e->mask & (IN_CREATE | IN_MOVED_TO) && e->len)
		cover_new(w, p, e->name);
	w->callbacks.changed(w->context, owner);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	char bytes[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct watch *w = arg;
	ssize_t length;

	(void)what;
	while ((length = read(fd, bytes, sizeof(bytes))) > 0)
		for (char *at = bytes; at < bytes + length;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)at;

			at += sizeof(*e) + e->len;
			handle(w, e);
		}
}

/* --- life --------------------------------------------------------------- */

int watch_new(struct event_base *base, const struct watch_callbacks *callbacks, void *context,
	      struct watch **out, struct error *err)
{
	owned(watch) *w = calloc(1, sizeof(*w));

	if (!w)
		return error_set(err, ENOMEM, "watch");
	w->callbacks = *callbacks;
	w->context = context;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0 && errno == EMFILE)
		return error_say(err, EMFILE,
				 "this user has too many inotify instances: raise "
				 "fs.inotify.max_user_instances (sysctl)");
	if (w->fd < 0)
		return error_set(err, errno, "inotify");
	w->event = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
	if (!w->event || event_add(w->event, NULL) < 0)
		return error_set(err, ENOMEM, "watch");
	*out = give(w);
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->event)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	for (size_t i = 0; i < w->count; i++)
		place_done(&w->places[i]);
	free(w->places);
	free(w);
}
