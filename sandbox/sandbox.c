/* A job's life as its caller sees it: started, changed, ended. */
#include "sandbox/sandbox.h"

#include "base/clock.h"
#include "sandbox/birth.h"
#include "sandbox/job.h"
#include "sandbox/launcher.h"
#include "sandbox/network.h"
#include "sandbox/room.h"
#include "sandbox/spec.h"
#include "sandbox/step.h"
#include "sandbox/template.h"
#include "sandbox/turn.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
	watch_kill(s, CAUSE_CANCELLED);
}

int sandbox_freeze(struct sandbox *s, bool frozen, struct error *err)
{
	int rc = s->dead || s->over ? 0 : cgroup_freeze(s->cg, frozen, err);

	if (rc == 0 && !s->dead && !s->over)
		watch_freeze(s, frozen);
	return rc;
}

void sandbox_hold_output(struct sandbox *s, bool held)
{
	if (!s->over && held != s->held)
		watch_hold(s, held);
}

static bool differs(uint64_t wanted, uint64_t is)
{
	return wanted && wanted != is;
}

int sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *limits, struct error *err)
{
	struct sandbox_limits next;
	int rc = spec_check_limits(limits, err);

	if (rc == 0 &&
	    (differs(limits->disk, s->limits.disk) || differs(limits->inodes, s->limits.inodes) ||
	     differs(limits->files, s->limits.files)))
		rc = error_say(
			err, EOPNOTSUPP,
			"the limits of disk, inodes and files stay what they are while a job runs");
	if (rc == 0 && !s->dead)
		rc = cgroup_set_limits(s->cg, limits, err);
	if (rc == 0 && !s->dead && watch_limits(s, limits) < 0) {
		rc = error_set(err, errno, "watch the limits");
		(void)cgroup_set_limits(s->cg, &s->limits, NULL); /* they could be had before */
	}
	if (rc < 0)
		return rc;
	next = *limits;
	next.disk = s->limits.disk;
	next.inodes = s->limits.inodes;
	next.files = s->limits.files;
	s->limits = next;
	if (next.tasks && (!s->ending.fewest_tasks || next.tasks < s->ending.fewest_tasks))
		s->ending.fewest_tasks = next.tasks;
	s->next_cpu_check = 0;
	watch_clocks(s);
	return 0;
}

