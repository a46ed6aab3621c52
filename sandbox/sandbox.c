/* The job as its caller sees it: one epoll descriptor behind which output, timers and the end come
 * together, and a small state that only moves forward: running, dying, over. */
#include "sandbox/sandbox.h"

#include "base/clock.h"
#include "sandbox/cgroup.h"
#include "sandbox/denied.h"
#include "sandbox/launch.h"
#include "sandbox/oom_log.h"
#include "sandbox/outcome.h"
#include "sandbox/spec.h"
#include "sandbox/sys.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

/* Bytes taken from a pipe in one step: a flood must not hold the caller. */
#define READ_AT_ONCE (1 << 16)
#define READS_A_STEP 16

/* The kernel buries asynchronously; how often the groups are looked at until they are empty, and
 * how long an empty one may resist its removal. */
#define BURIAL_POLL_MS 2
#define BURIAL_MAX_MS  5000

/* How often the processor time is looked at when it could be exceeded soon. */
#define CPU_POLL_MIN_MS 20

enum event {
	EVENT_CONTROL,
	EVENT_STDOUT,
	EVENT_STDERR,
	EVENT_PIDFD,
	EVENT_TIMER,
	EVENT_OOM,
	EVENT_DENIED
};

struct sandbox {
	struct cgroup *cg;
	struct launched job;
	struct sandbox_limits limits;
	void (*output)(void *context, int stream, const void *bytes, size_t length);
	void *context;
	bool cut_output;
	char *command;
	int epoll, timer;

	bool dead; /* its first process is reaped */
	bool over;
	int64_t started, last_output, died; /* clock_boot_ms() */
	int64_t next_cpu_check, armed;
	struct rusage reaped; /* where no group measures */
	struct sandbox_usage usage;
	struct denied_calls denied;
	struct ending ending;
	char *reason; /* of a cancellation */
	struct sandbox_outcome outcome;
};

static int watch(struct sandbox *s, int fd, uint32_t events, enum event event)
{
	struct epoll_event e = {.events = events, .data.u32 = event};

	return fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int watch_all(struct sandbox *s, struct error *err)
{
	int oom = s->cg ? cgroup_oom_fd(s->cg) : -1, rc;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll < 0 || s->timer < 0)
		return error_set(err, errno, "watch the job");
	rc = watch(s, s->timer, EPOLLIN, EVENT_TIMER);
	if (rc == 0)
		rc = watch(s, s->job.control, EPOLLIN, EVENT_CONTROL);
	if (rc == 0)
		rc = watch(s, s->job.output[0], EPOLLIN, EVENT_STDOUT);
	if (rc == 0)
		rc = watch(s, s->job.output[1], EPOLLIN, EVENT_STDERR);
	if (rc == 0)
		rc = watch(s, s->job.pidfd, EPOLLIN, EVENT_PIDFD);
	if (rc == 0)
		rc = watch(s, oom, EPOLLIN | EPOLLPRI, EVENT_OOM);
	if (rc == 0)
		rc = watch(s, s->job.listener, EPOLLIN, EVENT_DENIED);
	return rc < 0 ? error_set(err, -rc, "watch the job") : 0;
}

/* Sets the timer to `at` (clock_boot_ms), 0: off. */
static void arm(struct sandbox *s, int64_t at)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};

	if (at == s->armed)
		return;
	s->armed = at;
	(void)timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &when, NULL); /* arguments are valid */
}

static void kill_job(struct sandbox *s, enum cause cause)
{
	if (s->ending.cause == CAUSE_NONE)
		s->ending.cause = cause;
	if (s->dead)
		return;
	(void)sys_pidfd_send_signal(s->job.pidfd, SIGKILL); /* its namespace dies with it */
	cgroup_kill(s->cg);
}

static void earliest(int64_t *at, int64_t candidate)
{
	if (*at == 0 || candidate < *at)
		*at = candidate;
}

