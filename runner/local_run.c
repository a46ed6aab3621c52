#include "runner/local_run.h"

#include "base/fd.h"
#include "base/units.h"
#include "runner/ceiling.h"
#include "runner/disk.h"
#include "runner/launch.h"
#include "runner/plan.h"
#include "runner/worktree.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct session {
	const struct local_options *options;
	struct error *err;
	struct git *git; /* of --rev */
	struct git_commit commit;
	struct jobfile *jobs;     /* owned */
	Cupel__Verdict *verdicts; /* of each job; NONE: not run */
	char folder[64];
	int dir;
	size_t told; /* results printed */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = number;
}

/* --- telling
 * -------------------------------------------------------------------------------------- */

static void on_output(void *context, int stream, const void *bytes, size_t length)
{
	const struct session *s = context;

	/* whoever closed his end gets less, the verdict stays */
	(void)fd_write_all(s->options->json ? 2 : stream, bytes, length);
}

static void tell_denied_json(const struct sandbox_outcome *o)
{
	(void)fputs(",\"denied\":[", stdout);
	for (size_t i = 0; i < o->denied_count; i++) {
		const struct sandbox_denied *d = &o->denied[i];

		(void)fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
		local_json_string(d->name, stdout);
		(void)printf(",\"count\":%llu,\"hint\":", (unsigned long long)d->count);
		local_json_string(d->hint ? d->hint : "", stdout);
		(void)putchar('}');
	}
	(void)putchar(']');
}

/* null: it wasn't measured. */
static void tell_usage_json(const struct sandbox_usage *u)
{
	const struct {
		const char *name;
		uint64_t value;
		unsigned bit; /* in `measured`; 0: always */
	} all[] = {
		{"wall_ms", u->wall_ms, 0},
		{"cpu_ms", u->cpu_user_ms + u->cpu_system_ms, SANDBOX_MEASURED_CPU},
		{"memory_peak", u->memory_peak, SANDBOX_MEASURED_MEMORY},
		{"tasks_peak", u->tasks_peak, SANDBOX_MEASURED_TASKS},
		{"disk_peak", u->disk_peak, SANDBOX_MEASURED_DISK},
		{"output_bytes", u->output_bytes, 0},
	};

	(void)fputs(",\"usage\":{", stdout);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		(void)printf("%s\"%s\":", i ? "," : "", all[i].name);
		if ((u->measured & all[i].bit) == all[i].bit)
			(void)printf("%llu", (unsigned long long)all[i].value);
		else
			(void)fputs("null", stdout);
	}
	(void)putchar('}');
}

static void tell_json(const Cupel__JobSpec *spec, const struct sandbox_outcome *o,
		      const char *verdict)
{
	(void)fputs("{\"name\":", stdout);
	local_json_string(spec->name, stdout);
	(void)printf(",\"verdict\":\"%s\",\"reason\":", verdict);
	local_json_string(o->reason, stdout);
	(void)printf(",\"exit_code\":%d,\"signal\":%d,\"limit\":", o->exit_code, o->signal);
	local_json_string(o->limit ? o->limit : "", stdout);
	tell_denied_json(o);
	tell_usage_json(&o->usage);
	(void)putchar('}');
}

static void tell(struct session *s, const Cupel__JobSpec *spec, const struct sandbox_outcome *o,
		 Cupel__Verdict verdict)
{
	char wall[32];

	if (s->options->json) {
		(void)fputs(s->told++ ? "," : "", stdout);
		tell_json(spec, o, verdict_word(verdict));
		return;
	}
	units_format_time(o->usage.wall_ms, wall, sizeof(wall));
	(void)fprintf(stderr, "%s: %s in %s (%s)\n", spec->name, verdict_word(verdict), wall,
		      o->reason);
	for (size_t i = 0; i < o->denied_count; i++) {
		const struct sandbox_denied *d = &o->denied[i];

		(void)fprintf(stderr, "    denied: %s, %llu time%s%s%s\n", d->name,
			      (unsigned long long)d->count, d->count == 1 ? "" : "s",
			      d->hint ? "; " : "", d->hint ? d->hint : "");
	}
}

/* --- one job
 * -------------------------------------------------------------------------------------- */

static uid_t owner_of(const struct sandbox_spec *spec)
{
	return spec->id_base ? spec->id_base + SANDBOX_UID : (uid_t)-1;
}

static int make_tree(struct session *s, uid_t owner, struct error *err)
{
	const struct worktree_spec spec = {
		.tree = s->commit.tree, .time = s->commit.time, .owner = owner};

	if (s->git)
		return worktree_make(s->git, &spec, s->dir, "tree", err);
	return disk_copy(s->options->path, s->dir, "tree", owner, err);
}

