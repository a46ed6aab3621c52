#include "sandbox/outcome.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/units.h"

#define STATUS_TIME       124
#define STATUS_NOT_SET_UP 125
#define STATUS_REFUSED    126
#define STATUS_NOT_FOUND  127
#define STATUS_LIMIT      137

static void say(struct sandbox_outcome *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct sandbox_outcome *out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(out->reason, sizeof(out->reason), format, args); /* cut when too long */
	va_end(args);
}

static const char *size(uint64_t bytes, char *text)
{
	units_format_size(bytes, text, 32);
	return text;
}

static const char *duration(uint64_t ms, char *text)
{
	units_format_time(ms, text, 32);
	return text;
}

static void timed_out(struct sandbox_outcome *out, const char *limit)
{
	out->verdict = SANDBOX_TIMED_OUT;
	out->limit = limit;
	out->shell_status = STATUS_TIME;
}

static void killed(struct sandbox_outcome *out, const char *limit)
{
	out->verdict = SANDBOX_KILLED;
	out->limit = limit;
	out->shell_status = STATUS_LIMIT;
}

static void errored(struct sandbox_outcome *out)
{
	out->verdict = SANDBOX_ERRORED;
	out->infrastructure = true;
	out->shell_status = STATUS_NOT_SET_UP;
}

static void judge_memory(const struct ending *e, const struct sandbox_limits *limits,
			 struct sandbox_outcome *out)
{
	char limit[32], peak[32];

	killed(out, "memory");
	say(out, "over the memory limit of %s (peak %s)%s%s", size(limits->memory, limit),
	    size(out->usage.memory_peak, peak), e->victim ? ", in process " : "",
	    e->victim ? e->victim : "");
}

/* The limit that was reached is another's. */
static void judge_memory_above(const struct ending *e, const struct sandbox_limits *limits,
			       struct sandbox_outcome *out)
{
	char limit[32], peak[32];

	errored(out);
	say(out,
	    "%s was killed for want of memory %s%s (peak %s): a group above the job's, or the "
	    "host, had no more; give that more memory, or run fewer jobs at once",
	    e->victim ? e->victim : "a process",
	    limits->memory ? "within the limit of " : "without a limit",
	    limits->memory ? size(limits->memory, limit) : "", size(out->usage.memory_peak, peak));
}

static void judge_cause(const struct ending *e, const struct sandbox_limits *limits,
			struct sandbox_outcome *out)
{
	char a[32], b[32];

	switch (e->cause) {
	case CAUSE_WALL:
		timed_out(out, "wall");
		say(out, "still running after the wall time limit of %s",
		    duration(limits->wall_ms, a));
		break;
	case CAUSE_IDLE:
		timed_out(out, "idle");
		say(out, "no output for %s (the idle limit)", duration(limits->idle_ms, a));
		break;
	case CAUSE_CPU_TIME:
		killed(out, "cpu_time");
		out->shell_status = STATUS_TIME; /* a time limit, though the program's own doing */
		say(out, "used %s of processor time, the limit is %s",
		    duration(out->usage.cpu_user_ms + out->usage.cpu_system_ms, a),
		    duration(limits->cpu_time_ms, b));
		break;
	case CAUSE_OUTPUT:
		killed(out, "output");
		say(out, "printed more than the output limit of %s", size(limits->output, a));
		break;
	case CAUSE_DISK:
		killed(out, "disk");
		say(out, "wrote more than the disk limit of %s", size(limits->disk, a));
		break;
	case CAUSE_CANCELLED:
		out->verdict = SANDBOX_CANCELLED;
		out->shell_status = STATUS_LIMIT;
		say(out, "%s", e->reason ? e->reason : "the caller ended it");
		break;
	default:
		errored(out);
		say(out, "%s", e->reason ? e->reason : "the sandbox failed");
		break;
	}
}

/* Whom his own limit refuses has reached it. Where the most isn't known, it is the likelier one. */
static bool reached_own_tasks(const struct ending *e, const struct sandbox_usage *usage)
{
	bool known = usage->measured & SANDBOX_MEASURED_TASKS;

	return e->fewest_tasks && (!known || usage->tasks_peak >= e->fewest_tasks);
}

/* The forks that a limit refused are told where they explain a failure. */
static bool judge_tasks(const struct ending *e, const struct sandbox_limits *limits,
			struct sandbox_outcome *out, const char *how)
{
	if (!e->counts.tasks_refused)
		return false;
	if (!reached_own_tasks(e, &out->usage)) {
		errored(out);
		say(out,
		    "a fork was refused %llu times, then the program %s: that was the task limit "
		    "of a group above the job's (peak %llu); raise its pids.max, or run fewer jobs "
		    "at once",
		    (unsigned long long)e->counts.tasks_refused, how,
		    (unsigned long long)out->usage.tasks_peak);
		return true;
	}
	if (!limits->tasks)
		return false;
	killed(out, "tasks");
	say(out, "over the task limit of %llu: a fork was refused %llu times, then the program %s",
	    (unsigned long long)limits->tasks, (unsigned long long)e->counts.tasks_refused, how);
	return true;
}