static void check_cpu(struct sandbox *s, int64_t now)
{
	uint64_t used = cgroup_cpu_us(s->cg) / 1000, left;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (used >= s->limits.cpu_time_ms) {
		kill_job(s, CAUSE_CPU_TIME);
		return;
	}
	left = (s->limits.cpu_time_ms - used) / (uint64_t)(processors > 0 ? processors : 1);
	s->next_cpu_check = now + (int64_t)(left < CPU_POLL_MIN_MS ? CPU_POLL_MIN_MS : left);
}

/* Looks at the clocks and sets the timer to the next moment of interest. */
static void check_time(struct sandbox *s)
{
	const struct sandbox_limits *l = &s->limits;
	int64_t now = clock_boot_ms(), next = 0;

	if (s->dead) {
		arm(s, now + BURIAL_POLL_MS);
		return;
	}
	if (l->wall_ms) {
		int64_t end = s->started + (int64_t)l->wall_ms;

		if (now >= end)
			kill_job(s, CAUSE_WALL);
		else
			earliest(&next, end);
	}
	if (l->idle_ms) {
		int64_t end = s->last_output + (int64_t)l->idle_ms;

		if (now >= end)
			kill_job(s, CAUSE_IDLE);
		else
			earliest(&next, end);
	}
	if (l->cpu_time_ms) {
		if (now >= s->next_cpu_check)
			check_cpu(s, now);
		earliest(&next, s->next_cpu_check);
	}
	arm(s, s->ending.cause == CAUSE_NONE ? next : 0);
}

static void forget(struct sandbox *s, int *fd)
{
	(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, *fd, NULL);
	(void)close(*fd);
	*fd = -1;
}

/* Takes over what came, up to the limit. */
static void take(struct sandbox *s, int stream, const char *bytes, size_t length)
{
	uint64_t limit = s->limits.output;

	s->last_output = clock_boot_ms();
	if (limit && s->usage.output_bytes + length > limit) {
		length =
			s->usage.output_bytes < limit ? (size_t)(limit - s->usage.output_bytes) : 0;
		s->outcome.output_cut = s->cut_output;
		if (!s->cut_output)
			kill_job(s, CAUSE_OUTPUT);
	}
	s->usage.output_bytes += length;
	if (length && s->output)
		s->output(s->context, stream, bytes, length);
}

/* True when there may be more. */
static bool read_output(struct sandbox *s, int i)
{
	char bytes[READ_AT_ONCE];

	for (int n = 0; n < READS_A_STEP; n++) {
		ssize_t got =
			s->job.output[i] < 0 ? 0 : read(s->job.output[i], bytes, sizeof(bytes));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return false;
		if (got <= 0) {
			if (s->job.output[i] >= 0)
				forget(s, &s->job.output[i]);
			return false;
		}
		take(s, i + 1, bytes, (size_t)got);
		if ((size_t)got < sizeof(bytes))
			return false;
	}
	return true;
}

static void read_control(struct sandbox *s)
{
	struct message m;
	ssize_t n = recv(s->job.control, &m, sizeof(m), MSG_DONTWAIT);

	if (n == sizeof(m) && m.word == WORD_ENDED) {
		s->ending.has_status = m.status != -1;
		s->ending.status = m.status;
		s->usage.disk_peak = m.disk;
	} else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		forget(s, &s->job.control);
	}
}

static void reap(struct sandbox *s)
{
	siginfo_t info = {0};

	/* The raw call also tells the usage, of all that the first process has reaped itself. */
	if (syscall(SYS_waitid, P_PIDFD, s->job.pidfd, &info, WEXITED | WNOHANG | __WALL,
		    &s->reaped) < 0 &&
	    errno != ECHILD) /* ECHILD: the caller's own wait took it */
		return;
	if (info.si_pid == 0 && errno != ECHILD)
		return;
	while (s->job.control >= 0 && !s->ending.has_status) { /* its last word is still there */
		struct pollfd wait = {.fd = s->job.control, .events = POLLIN};

		if (poll(&wait, 1, 0) <= 0)
			break;
		read_control(s);
	}
	s->dead = true;
	s->died = clock_boot_ms();
	(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->job.pidfd, NULL);
}