void sandbox_usage(struct sandbox *s, struct sandbox_usage *out)
{
	if (s->over)
		*out = s->usage;
	else
		watch_measure(s, out);
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

static void tend(struct sandbox_launcher *l)
{
	turn_take();
	launcher_tend(l);
	turn_end();
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	if (s->job.pidfd >= 0 && !s->over) {
		s->output = NULL;
		sandbox_hold_output(s, false);
		sandbox_kill(s, "by the caller");
		wait_for_end(s);
	}
	launched_done(&s->job);
	if (s->epoll >= 0)
		(void)close(s->epoll);
	if (s->timer >= 0)
		(void)close(s->timer);
	/* The groups of one that failed to start may not be empty: its first process ends where its
	 * order would have come. */
	if (s->launcher && s->cg && (!s->named || !s->over))
		launcher_bury(s->launcher, s->cg);
	else
		cgroup_free(s->cg);
	if (s->launcher && !s->over)
		launcher_part(s->launcher);
	if (s->launcher) /* now it takes no time from the job */
		tend(s->launcher);
	free(s->command);
	free(s->reason);
	free(s);
}

static int make_groups(struct sandbox *s, struct plan *plan, struct error *err)
{
	int rc = s->launcher ? launcher_birth(s->launcher, plan, &s->cg, &s->job, err) : -ENOENT;

	if (s->launcher && plan->birth == BIRTH_PLANNED && (rc == -ENOENT || rc == -ESTALE)) {
		launcher_part(s->launcher); /* it doesn't see what was mounted after it was made */
		s->launcher = NULL;
	}
	return s->launcher ? rc : cgroup_new(plan, &s->cg, err);
}

static int begin(struct sandbox *s, struct plan *plan, struct error *err)
{
	const struct sandbox_limits *limits = &plan->spec->limits;
	int rc = make_groups(s, plan, err);

	if (rc == 0)
		rc = cgroup_open(s->cg, limits, err);
	if (rc < 0)
		return rc;
	if (limits->tasks && !(cgroup_holds(s->cg) & SANDBOX_CAN_TASKS))
		plan->tasks = limits->tasks; /* of its own user namespace, all together */
	s->started = s->last_output = clock_boot_ms();
	return launch_begin(plan, s->launcher, s->cg, &s->job, err);
}

static int launch_in_groups(struct sandbox *s, struct plan *plan, struct error *err)
{
	int rc;

	turn_take();
	rc = begin(s, plan, err);
	turn_end();
	return rc < 0 ? rc : launch_end(plan, s->cg, &s->job, &s->ending.failure, err);
}

/* By the kernel, without a cause: birth_stay_outside(). Nothing has run twice then. */
static bool was_killed_at_birth(const struct sandbox *s)
{
	struct cgroup_counts counts;

	if (!WIFSIGNALED(s->job.status) || WTERMSIG(s->job.status) != SIGKILL ||
	    s->job.may_have_run || birth_stays_outside())
		return false;
	return cgroup_counts(s->cg, &counts) == 0 && counts.oom_kills == 0;
}

static int start(struct sandbox *s, const struct sandbox_spec *spec, struct plan *plan,
		 struct error *err)
{
	int rc = room_check(&spec->limits, plan, err);

	if (rc == 0)
		rc = launch_in_groups(s, plan, err);
	if (rc == -ECHILD && was_killed_at_birth(s)) {
		birth_stay_outside();
		cgroup_free(s->cg);
		s->cg = NULL;
		s->job = LAUNCHED_NONE;
		rc = launch_in_groups(s, plan, err);
	}
	if (rc < 0)
		return rc;
	rc = watch_start(s, err);
	if (rc < 0)
		return launched_kill(&s->job, cgroup_name(s->cg), rc, err);
	if (s->ending.failure.word == WORD_FAILED) {
		s->dead = true;
		s->died = clock_boot_ms();
	}
	if (s->launcher)
		launcher_runs(s->launcher);
	watch_clocks(s);
	return 0;
}

void sandbox_prepare(void)
{
	const struct sandbox_spec spec = {.argv = (const char *const[]){"-", NULL},
					  .profile = SANDBOX_CI};
	struct plan plan;

	turn_take();
	if (plan_make(&spec, &plan, NULL) ==
	    0) /* what fails here fails again, and is told, later */
		plan_done(&plan);
	(void)cgroup_can();
	turn_end();
}

/* A user's launcher has left the host's network behind, and sees the host's mounts as they were
 * when it was made: jobs that want more than the ready root are started without it. */
static struct sandbox_launcher *launcher_for(const struct plan *plan)
{
	return geteuid() == 0 || template_serves(plan) ? plan->spec->launcher : NULL;
}

/* What helps against a lack that any step of this process may meet. */
static int add_remedy(int rc, struct error *err)
{
	const char *remedy = step_shortage(-rc);

	return remedy && err ? error_say(err, -rc, "%s; %s", err->text, remedy) : rc;
}

static int try_start(const struct sandbox_spec *spec, struct sandbox **out, struct error *err)
{
	owned(sandbox) *s = calloc(1, sizeof(*s));
	struct plan plan;
	int rc;

	if (!s)
		return error_set(err, ENOMEM, "start a sandbox");
	s->epoll = s->timer = -1;
	s->job = LAUNCHED_NONE;
	rc = spec_check(spec, err);
	if (rc == 0 && spec->network_open && spec->network == SANDBOX_NETWORK_NONE)
		rc = network_check(spec->network_fd, err);
	if (rc < 0)
		return rc;
	s->limits = spec->limits;
	s->ending.fewest_tasks = spec->limits.tasks;
	s->output = spec->output;
	s->context = spec->context;
	s->cut_output = spec->cut_output;
	s->named = spec->name != NULL;
	s->command = strdup(spec->argv[0]);
	turn_take();
	rc = plan_make(spec, &plan, err);
	turn_end();
	if (rc < 0)
		return rc;
	s->launcher = launcher_for(&plan);
	if (s->launcher)
		launcher_join(s->launcher);
	rc = start(s, spec, &plan, err);
	plan_done(&plan);
	if (s->launcher && rc < 0)
		launcher_forget(s->launcher, &s->job);
	if (rc < 0)
		return rc;
	*out = give(s);
	return 0;
}

int sandbox_start(const struct sandbox_spec *spec, struct sandbox **out, struct error *err)
{
	return add_remedy(try_start(spec, out, err), err);
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

	(void)sandbox_can(); /* knows the places from then on */
	return rc < 0 ? rc : cgroup_remove(cgroup_parent, name, err);
}

unsigned sandbox_can(void)
{
	unsigned can;

	turn_take();
	can = cgroup_can();
	turn_end();
	return can | SANDBOX_CAN_TASKS;
}
