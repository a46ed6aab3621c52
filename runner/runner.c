#include "runner/runner_inside.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "runner/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define LOCK_TRIES       50
#define LOCK_PAUSE_MS    10
#define DISK_LOW_PERCENT 5
#define STOP_PATIENCE    10 /* s, for jobs to end and results to be acknowledged */
#define SOFTWARE         "cupel-runner " CUPEL_VERSION

/* --- the disk
 * ------------------------------------------------------------------------------------- */

uint64_t runner_floor(const struct runner *r, const struct statvfs *st)
{
	if (r->options.disk_floor)
		return r->options.disk_floor;
	return (uint64_t)st->f_blocks * st->f_frsize / 100 * DISK_LOW_PERCENT;
}

static const char *look_at_disk(struct runner *r, int dir, const char *what)
{
	struct statvfs st;
	uint64_t unused, floor;
	char text[2][24];

	if (fstatvfs(dir, &st) < 0)
		return "";
	unused = (uint64_t)st.f_bavail * st.f_frsize;
	floor = runner_floor(r, &st);
	if (unused >= floor)
		return "";
	units_format_size(unused, text[0], sizeof(text[0]));
	units_format_size(floor, text[1], sizeof(text[1]));
	(void)snprintf(r->pressure, sizeof(r->pressure),
		       "the disk of the runner's %s is low: %s are free, jobs are taken from %s on",
		       what, text[0], text[1]);
	return r->pressure;
}

unsigned runner_can(const struct runner *r, const Cupel__Limits *wish)
{
	const Cupel__Limits *ceiling = &r->owner.ceiling;
	uint64_t disk = wish && wish->disk ? wish->disk : ceiling->disk;
	uint64_t inodes = wish && wish->inodes ? wish->inodes : ceiling->inodes;
	struct statvfs fs;

	if (ceiling->disk && ceiling->disk < disk)
		disk = ceiling->disk;
	if (ceiling->inodes && ceiling->inodes < inodes)
		inodes = ceiling->inodes;
	if (fstatvfs(r->work, &fs) < 0 || (disk && (uint64_t)fs.f_blocks * fs.f_frsize > disk) ||
	    (inodes && (!fs.f_files || fs.f_files > inodes)))
		return r->can;
	return r->can | SANDBOX_CAN_DISK;
}

const char *runner_pressure(struct runner *r)
{
	const char *found;

	if (r->stopping)
		return "it is being stopped";
	found = look_at_disk(r, r->work, "worktrees");
	if (!*found)
		found = look_at_disk(r, r->spool, "spool");
	if (*found && !r->pressure_told)
		log_warning("%s", found);
	r->pressure_told = *found;
	return found;
}

/* --- stopping
 * ------------------------------------------------------------------------------------- */

static bool is_settled(const struct attempt *a, bool connected)
{
	return a->control < 0 && !a->cleaner && (a->acked || !connected);
}

void runner_ended(struct runner *r)
{
	const struct attempt *a;

	if (!r->stopping)
		return;
	TAILQ_FOREACH(a, &r->attempts, entry)
	if (!is_settled(a, r->dial && dial_link(r->dial)))
		return;
	(void)event_base_loopbreak(r->base); /* it is running */
}

void runner_leave(struct runner *r)
{
	r->left = true;
	(void)event_base_loopbreak(r->base); /* it is running */
}

static void on_stop_overdue(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	runner_leave(context);
}

void runner_stop(struct runner *r)
{
	static const struct timeval patience = {.tv_sec = STOP_PATIENCE};
	struct attempt *a;

	if (r->stopping) {
		runner_leave(r);
		return;
	}
	r->stopping = true;
	(void)event_add(r->stopping_for, &patience); /* without it a second signal is needed */
	runner_beat(r); /* so that what it gives up goes elsewhere, not back to it */
	TAILQ_FOREACH(a, &r->attempts, entry)
	attempt_order(a, CONTROL_ABORT, "the runner was stopped");
	runner_ended(r);
}

/* --- events
 * --------------------------------------------------------------------------------------- */

static void on_child(evutil_socket_t number, short what, void *context)
{
	struct runner *r = context;
	int status;
	pid_t pid;

	(void)number;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		attempt_reap(r, pid, status);
	runner_ended(r);
}

static void on_beat(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	runner_beat(context);
}

static void on_drained(void *context)
{
	attempt_send_all(context);
}

static void on_down(void *context, const char *reason)
{
	struct runner *r = context;

	log_warning("the dispatcher isn't there: %s; dialling on", reason);
	(void)event_del(r->beat);
	runner_ended(r);
}

static void on_refused(void *context, const char *reason)
{
	struct runner *r = context;

	free(r->refusal);
	r->refusal = strdup(reason);
	runner_stop(r);
}

static int add_events(struct runner *r, struct error *err)
{
	r->beat = evtimer_new(r->base, on_beat, r);
	r->stopping_for = evtimer_new(r->base, on_stop_overdue, r);
	r->child = evsignal_new(r->base, SIGCHLD, on_child, r);
	if (!r->beat || !r->stopping_for || !r->child || event_add(r->child, NULL) < 0)
		return error_set(err, ENOMEM, "watch for events");
	return 0;
}

static int start_dialling(struct runner *r, struct error *err)
{
	static const struct dial_callbacks callbacks = {.hello = runner_hello,
							.up = runner_up,
							.frame = runner_frame,
							.drained = on_drained,
							.down = on_down,
							.refused = on_refused};
	const struct dial_options options = {.address = r->options.address,
					     .token = r->options.token,
					     .role = CUPEL__ROLE__ROLE_RUNNER,
					     .name = r->options.name,
					     .software = SOFTWARE,
					     .was_there = !TAILQ_EMPTY(&r->attempts)};

	return dial_new(r->base, &options, &callbacks, r, &r->dial, err);
}