static void check_memory(struct sandbox *s)
{
	uint64_t events;
	struct cgroup_counts counts;
	int fd = cgroup_oom_fd(s->cg);

	(void)read(fd, &events, sizeof(events)); /* v1: resets it; v2: the counts are read below */
	cgroup_counts(s->cg, &counts);
	if (counts.oom_kills)
		kill_job(s, CAUSE_MEMORY);
}

static void dispatch(struct sandbox *s, enum event event)
{
	switch (event) {
	case EVENT_CONTROL:
		read_control(s);
		break;
	case EVENT_STDOUT:
		(void)read_output(s, 0);
		break;
	case EVENT_STDERR:
		(void)read_output(s, 1);
		break;
	case EVENT_PIDFD:
		reap(s);
		break;
	case EVENT_TIMER: {
		uint64_t ticks;

		(void)read(s->timer, &ticks, sizeof(ticks));
		s->armed = 0;
		break;
	}
	case EVENT_OOM:
		check_memory(s);
		break;
	case EVENT_DENIED:
		if (!denied_answer(s->job.listener, &s->denied))
			forget(s, &s->job.listener);
		break;
	}
}

static void measure(struct sandbox *s, struct sandbox_usage *out)
{
	int64_t end = s->died ? s->died : clock_boot_ms();

	*out = s->usage;
	out->wall_ms = (uint64_t)(end - s->started);
	out->cpu_user_ms = (uint64_t)s->reaped.ru_utime.tv_sec * 1000 +
			   (uint64_t)s->reaped.ru_utime.tv_usec / 1000;
	out->cpu_system_ms = (uint64_t)s->reaped.ru_stime.tv_sec * 1000 +
			     (uint64_t)s->reaped.ru_stime.tv_usec / 1000;
	if (s->cg)
		cgroup_usage(s->cg, out);
}

static void judge(struct sandbox *s)
{
	char victim[64];

	measure(s, &s->outcome.usage);
	s->usage = s->outcome.usage;
	if (s->limits.memory || s->limits.tasks)
		cgroup_counts(s->cg, &s->ending.counts);
	if (s->ending.counts.oom_kills &&
	    oom_log_victim(cgroup_name(s->cg), victim, sizeof(victim)))
		s->ending.victim = victim;
	s->ending.command = s->command;
	s->ending.reason = s->reason;
	outcome_judge(&s->ending, &s->limits, &s->outcome);
	denied_report(&s->denied, &s->outcome);
	s->ending.victim = NULL;
}

/* After the first process was reaped nothing of its namespace lives; what remains is to see the
 * groups empty, take the last output, and remove them. True when all that is done. */
static bool bury(struct sandbox *s)
{
	bool late = clock_boot_ms() - s->died > BURIAL_MAX_MS;
	bool more = read_output(s, 0);

	more = read_output(s, 1) || more;
	if (more)
		return false;
	if (cgroup_populated(s->cg)) {
		cgroup_kill(s->cg);
		return false;
	}
	if (s->outcome.reason[0] == '\0')
		judge(s);
	return cgroup_vanish(s->cg) == 0 || late;
}

int sandbox_step(struct sandbox *s, struct error *err)
{
	struct epoll_event events[8];
	int n;

	if (s->over)
		return 1;
	n = epoll_wait(s->epoll, events, 8, 0);
	if (n < 0 && errno != EINTR) {
		int code = errno;

		kill_job(s, CAUSE_LIBRARY);
		return error_set(err, code, "watch the job");
	}
	for (int i = 0; i < n; i++)
		dispatch(s, (enum event)events[i].data.u32);
	if (s->dead && bury(s)) {
		s->over = true;
		arm(s, 1); /* long past: the descriptor stays readable */
		return 1;
	}
	check_time(s);
	return 0;
}

