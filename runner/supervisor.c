#include "runner/supervisor.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/tree.h"
#include "runner/launch.h"
#include "runner/mirror.h"
#include "runner/plan.h"
#include "runner/supervisor_inside.h"
#include "runner/worktree.h"
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- becoming a process of its own
 * ---------------------------------------------------------------- */

static void default_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	for (int number = 1; number < SIGRTMIN; number++)
		(void)signal(number, SIG_DFL); /* KILL and STOP refuse, and that is fine */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

#define PREPARE_MAX (15 * 60) /* s, more than any dispatcher waits for a fetch and a checkout */

#define DESCRIPTORS_LOOKED_AT 1024 /* at the start, when there are a few */

static int floor_fd = 3; /* descriptors below belong to libraries that need them in children too */

int supervisor_prepare(struct error *err)
{
	int fd = 0;

	for (int i = 3; i < DESCRIPTORS_LOOKED_AT; i++)
		if (fcntl(i, F_GETFD) >= 0)
			floor_fd = i + 1;
	while (fd < floor_fd) { /* gaps are filled, so that what comes later lies above */
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return error_set(err, errno, "open /dev/null");
	}
	(void)close(fd); /* the first above the floor */
	return 0;
}

/* Keeps the descriptors of `keep`, now right above the floor, and closes all others, so that
 * nothing of the main process, its link to the dispatcher above all, lives on in here. */
static int keep_only(int *const keep[], size_t count)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high[8], above = floor_fd + (int)count;

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -errno;
	for (size_t i = 0; i < count; i++) {
		high[i] =
			fcntl(*keep[i], F_DUPFD_CLOEXEC, above); /* out of the way of the others */
		if (high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < count; i++) {
		*keep[i] = floor_fd + (int)i;
		if (dup3(high[i], *keep[i], O_CLOEXEC) < 0)
			return -errno;
	}
	return syscall(SYS_close_range, (unsigned)above, ~0U, 0) < 0 ? -errno : 0;
}

static void become(const char *title)
{
	(void)setsid(); /* signals to the main process's group aren't for us */
	default_signals();
	(void)prctl(PR_SET_NAME, title);
}

/* --- running
 * -------------------------------------------------------------------------------------- */

static void on_output(void *context, int stream, const void *bytes, size_t length)
{
	struct supervisor *s = context;
	int rc;

	(void)stream;
	if (s->log_error)
		return;
	rc = fd_write_all(s->log, bytes, length);
	if (rc == 0)
		rc = digest_add(s->digest, bytes, length);
	if (rc < 0) {
		s->log_error = rc;
		return;
	}
	s->report.log_length += length;
	s->report_due = true;
}

/* What was half written isn't in the digest: the log ends where both agree. */
static void mend_log(struct supervisor *s)
{
	char reason[200];

	(void)ftruncate(s->log, (off_t)s->report.log_length);
	disk_look(s, true);
	if (s->ending.kind != ENDING_NONE)
		return;
	(void)snprintf(reason, sizeof(reason), "the runner's spool takes no more output: %s",
		       strerror(-s->log_error));
	sandbox_kill(s->sandbox, reason);
}

static void look_after(struct supervisor *s)
{
	struct error err = {0};
	bool mended = false;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = sandbox_fd(s->sandbox), .events = POLLIN},
			{.fd = s->spec->listener, .events = POLLIN},
			{.fd = s->connection, .events = POLLIN | (s->report_due ? POLLOUT : 0)},
		};
		int rc;

		/* EINTR: one step too many */
		(void)poll(fds, 3, disk_timeout(s, talk_timeout(s)));
		rc = sandbox_step(s->sandbox, &err);
		disk_look(s, rc == 1);
		if (rc == 1)
			return;
		if (rc < 0)
			log_warning("%s: %s", s->spec->name, err.text);
		if (s->log_error && !mended) {
			mended = true;
			mend_log(s);
		}
		talk_step(s);
	}
}

static int start_sandbox(struct supervisor *s, const struct git_commit *commit,
			 struct launch_room *room, struct error *err)
{
	const Cupel__Assign *assign = s->spec->ticket->assign;
	const struct launch launch = {.spec = assign->spec,
				      .granted = s->spec->ticket->granted,
				      .run = assign->run,
				      .commit = commit->id,
				      .ref = assign->ref,
				      .repository = assign->name};
	struct sandbox_spec spec = {.worktree_open = true, .output = on_output, .context = s};
	int rc = launch_fill(&launch, room, &spec, err);

	if (rc < 0)
		return rc;
	spec.worktree_fd = openat(s->spec->work, s->spec->name,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (spec.worktree_fd < 0)
		return error_set(err, errno, "open the worktree");
	spec.name = s->spec->cgroup;
	spec.id_base = s->spec->id_base;
	spec.id_count = s->spec->id_count;
	rc = sandbox_start(&spec, &s->sandbox, err);
	(void)close(spec.worktree_fd);
	return rc;
}

static void enter(struct supervisor *s, Cupel__State state)
{
	s->report.state = state;
	talk_report(s);
}

static void run_sandbox(struct supervisor *s, const struct git_commit *commit)
{
	struct launch_room room = {0};
	struct sandbox_outcome outcome;
	struct error err = {0};

	if (start_sandbox(s, commit, &room, &err) < 0) {
		answer_error(s, &err, true);
	} else {
		enter(s, CUPEL__STATE__STATE_RUNNING);
		look_after(s);
		sandbox_outcome(s->sandbox, &outcome);
		s->report.usage = outcome.usage;
		sandbox_free(s->sandbox);
		s->sandbox = NULL;
		enter(s, CUPEL__STATE__STATE_FINISHING);
		answer_outcome(s, &outcome);
	}
	launch_room_done(&room);
}

/* --- preparing
 * ------------------------------------------------------------------------------------ */

static struct mirror_spec mirror_of(struct supervisor *s)
{
	const Cupel__Assign *assign = s->spec->ticket->assign;