/* --- directories
 * ---------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return hash;
}

static int make_in(int dir, const char *path, const char *name, struct error *err)
{
	int fd;

	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make %s/%s", path, name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "open %s/%s", path, name) : fd;
}

static int open_work(struct runner *r, struct error *err)
{
	const char *given = r->options.work;

	if (!given && asprintf(&r->default_work, "%s/work", r->options.state) < 0)
		return error_set(err, ENOMEM, "open the state");
	r->work_path = given ? given : r->default_work;
	r->work = fd_make_path(r->work_path, 0700, err);
	return r->work < 0 ? r->work : 0;
}

/* A supervisor that was just forked when its runner was killed holds the lock for a moment still.
 */
static int lock_state(int state)
{
	int fd = fd_lock(state, "lock");

	for (int tries = 0; fd == -EWOULDBLOCK && tries < LOCK_TRIES; tries++) {
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
		fd = fd_lock(state, "lock");
	}
	return fd;
}

static int open_state(struct runner *r, struct error *err)
{
	const char *path = r->options.state;
	char *real;
	int mirrors;

	r->state = fd_make_path(path, 0700, err);
	if (r->state < 0)
		return r->state;
	r->lock = lock_state(r->state);
	if (r->lock == -EWOULDBLOCK)
		return error_say(
			err, EBUSY,
			"the state directory %s is in use by another runner: give this one "
			"its own by --state",
			path);
	if (r->lock < 0)
		return error_set(err, -r->lock, "lock the state directory %s", path);
	real = realpath(path, NULL);
	r->hash = hash_of(real ? real : path);
	free(real);
	r->spool = make_in(r->state, path, "spool", err);
	if (r->spool < 0)
		return r->spool;
	mirrors = make_in(r->state, path, "mirrors", err);
	if (mirrors < 0)
		return mirrors;
	(void)close(mirrors);
	if (asprintf(&r->mirrors, "%s/mirrors", path) < 0)
		return error_set(err, ENOMEM, "open the state");
	return open_work(r, err);
}

/* --- what an earlier runner left
 * ------------------------------------------------------------------ */

static DIR *open_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? NULL : fdopendir(fd);
}

static void adopt_all(struct runner *r)
{
	DIR *list = open_list(r->spool);
	uint64_t job;
	uint32_t epoch;

	for (struct dirent *e; list && (e = readdir(list));)
		if (spool_name_parse(e->d_name, &job, &epoch))
			attempt_adopt(r, e->d_name);
	if (list)
		(void)closedir(list);
}

static bool is_held(const struct runner *r, const char *name)
{
	const struct attempt *a;

	TAILQ_FOREACH(a, &r->attempts, entry)
	if (strcmp(a->name, name) == 0)
		return true;
	return false;
}

/* Worktrees that no attempt speaks for. */
static void clean_strays(struct runner *r)
{
	DIR *list = open_list(r->work);
	uint64_t job;
	uint32_t epoch;

	for (struct dirent *e; list && (e = readdir(list));) {
		char name[SPOOL_NAME_MAX], group[64];
		struct error err = {0};

		if (!spool_name_parse(e->d_name, &job, &epoch) || is_held(r, e->d_name))
			continue;
		spool_name(job, epoch, name);
		(void)snprintf(group, sizeof(group), "%08x-%s", r->hash, name);
		if (supervisor_clean(r->work, name, group, &err) < 0)
			log_warning("%s: %s", name, err.text);
	}
	if (list)
		(void)closedir(list);
}

/* --- the whole
 * ------------------------------------------------------------------------------------ */

static void tell_missing(void *context, bool ok, const char *what, const char *remedy)
{
	(void)context;
	if (!ok)
		log_warning("missing: %s: %s", what, remedy);
}

static int set_up(struct runner *r, struct error *err)
{
	int rc = open_state(r, err);

	if (rc == 0)
		rc = ceiling_check(&r->owner, runner_can(r, NULL), err);
	if (rc == 0 && getrandom(r->incarnation, sizeof(r->incarnation), 0) < 0)
		rc = error_set(err, errno, "choose an incarnation");
	if (rc == 0)
		rc = add_events(r, err);
	if (rc < 0)
		return rc;
	(void)sandbox_check(tell_missing, NULL); /* jobs that need it are declined, one by one */
	adopt_all(r);
	clean_strays(r);
	return start_dialling(r, err);
}

int runner_new(struct event_base *base, const struct runner_options *options, struct runner **out,
	       struct error *err)
{
	owned(runner) *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return error_set(err, ENOMEM, "start the runner");
	r->base = base;
	r->options = *options;
	r->owner = options->owner;
	r->state = r->spool = r->work = r->lock = -1;
	r->can = sandbox_can();
	r->heartbeat_ms = 5000;
	r->lease_ms = 60000;
	TAILQ_INIT(&r->attempts);
	rc = set_up(r, err);
	if (rc < 0)
		return rc;
	*out = give(r);
	return 0;
}

void runner_free(struct runner *r)
{
	const int fds[] = {r->state, r->spool, r->work, r->lock};
	struct event *events[] = {r->beat, r->child, r->stopping_for};

	dial_free(r->dial);
	r->dial = NULL;
	for (struct attempt *a; (a = TAILQ_FIRST(&r->attempts));)
		attempt_free(a);
	for (size_t i = 0; i < 3; i++)
		if (events[i])
			event_free(events[i]);
	for (size_t i = 0; i < 4; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(r->default_work);
	free(r->mirrors);
	free(r->refusal);
	free(r->held);
	free(r->held_list);
	free(r);
}

const char *runner_refusal(const struct runner *r)
{
	return r->refusal;
}