/* A full disk is a failure of the program's own; it is told where the limit explains it. */
static bool judge_disk(const struct ending *e, const struct sandbox_limits *limits,
		       struct sandbox_outcome *out, const char *how)
{
	char limit[32], peak[32];

	if (!limits->disk || !e->no_bytes)
		return false;
	killed(out, "disk");
	say(out, "up against the disk limit of %s (%s in use), the program %s",
	    size(limits->disk, limit), size(out->usage.disk_peak, peak), how);
	return true;
}

static bool judge_inodes(const struct ending *e, const struct sandbox_limits *limits,
			 struct sandbox_outcome *out, const char *how)
{
	if (!limits->inodes || !e->no_inodes)
		return false;
	killed(out, "inodes");
	say(out, "up against the limit of %llu inodes: no more files could be made, the program %s",
	    (unsigned long long)limits->inodes, how);
	return true;
}

static void judge_status(const struct ending *e, const struct sandbox_limits *limits,
			 struct sandbox_outcome *out)
{
	char how[96];

	if (WIFEXITED(e->status)) {
		out->exit_code = WEXITSTATUS(e->status);
		out->verdict = out->exit_code ? SANDBOX_FAILED : SANDBOX_PASSED;
		out->shell_status = out->exit_code;
		(void)snprintf(how, sizeof(how), "exited with status %d", out->exit_code);
	} else {
		out->signal = WTERMSIG(e->status);
		out->verdict = SANDBOX_FAILED;
		out->shell_status = 128 + out->signal;
		(void)snprintf(how, sizeof(how), "was ended by signal %d (%s)", out->signal,
			       sigdescr_np(out->signal) ? sigdescr_np(out->signal) : "unknown");
	}
	if (out->verdict == SANDBOX_FAILED &&
	    (judge_tasks(e, limits, out, how) || judge_disk(e, limits, out, how) ||
	     judge_inodes(e, limits, out, how)))
		return;
	say(out, "%s %s", e->command ? e->command : "the program", how);
}

/* Places that are wrong on every box. */
static bool is_wrong_place(const struct message *m)
{
	return m->step == STEP_BINDS &&
	       (m->code == ENOENT || m->code == ELOOP || m->code == ENOTDIR);
}

static void judge_command(const struct message *m, struct sandbox_outcome *out)
{
	const char *why = strerror(m->code);

	if (m->code == ENOENT)
		why = "not found inside the sandbox";
	if (m->code == ELIBACC)
		why = "it is there, but what should run it isn't inside the sandbox: the "
		      "interpreter in a script's first line, or a program's loader";
	if (m->code == ENOEXEC)
		why = "it is no script, nor a program for this machine, or it is damaged";
	out->shell_status = m->code == ENOENT ? STATUS_NOT_FOUND : STATUS_REFUSED;
	say(out, "command '%s': %s", m->detail, why);
}

static void judge_failure(const struct ending *e, struct sandbox_outcome *out)
{
	const struct message *m = &e->failure;
	const char *remedy = step_remedy(m->step, m->code);

	out->verdict = SANDBOX_ERRORED;
	out->shell_status = STATUS_NOT_SET_UP;
	if (m->step == STEP_EXEC) {
		judge_command(m, out);
		return;
	}
	if (m->step == STEP_WORKDIR) {
		say(out, "working directory '%s': %s%s%s", m->detail, strerror(m->code),
		    remedy ? "; " : "", remedy ? remedy : "");
		return;
	}
	out->infrastructure = !is_wrong_place(m);
	say(out, "the sandbox could not be set up: %s (step %d, %s): %s%s%s", step_name(m->step),
	    (int)m->step, m->detail[0] ? m->detail : "-", strerror(m->code), remedy ? "; " : "",
	    remedy ? remedy : "");
}

bool outcome_is_success(const struct ending *e)
{
	return e->cause == CAUSE_NONE && e->has_status && e->status == 0;
}

void outcome_judge(const struct ending *e, const struct sandbox_limits *limits,
		   struct sandbox_outcome *out)
{
	out->exit_code = -1;
	out->signal = 0;
	out->limit = NULL;
	out->infrastructure = false;
	if (e->failure.word == WORD_FAILED)
		judge_failure(e, out);
	else if (e->cause != CAUSE_NONE && e->cause != CAUSE_MEMORY)
		judge_cause(e, limits, out);
	else if (e->counts.oom_kills && e->counts.memory_full && limits->memory)
		judge_memory(e, limits, out);
	else if (e->counts.oom_kills && !outcome_is_success(e))
		judge_memory_above(e, limits, out);
	else if (e->has_status)
		judge_status(e, limits, out);
	else
		judge_cause(&(struct ending){.cause = CAUSE_LIBRARY,
					     .reason =
						     "the sandbox's first process was killed from "
						     "outside, by the kernel or an administrator"},
			    limits, out);
}

const char *outcome_verdict_name(enum sandbox_verdict verdict)
{
	static const char *const names[] = {"passed", "failed",    "timed_out",
					    "killed", "cancelled", "errored"};

	return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "errored";
}
