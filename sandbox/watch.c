/* One epoll descriptor behind which output, timers and the end come together, and a small state
 * that only moves forward: running, dead, over. */
#include "sandbox/job.h"

#include "base/clock.h"
#include "sandbox/init.h"
#include "sandbox/launcher.h"
#include "sandbox/oom_log.h"
#include "sandbox/sys.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

/* Bytes taken from a pipe in one step: a flood must not hold the caller. */
#define READ_AT_ONCE (1 << 16)
#define READS_A_STEP 16

/* A pipe of that many bytes lets a job that prints a lot go on while the caller is busy. It gets
 * one when it has once filled the usual one. */
#define PIPE_SIZE (1 << 18)

/* The kernel buries asynchronously; how often the groups are looked at until they are empty, and
 * how long an empty one may resist its removal. */
#define BURIAL_POLL_MS 2
#define BURIAL_MAX_MS  5000

/* How often the processor time is looked at when it could be exceeded soon. */
#define CPU_POLL_MIN_MS 20

/* How long a program may stay that ended, and that is traced: the first process sees to it. */
#define TRACED_MS 5000

/* How long the launcher may take to reap what is dead. */
#define LAUNCHER_PATIENCE_MS 200

/* A job that was killed and isn't dead by then is told of. */
#define UNDYING_MS 5000

/* v1 tells of a kill for memory before it has done and counted it; then it is looked for. */
#define OOM_LOOK_EACH_MS 20
#define OOM_LOOK_MS      1000

static const char UNREADABLE_CPU[] = "the job's processor time, which is limited, can't be read",
		  UNREADABLE_COUNTS[] = "what the job's limits refused or killed can't be read";

enum event {
	EVENT_CONTROL,
	EVENT_STDOUT,
	EVENT_STDERR,
	EVENT_PIDFD,
	EVENT_TIMER,
	EVENT_OOM,
	EVENT_DENIED
};

static int watch(struct sandbox *s, int fd, uint32_t events, enum event event)
{
	struct epoll_event e = {.events = events, .data.u32 = event};

	return fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int watch_once(struct sandbox *s, int fd, uint32_t events, enum event event)
{
	int rc = watch(s, fd, events, event);

	return rc == -EEXIST ? 0 : rc;
}

int watch_limits(struct sandbox *s, const struct sandbox_limits *limits)
{
	uint32_t events = 0;
	int fd = s->cg ? cgroup_oom_fd(s->cg, &events) : -1;
	int rc = watch_once(s, fd, events, EVENT_OOM);

	/* Who waits for a disk can't die before that answers: the program's end is told at once.
	 * Otherwise the last words are read when the first process is dead. */
	if (rc == 0 && (cgroup_names_disks(limits) || init_fault.step))
		rc = watch_once(s, s->job.control, EPOLLIN, EVENT_CONTROL);
	return rc;
}

int watch_start(struct sandbox *s, struct error *err)
{
	int rc;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll < 0 || s->timer < 0)
		return error_set(err, errno, "watch the job");
	rc = watch(s, s->timer, EPOLLIN, EVENT_TIMER);
	if (rc == 0)
		rc = watch(s, s->job.output[0], EPOLLIN, EVENT_STDOUT);
	if (rc == 0)
		rc = watch(s, s->job.output[1], EPOLLIN, EVENT_STDERR);
	if (rc == 0)
		rc = watch(s, s->job.pidfd, EPOLLIN, EVENT_PIDFD);
	if (rc == 0)
		rc = watch_limits(s, &s->limits);
	if (rc == 0)
		rc = watch(s, s->job.listener, EPOLLIN | EPOLLONESHOT, EVENT_DENIED);
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

void watch_kill(struct sandbox *s, enum cause cause)
{
	if (s->ending.cause == CAUSE_NONE)
		s->ending.cause = cause;
	if (s->dead)
		return;
	if (!s->killed)
		s->killed = clock_boot_ms();
	(void)sys_pidfd_send_signal(s->job.pidfd, SIGKILL); /* its namespace dies with it */
	cgroup_kill(s->cg);
}

static void earliest(int64_t *at, int64_t candidate)
{
	if (candidate && (*at == 0 || candidate < *at))
		*at = candidate;
}

/* What decides can't be read. Nothing is concluded from that: who isn't seen isn't within limits.
 */
static void give_up(struct sandbox *s, const char *what, int rc)
{
	if (s->ending.cause != CAUSE_NONE)
		return;
	s->ending.cause = CAUSE_LIBRARY;
	if (asprintf(&s->reason, "%s: %s", what, strerror(-rc)) < 0)
		s->reason = NULL; /* without memory the sentence is a general one */
}

static void check_cpu(struct sandbox *s, int64_t now)
{
	uint64_t used = 0, left;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	int rc = cgroup_cpu_us(s->cg, &used);

	if (rc < 0)
		give_up(s, UNREADABLE_CPU, rc);
	used /= 1000;
	if (rc < 0 || used >= s->limits.cpu_time_ms) {
		watch_kill(s, CAUSE_CPU_TIME);
		return;
	}
	left = (s->limits.cpu_time_ms - used) / (uint64_t)(processors > 0 ? processors : 1);
	s->next_cpu_check = now + (int64_t)(left < CPU_POLL_MIN_MS ? CPU_POLL_MIN_MS : left);
}

static void check_memory(struct sandbox *s)
{
	int rc = cgroup_counts(s->cg, &s->ending.counts);

	if (rc < 0)
		give_up(s, UNREADABLE_COUNTS, rc);
	if (rc < 0 || s->ending.counts.oom_kills)
		watch_kill(s, CAUSE_MEMORY);
}

static void forget(struct sandbox *s, int *fd)
{
	(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, *fd, NULL);
	(void)close(*fd);
	*fd = -1;
}

static void read_control(struct sandbox *s)
{
	struct message m;
	ssize_t n = recv(s->job.control, &m, sizeof(m), MSG_DONTWAIT);

	if (n == sizeof(m) && m.word == WORD_ENDED) {
		s->ending.has_status = m.status != -1;
		s->ending.status = m.status;
		s->usage.disk_peak = m.disk;
		s->ending.no_bytes = m.no_bytes;
		s->ending.no_inodes = m.no_inodes;
		s->ended = m.ended;
		cgroup_drain(s->cg);
	} else if (n == sizeof(m) && m.word == WORD_ENDING) {
		s->ended = m.ended;
	} else if (n == sizeof(m) && m.word == WORD_FAILED) {
		s->ending.failure = m;
	} else if (n == sizeof(m) && m.word == WORD_HALTED) {
		(void)raise(SIGSTOP); /* whoever tests goes on from here */
	} else if (n == sizeof(m) && m.word == WORD_REAPED) {
		s->reaped = m.usage;
		s->was_reaped = true;
	} else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		forget(s, &s->job.control);
	}
}