static int step_to_end(struct sandbox *sandbox, struct error *err)
{
	for (;;) {
		struct pollfd fd = {.fd = sandbox_fd(sandbox), .events = POLLIN};
		int rc;

		(void)poll(&fd, 1,
			   interrupted ? 100 : 1000); /* a signal may come before the wait */
		if (interrupted)
			sandbox_kill(sandbox, "it was interrupted");
		rc = sandbox_step(sandbox, err);
		if (rc == 1)
			return 0;
		if (rc < 0)
			(void)fprintf(stderr, "cupel run: %s\n", err->text);
	}
}

static int run_in_tree(struct session *s, const Cupel__JobSpec *spec, const Cupel__Limits *granted,
		       struct sandbox_spec *box, struct sandbox_outcome *out, struct error *err)
{
	const struct launch launch = {.spec = spec,
				      .granted = granted,
				      .commit = s->commit.id,
				      .ref = s->options->revision,
				      .repository = s->options->path};
	owned_fd tree = openat(s->dir, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct launch_room room = {0};
	owned(sandbox) *sandbox = NULL;
	int rc = tree < 0 ? error_set(err, errno, "open the worktree")
			  : launch_fill(&launch, &room, box, err);

	box->worktree_fd = tree;
	box->worktree_open = true;
	box->merge_output = false;
	box->output = on_output;
	box->context = s;
	if (rc == 0)
		rc = sandbox_start(box, &sandbox, err);
	if (rc == 0) {
		rc = step_to_end(sandbox, err);
		sandbox_outcome(sandbox, out);
	}
	launch_room_done(&room);
	return rc;
}

static int grant(const struct session *s, const Cupel__JobSpec *spec, Cupel__Limits *granted,
		 struct error *err)
{
	static const struct taken nothing;
	struct owner_limits owner = {.slots = 1};

	if (strcmp(spec->network, "host") == 0 && !s->options->network_host)
		return error_say(err, EPERM,
				 "it asks for the host's network (network: host); allow that with "
				 "--allow-network-host");
	cupel__limits__init(&owner.ceiling);
	return ceiling_grant(spec->limits, &owner, &nothing, sandbox_can(), granted, err) ==
			       CEILING_GRANTED
		       ? 0
		       : -err->code;
}

static Cupel__Verdict run_job(struct session *s, const Cupel__JobSpec *spec)
{
	struct sandbox_outcome out = {.verdict = SANDBOX_ERRORED, .exit_code = -1};
	struct sandbox_spec box = {0};
	struct error err = {0}, later = {0};
	Cupel__Limits granted;
	Cupel__Verdict verdict;
	int rc = grant(s, spec, &granted, &err);

	if (geteuid() == 0)
		launch_ids((uint32_t)getpid(), 0, &box.id_base, &box.id_count);
	if (rc == 0)
		rc = make_tree(s, owner_of(&box), &err);
	if (rc == 0)
		rc = run_in_tree(s, spec, &granted, &box, &out, &err);
	if (rc < 0) {
		out.verdict = SANDBOX_ERRORED;
		(void)snprintf(out.reason, sizeof(out.reason), "%.390s", err.text);
	}
	if (worktree_remove(s->dir, "tree", &later) < 0)
		(void)fprintf(stderr, "cupel run: %s\n", later.text);
	verdict = launch_verdict(out.verdict);
	tell(s, spec, &out, verdict);
	return verdict;
}

/* --- all
 * ------------------------------------------------------------------------------------------ */

static bool is_wanted(const struct session *s, const char *name)
{
	const char *job = s->options->job;
	size_t length = job ? strlen(job) : 0;

	if (!job || strcmp(name, job) == 0)
		return true;
	return strncmp(name, job, length) == 0 && strncmp(name + length, " (", 2) == 0;
}

static size_t place_of(const struct session *s, const char *name)
{
	size_t i = 0;

	while (i < s->jobs->count && strcmp(s->jobs->jobs[i]->name, name) != 0)
		i++;
	return i;
}

enum readiness { READY, WAITS, NEVER };

static enum readiness readiness_of(const struct session *s, const Cupel__JobSpec *spec)
{
	enum readiness answer = READY;