int sandbox_fd(const struct sandbox *s)
{
	return s->epoll;
}

void sandbox_kill(struct sandbox *s, const char *reason)
{
	if (s->over)
		return;
	if (reason && !s->reason)
		s->reason = strdup(reason); /* without memory the sentence is a general one */
	kill_job(s, CAUSE_CANCELLED);
}

int sandbox_freeze(struct sandbox *s, bool frozen, struct error *err)
{
	return s->dead || s->over ? 0 : cgroup_freeze(s->cg, frozen, err);
}

static bool differs(uint64_t wanted, uint64_t is)
{
	return wanted && wanted != is;
}

int sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *limits, struct error *err)
{
	int rc = spec_check_limits(limits, err);

	if (rc == 0 &&
	    (differs(limits->disk, s->limits.disk) || differs(limits->inodes, s->limits.inodes) ||
	     differs(limits->files, s->limits.files)))
		rc = error_say(
			err, EOPNOTSUPP,
			"the limits of disk, inodes and files stay what they are while a job runs");
	if (rc == 0 && !s->dead)
		rc = cgroup_set_limits(s->cg, limits, err);
	if (rc < 0)
		return rc;
	s->limits = (struct sandbox_limits){.memory = limits->memory,
					    .tasks = limits->tasks,
					    .cpu_milli = limits->cpu_milli,
					    .cpu_weight = limits->cpu_weight,
					    .cpu_time_ms = limits->cpu_time_ms,
					    .wall_ms = limits->wall_ms,
					    .idle_ms = limits->idle_ms,
					    .output = limits->output,
					    .disk = s->limits.disk,
					    .inodes = s->limits.inodes,
					    .files = s->limits.files};
	s->next_cpu_check = 0;
	check_time(s);
	return 0;
}

void sandbox_usage(struct sandbox *s, struct sandbox_usage *out)
{
	if (s->over)
		*out = s->usage;
	else
		measure(s, out);
}

void sandbox_outcome(const struct sandbox *s, struct sandbox_outcome *out)
{
	*out = s->outcome;
}

static void wait_for_end(struct sandbox *s)
{
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = s->epoll, .events = POLLIN};

		(void)poll(&wait, 1, 1000);
	}
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	if (s->job.pidfd >= 0 && !s->over) {
		s->output = NULL;
		sandbox_kill(s, "by the caller");
		wait_for_end(s);
	}
	launched_done(&s->job);
	if (s->epoll >= 0)
		(void)close(s->epoll);
	if (s->timer >= 0)
		(void)close(s->timer);
	cgroup_free(s->cg);
	free(s->command);
	free(s->reason);
	free(s);
}

/* The worktree's own file system holds the disk limit when it is no larger: a sized tmpfs, a loop
 * image, an overlay whose upper layer is on one, a project with a quota. */
static int check_disk(const struct sandbox_limits *limits, struct plan *plan, struct error *err)
{
	struct statvfs fs;
	uint64_t bytes;

	if ((!limits->disk && !limits->inodes) || plan->worktree.fd < 0)
		return 0;
	if (fstatvfs(plan->worktree.fd, &fs) < 0)
		return error_set(err, errno, "look at the worktree's file system");
	bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	plan->bounded = bytes > 0 && (!limits->disk || bytes <= limits->disk) &&
			(!limits->inodes || (fs.f_files && fs.f_files <= limits->inodes));
	if (plan->bounded)
		return 0;
	return error_say(
		err, EOPNOTSUPP,
		"the disk limit can't be held: the worktree is on a file system of %llu MiB; "
		"put it on one no larger than the limit (a tmpfs with size=, a loop image, a "
		"project with a quota), or run without a worktree or without that limit",
		(unsigned long long)(bytes >> 20));
}