/* Who ended in time isn't blamed for how long it takes until all of him is gone. When that may be;
 * 0: he is killed. */
static int64_t time_is_up(struct sandbox *s, enum cause cause, int64_t end, int64_t now)
{
	bool in_time;

	if (!s->ended && s->job.control >= 0)
		read_control(s);
	in_time = s->ended && s->ended < end;
	if (in_time && !s->ending.has_status) {
		if (now < end + TRACED_MS)
			return end + TRACED_MS;
		in_time = false;
	}
	watch_kill(s, in_time ? CAUSE_NONE : cause);
	return 0;
}

/* Looks at the clocks and sets the timer to the next moment of interest. */
void watch_clocks(struct sandbox *s)
{
	const struct sandbox_limits *l = &s->limits;
	int64_t now = clock_boot_ms(), next = 0;

	if (s->dead) {
		arm(s, s->held ? 0 : now + BURIAL_POLL_MS);
		return;
	}
	if (l->wall_ms) {
		int64_t end = s->started + (int64_t)l->wall_ms;

		if (now >= end)
			end = time_is_up(s, CAUSE_WALL, end, now);
		earliest(&next, end);
	}
	if (l->idle_ms && !s->frozen_at && !s->held) {
		int64_t end = s->last_output + (int64_t)l->idle_ms;

		if (now >= end)
			end = time_is_up(s, CAUSE_IDLE, end, now);
		earliest(&next, end);
	}
	if (l->cpu_time_ms) {
		if (now >= s->next_cpu_check)
			check_cpu(s, now);
		earliest(&next, s->next_cpu_check);
	}
	if (now < s->oom_look_until) {
		check_memory(s);
		earliest(&next, now + OOM_LOOK_EACH_MS);
	}
	if (s->launcher)
		earliest(&next, launcher_refill(s->launcher, now));
	if (s->ending.cause != CAUSE_NONE)
		next = 0;
	if (s->killed && !s->told_undying)
		earliest(&next, s->killed + UNDYING_MS);
	arm(s, next);
}

/* Once. */
static int tell_undying(struct sandbox *s, struct error *err)
{
	if (s->dead || !s->killed || s->told_undying || clock_boot_ms() < s->killed + UNDYING_MS)
		return 0;
	s->told_undying = true;
	return error_say(err, EBUSY,
			 "the job was killed %d seconds ago and doesn't die: it waits for a disk, "
			 "or a server of files, or stands in a frozen control group (%s); it is "
			 "over when it does",
			 UNDYING_MS / 1000, s->cg ? cgroup_name(s->cg) : "");
}