	for (size_t i = 0; !s->options->job && i < spec->n_needs; i++) {
		Cupel__Verdict v = s->verdicts[place_of(s, spec->needs[i])];

		if (v == CUPEL__VERDICT__VERDICT_NONE)
			answer = WAITS;
		else if (v != CUPEL__VERDICT__VERDICT_PASSED)
			return NEVER;
	}
	return answer;
}

/* One pass: runs what can run now. True when anything came of it. */
static bool run_ready(struct session *s)
{
	bool moved = false;

	for (size_t i = 0; i < s->jobs->count && !interrupted; i++) {
		const Cupel__JobSpec *spec = s->jobs->jobs[i];
		enum readiness is = readiness_of(s, spec);

		if (s->verdicts[i] != CUPEL__VERDICT__VERDICT_NONE || is == WAITS ||
		    !is_wanted(s, spec->name))
			continue;
		moved = true;
		if (is == READY) {
			s->verdicts[i] = run_job(s, spec);
			continue;
		}
		s->verdicts[i] = CUPEL__VERDICT__VERDICT_SKIPPED;
		tell(s, spec,
		     &(struct sandbox_outcome){.reason = "what it needs did not pass",
					       .exit_code = -1},
		     s->verdicts[i]);
	}
	return moved;
}

static int exit_status(const struct session *s)
{
	static const struct {
		Cupel__Verdict verdict;
		int status;
	} worst_first[] = {
		{CUPEL__VERDICT__VERDICT_ERRORED, 2},   {CUPEL__VERDICT__VERDICT_KILLED, 4},
		{CUPEL__VERDICT__VERDICT_TIMED_OUT, 3}, {CUPEL__VERDICT__VERDICT_FAILED, 1},
		{CUPEL__VERDICT__VERDICT_CANCELLED, 5},
	};

	for (size_t w = 0; w < sizeof(worst_first) / sizeof(*worst_first); w++)
		for (size_t i = 0; i < s->jobs->count; i++)
			if (s->verdicts[i] == worst_first[w].verdict)
				return worst_first[w].status;
	return interrupted ? 5 : 0;
}

static int find_jobs(struct session *s)
{
	int rc;

	if (!s->options->revision)
		return local_jobs(s->options->path, &s->jobs, s->err);
	rc = git_open(s->options->path, &s->git, s->err);
	if (rc == 0)
		rc = git_resolve(s->git, s->options->revision, &s->commit, s->err);
	return rc < 0 ? rc : plan_jobs(s->git, &s->commit, &s->jobs, s->err);
}

#define EXIT_NO_SUCH_JOB 66 /* sysexits(3): never one of the verdicts */

static int check_wanted(struct session *s)
{
	for (size_t i = 0; i < s->jobs->count; i++)
		if (is_wanted(s, s->jobs->jobs[i]->name))
			return 0;
	return error_say(s->err, ENOENT, "there is no job '%.100s' (`cupel lint` names them)",
			 s->options->job);
}

static int make_folder(struct session *s)
{
	const char *place = getenv("TMPDIR");

	if ((size_t)snprintf(s->folder, sizeof(s->folder), "%s/cupel-run-XXXXXX",
			     place && *place == '/' ? place : "/tmp") >= sizeof(s->folder))
		return error_set(s->err, ENAMETOOLONG, "make a folder in TMPDIR");
	if (!mkdtemp(s->folder))
		return error_set(s->err, errno, "make %s", s->folder);
	s->dir = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->dir < 0 ? error_set(s->err, errno, "open %s", s->folder) : 0;
}

static int run_all(struct session *s)
{
	int rc = find_jobs(s);

	if (rc == 0 && check_wanted(s) < 0)
		return EXIT_NO_SUCH_JOB;
	if (rc == 0)
		rc = make_folder(s);
	if (rc < 0)
		return 2;
	s->verdicts = calloc(s->jobs->count, sizeof(*s->verdicts));
	if (!s->verdicts) {
		(void)error_set(s->err, ENOMEM, "run the jobs");
		return 2;
	}
	if (s->options->json)
		(void)fputs("{\"jobs\":[", stdout);
	while (run_ready(s))
		;
	rc = exit_status(s);
	if (s->options->json)
		(void)printf("],\"status\":%d}\n", rc);
	return fflush(stdout) == 0 ? rc : 2;
}

int local_run_jobs(const struct local_options *o, struct error *err)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	struct session s = {.options = o, .err = err, .dir = -1};
	int status;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	if (git_start(err) < 0)
		return 2;
	status = run_all(&s);
	if (s.dir >= 0) {
		(void)close(s.dir);
		(void)rmdir(s.folder); /* empty, or the worktree's failure was told */
	}
	git_free(s.git);
	jobfile_free(s.jobs);
	free(s.verdicts);
	git_stop();
	return status;
}