/* What the groups don't hold. */
static int hold_the_rest(const struct sandbox_spec *spec, struct cgroup *cg, struct plan *plan,
			 struct error *err)
{
	if (spec->limits.tasks && !(cgroup_holds(cg) & SANDBOX_CAN_TASKS))
		plan->tasks = spec->limits.tasks; /* of its own user namespace, all together */
	return check_disk(&spec->limits, plan, err);
}

static int start(struct sandbox *s, const struct sandbox_spec *spec, struct plan *plan,
		 struct error *err)
{
	int rc = cgroup_new(spec, &s->cg, err);

	if (rc == 0)
		rc = hold_the_rest(spec, s->cg, plan, err);
	if (rc < 0)
		return rc;
	s->started = s->last_output = clock_boot_ms();
	rc = launch(plan, s->cg, &s->job, &s->ending.failure, err);
	if (rc < 0)
		return rc;
	rc = watch_all(s, err);
	if (rc < 0) {
		launched_kill(&s->job);
		return rc;
	}
	if (s->ending.failure.word == WORD_FAILED) {
		s->dead = true;
		s->died = clock_boot_ms();
	}
	check_time(s);
	return 0;
}

void sandbox_prepare(void)
{
	const struct sandbox_spec spec = {.argv = (const char *const[]){"-", NULL},
					  .profile = SANDBOX_CI};
	struct plan plan;

	if (plan_make(&spec, &plan, NULL) ==
	    0) /* what fails here fails again, and is told, later */
		plan_done(&plan);
	(void)cgroup_can(NULL, 0);
}

int sandbox_start(const struct sandbox_spec *spec, struct sandbox **out, struct error *err)
{
	owned(sandbox) *s = calloc(1, sizeof(*s));
	struct plan plan;
	int rc;

	if (!s)
		return error_set(err, ENOMEM, "start a sandbox");
	s->epoll = s->timer = -1;
	s->job = (struct launched){.pidfd = -1, .control = -1, .output = {-1, -1}, .listener = -1};
	rc = spec_check(spec, err);
	if (rc < 0)
		return rc;
	s->limits = spec->limits;
	s->output = spec->output;
	s->context = spec->context;
	s->cut_output = spec->cut_output;
	s->command = strdup(spec->argv[0]);
	rc = plan_make(spec, &plan, err);
	if (rc < 0)
		return rc;
	rc = start(s, spec, &plan, err);
	plan_done(&plan);
	if (rc < 0)
		return rc;
	*out = give(s);
	return 0;
}

static void refused(const struct error *err, struct sandbox_outcome *out)
{
	*out = (struct sandbox_outcome){.verdict = SANDBOX_ERRORED,
					.exit_code = -1,
					.infrastructure = err->code != EINVAL,
					.shell_status = 125};
	(void)snprintf(out->reason, sizeof(out->reason), "%.390s", err->text);
}

int sandbox_run(const struct sandbox_spec *spec, struct sandbox_outcome *out, struct error *err)
{
	struct sandbox *s = NULL;
	struct error own = {0};
	int rc = sandbox_start(spec, &s, &own);

	if (!s) {
		refused(&own, out);
		if (err)
			*err = own;
		return rc;
	}
	wait_for_end(s);
	sandbox_outcome(s, out);
	sandbox_free(s);
	return 0;
}

int sandbox_remove(const char *cgroup_parent, const char *name, struct error *err)
{
	const struct sandbox_spec spec = {.argv = (const char *const[]){"-", NULL},
					  .name = name,
					  .cgroup_parent = cgroup_parent};
	int rc = spec_check(&spec, err);

	return rc < 0 ? rc : cgroup_remove(cgroup_parent, name, err);
}

unsigned sandbox_can(void)
{
	return cgroup_can(NULL, 0) | SANDBOX_CAN_TASKS;
}