void watch_freeze(struct sandbox *s, bool frozen)
{
	int64_t now = clock_boot_ms();

	if (frozen && !s->frozen_at)
		s->frozen_at = now;
	if (!frozen && s->frozen_at) { /* what was in the pipe still came */
		s->last_output +=
			now - (s->last_output > s->frozen_at ? s->last_output : s->frozen_at);
		s->frozen_at = 0;
	}
	watch_clocks(s);
}

static void watch_output(struct sandbox *s)
{
	for (int i = 0; i < 2; i++)
		if (s->held && s->job.output[i] >= 0)
			(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->job.output[i], NULL);
		else if (watch(s, s->job.output[i], EPOLLIN, i ? EVENT_STDERR : EVENT_STDOUT) < 0)
			watch_kill(s, CAUSE_LIBRARY);
}

void watch_hold(struct sandbox *s, bool held)
{
	s->held = held;
	s->last_output = clock_boot_ms();
	watch_output(s);
	if (s->dead && !held)
		arm(s, s->last_output);
	else
		watch_clocks(s);
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
			watch_kill(s, CAUSE_OUTPUT);
	}
	s->usage.output_bytes += length;
	if (length && s->output)
		s->output(s->context, stream, bytes, length);
}

/* True when there may be more. */
static bool read_output(struct sandbox *s, int i)
{
	char bytes[READ_AT_ONCE];

	for (int n = 0; n < READS_A_STEP && !s->held; n++) {
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
		if ((size_t)got == sizeof(bytes) && !s->wide[i]) {
			s->wide[i] = true; /* or not: a user's quota of pipes may be used up */
			(void)fcntl(s->job.output[i], F_SETPIPE_SZ, PIPE_SIZE);
		}
		take(s, i + 1, bytes, (size_t)got);
		if ((size_t)got < sizeof(bytes))
			return false;
	}
	return true;
}

/* How the program ended, or why it could not be executed. */
static bool has_told(const struct sandbox *s)
{
	return s->ending.has_status || s->ending.failure.word == WORD_FAILED;
}

/* What only the launcher knows, who tells it when he is asked, or when his socket hangs up: whoever
 * ended without a word may have been killed with him, and where no group measures he tells the
 * usage. */
static bool wants_launcher(const struct sandbox *s)
{
	return s->launcher && !s->was_reaped &&
	       (!has_told(s) || !(cgroup_holds(s->cg) & SANDBOX_CAN_CPU_TIME));
}

/* The first process's words are there when it is gone. */
static void take_last_words(struct sandbox *s)
{
	bool asked = false;

	while (s->job.control >= 0 && (!has_told(s) || wants_launcher(s))) {
		bool wanted = wants_launcher(s);
		struct pollfd wait = {.fd = s->job.control, .events = POLLIN};

		if (poll(&wait, 1, asked && wanted ? LAUNCHER_PATIENCE_MS : 0) > 0) {
			read_control(s);
		} else if (wanted && !asked) {
			launcher_reap(s->launcher);
			asked = true;
		} else {
			return;
		}
	}
}

/* Who is stopped himself, or has no processor, doesn't see a limit pass. */
static void judge_late(struct sandbox *s)
{
	const struct sandbox_limits *l = &s->limits;
	uint64_t used = 0;
	int rc = l->cpu_time_ms ? cgroup_cpu_us(s->cg, &used) : 0;

	if (l->wall_ms && s->ended - s->started >= (int64_t)l->wall_ms)
		s->ending.cause = CAUSE_WALL;
	else if (rc < 0)
		give_up(s, UNREADABLE_CPU, rc);
	else if (l->cpu_time_ms && used / 1000 >= l->cpu_time_ms)
		s->ending.cause = CAUSE_CPU_TIME;
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
	take_last_words(s);
	if (s->ending.has_status && s->ending.cause == CAUSE_NONE)
		judge_late(s);
	if (!has_told(s) && s->ending.cause == CAUSE_NONE && s->launcher && !s->was_reaped &&
	    s->job.control < 0) { /* its socket hung up */
		s->ending.cause = CAUSE_LIBRARY;
		s->reason = strdup("the launcher died, and the job with it");
	}
	s->dead = true;
	s->died = clock_boot_ms();
	(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->job.pidfd, NULL);
}

/* The filter's end, which comes with everybody's, needs nothing done: its listener was disarmed by
 * telling it. */