	return (struct mirror_spec){.mirrors = s->spec->mirrors,
				    .repository = assign->repository,
				    .revision = assign->revision,
				    .allowed = s->spec->repositories,
				    .disk_least = s->spec->fetch_least,
				    .stop = talk_stop,
				    .context = s};
}

static int open_repository(struct supervisor *s, struct git **out, struct git_commit *commit,
			   bool *copied, struct error *err)
{
	const struct mirror_spec spec = mirror_of(s);

	return mirror_open(&spec, out, commit, copied, err);
}

/* The next attempt finds it whole. */
static void forget_damaged(struct supervisor *s, int rc, bool copied)
{
	const struct mirror_spec spec = mirror_of(s);

	if (rc == -EUCLEAN && copied)
		mirror_forget(&spec);
}

/* Would the same fail on another box? Nobody knows when it couldn't be read here; what was read and
 * is wrong stays wrong. */
static bool is_boxs_fault(int rc, bool copied)
{
	return rc != -EINVAL && rc != -EILSEQ && (rc != -ENOENT || copied);
}

static void do_plan(struct supervisor *s)
{
	owned(git) *git = NULL;
	owned(jobfile) *jobs = NULL;
	struct git_commit commit;
	struct error err = {0};
	Cupel__Plan plan;
	bool copied = false;
	int rc = open_repository(s, &git, &commit, &copied, &err);

	if (rc < 0) {
		answer_error(s, &err, is_boxs_fault(rc, copied));
		return;
	}
	rc = plan_jobs(git, &commit, &jobs, &err);
	if (rc == 0)
		rc = plan_message(s->spec->ticket->assign->attempt, &commit, jobs, &plan, &err);
	if (rc == 0)
		rc = spool_write_answer(s->spec->dir, FRAME_PLAN, &plan.base, &err);
	if (rc < 0) {
		forget_damaged(s, rc, copied);
		answer_error(s, &err,
			     rc == -EIO || rc == -EUCLEAN || rc == -ENOMEM || rc == -ENOSPC);
		return;
	}
	s->report.answered = true;
	talk_report(s);
}

static void do_job(struct supervisor *s)
{
	owned(git) *git = NULL;
	struct git_commit commit;
	struct error err = {0};
	struct worktree_spec tree = {.tree = commit.tree,
				     .owner = s->spec->id_base ? s->spec->id_base + SANDBOX_UID
							       : (uid_t)-1,
				     .bytes_max = s->spec->bytes_max,
				     .stop = talk_stop,
				     .context = s};
	bool copied = false;
	int rc;

	enter(s, CUPEL__STATE__STATE_PREPARING);
	rc = open_repository(s, &git, &commit, &copied, &err);
	if (rc == 0) {
		tree.time = commit.time;
		rc = worktree_make(git, &tree, s->spec->work, s->spec->name, &err);
		forget_damaged(s, rc, copied);
	}
	(void)alarm(0); /* from here on the sandbox's clocks count */
	if (rc < 0)
		answer_error(s, &err, is_boxs_fault(rc, copied));
	else if (talk_stop(s))
		answer_error(s, &err, true);
	else
		run_sandbox(s, &commit);
	if (worktree_remove(s->spec->work, s->spec->name, &err) < 0)
		log_warning("%s: %s", s->spec->name, err.text);
	else
		s->report.released = true;
}

/* --- the process
 * ---------------------------------------------------------------------------------- */

static void child(const struct supervisor_spec *given)
{
	struct supervisor_spec spec = *given;
	struct supervisor s = {.spec = &spec, .connection = -1, .lease = spec.lease, .log = -1};
	int *const keep[] = {&spec.dir, &spec.listener, &spec.work};
	struct error err = {0};
	int rc;

	become("cupel-job");
	(void)alarm(PREPARE_MAX); /* where no peer's silence can hold it for ever */
	rc = keep_only(keep, 3);
	if (rc < 0)
		_exit(1);
	s.digest = digest_new();
	s.log = s.digest ? spool_open_log(spec.dir, true, &err) : -ENOMEM;
	if (s.log < 0)
		answer_error(&s, &err, true);
	else if (spec.ticket->assign->kind == CUPEL__KIND__KIND_PLAN)
		do_plan(&s);
	else
		do_job(&s);
	s.report.released |= spec.ticket->assign->kind == CUPEL__KIND__KIND_PLAN;
	s.report.state = CUPEL__STATE__STATE_ENDED;
	talk_report(&s);
	_exit(0);
}

pid_t supervisor_start(const struct supervisor_spec *spec, struct error *err)
{
	pid_t pid = fork();

	if (pid == 0)
		child(spec);
	return pid < 0 ? error_set(err, errno, "start a supervisor") : pid;
}

static int clean(int work, const char *name, const char *cgroup)
{
	struct error err = {0};
	int rc = cgroup_remove("cupel", cgroup, &err);

	if (rc == 0)
		rc = worktree_remove(work, name, &err);
	if (rc < 0)
		log_warning("%s: %s", name, err.text);
	return rc;
}

pid_t supervisor_clean(int work, const char *name, const char *cgroup, struct error *err)
{
	pid_t pid = fork();
	int *const keep[] = {&work};

	if (pid == 0) {
		become("cupel-clean");
		_exit(keep_only(keep, 1) == 0 && clean(work, name, cgroup) == 0 ? 0 : 1);
	}
	return pid < 0 ? error_set(err, errno, "start the removal of %s", name) : pid;
}