static void answer_denied(struct sandbox *s, uint32_t events)
{
	struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = EVENT_DENIED};

	if ((events & EPOLLIN) && denied_answer(s->job.listener, &s->denied) &&
	    epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->job.listener, &again) < 0)
		watch_kill(s, CAUSE_LIBRARY); /* or it would wait for an answer without end */
}

static void dispatch(struct sandbox *s, enum event event, uint32_t happened)
{
	uint64_t events;

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
	case EVENT_TIMER:
		(void)read(s->timer, &events, sizeof(events));
		s->armed = 0;
		break;
	case EVENT_OOM:
		cgroup_oom_heard(s->cg);
		s->oom_look_until = clock_boot_ms() + OOM_LOOK_MS; /* by watch_clocks() */
		break;
	case EVENT_DENIED:
		answer_denied(s, happened);
		break;
	}
}

void watch_measure(struct sandbox *s, struct sandbox_usage *out)
{
	int64_t end = s->died ? (s->ended ? s->ended : s->died) : clock_boot_ms();

	*out = s->usage;
	out->wall_ms = (uint64_t)(end - s->started);
	out->cpu_user_ms = (uint64_t)s->reaped.ru_utime.tv_sec * 1000 +
			   (uint64_t)s->reaped.ru_utime.tv_usec / 1000;
	out->cpu_system_ms = (uint64_t)s->reaped.ru_stime.tv_sec * 1000 +
			     (uint64_t)s->reaped.ru_stime.tv_usec / 1000;
	out->measured = (s->dead ? SANDBOX_MEASURED_CPU : 0) |
			(s->ending.has_status && s->limits.disk ? SANDBOX_MEASURED_DISK : 0);
	if (s->cg)
		cgroup_usage(s->cg, out);
}

static void judge(struct sandbox *s)
{
	struct oom_kill kill;
	bool limited = s->limits.memory || s->limits.tasks;
	int rc = 0;

	if (limited || !outcome_is_success(&s->ending))
		rc = cgroup_counts(s->cg, &s->ending.counts);
	if (rc < 0 && limited)
		give_up(s, UNREADABLE_COUNTS, rc);
	watch_measure(s, &s->outcome.usage);
	s->usage = s->outcome.usage;
	if (s->ending.counts.oom_kills && oom_log_find(cgroup_name(s->cg), s->started, &kill)) {
		s->ending.victim = kill.victim;
		if (s->ending.counts.memory_guessed)
			s->ending.counts.memory_full = kill.own_limit;
	}
	s->ending.command = s->command;
	s->ending.reason = s->reason;
	outcome_judge(&s->ending, &s->limits, &s->outcome);
	denied_report(&s->denied, &s->outcome);
	s->ending.victim = NULL;
}

/* Who can't look removes: the kernel removes no group with somebody in it. */
static bool prove_by_removal(struct sandbox *s, int rc, bool late)
{
	if (cgroup_vanish(s->cg) == 0)
		return true;
	cgroup_kill(s->cg);
	if (!late)
		return false;
	s->ending.cause = CAUSE_NONE; /* nothing matters more */
	free(s->reason);
	give_up(s, "whether all of the job is gone can't be seen", rc);
	judge(s);
	return true;
}

/* After the first process was reaped nothing of its namespace lives; what remains is to see the
 * groups empty, take the last output, and remove them. True when all that is done. */
static bool bury(struct sandbox *s)
{
	bool late = clock_boot_ms() - s->died > BURIAL_MAX_MS;
	bool more = read_output(s, 0);
	int inside;

	more = read_output(s, 1) || more;
	if (more || s->held)
		return false;
	inside = cgroup_populated(s->cg);
	if (inside > 0) {
		cgroup_kill(s->cg);
		return false;
	}
	if (s->outcome.reason[0] == '\0')
		judge(s);
	if (inside < 0)
		return prove_by_removal(s, inside, late);
	/* With a launcher there is a better time to remove them. */
	return (s->launcher && !s->named) || cgroup_vanish(s->cg) == 0 || late;
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

		watch_kill(s, CAUSE_LIBRARY);
		return error_set(err, code, "watch the job");
	}
	for (int i = 0; i < n; i++)
		dispatch(s, (enum event)events[i].data.u32, events[i].events);
	if (s->dead && bury(s)) {
		s->over = true;
		(void)watch(s, s->job.pidfd, EPOLLIN, EVENT_PIDFD); /* it stays readable */
		if (s->launcher)
			launcher_part(s->launcher);
		return 1;
	}
	watch_clocks(s);
	return tell_undying(s, err);
}
