#include "cli/format.h"

#include "proto/message.h"

#include <stdio.h>
#include <string.h>

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

void format_age(int64_t now_ms, uint64_t then_ms, char out[FORMAT_SHORT])
{
	static const struct {
		uint64_t below, unit;
		char letter;
	} steps[] = {
		{MINUTE, SECOND, 's'}, {HOUR, MINUTE, 'm'},       {DAY, HOUR, 'h'},
		{14 * DAY, DAY, 'd'},  {365 * DAY, 7 * DAY, 'w'}, {UINT64_MAX, 365 * DAY, 'y'},
	};
	uint64_t ms = now_ms > 0 && (uint64_t)now_ms > then_ms ? (uint64_t)now_ms - then_ms : 0;
	size_t i = 0;

	if (ms < SECOND) {
		(void)snprintf(out, FORMAT_SHORT, "now");
		return;
	}
	while (ms >= steps[i].below)
		i++;
	(void)snprintf(out, FORMAT_SHORT, "%llu%c", (unsigned long long)(ms / steps[i].unit),
		       steps[i].letter);
}

void format_milli(uint64_t milli, char out[FORMAT_SHORT])
{
	int used = snprintf(out, FORMAT_SHORT, "%llu.%03d", (unsigned long long)(milli / 1000),
			    (int)(milli % 1000));

	while (used > 0 && out[used - 1] == '0')
		out[--used] = '\0';
	if (used > 0 && out[used - 1] == '.')
		out[used - 1] = '\0';
}

void format_commit(const char *commit, char out[FORMAT_SHORT])
{
	(void)snprintf(out, FORMAT_SHORT, "%.7s", commit);
}

const char *format_ref(const char *ref)
{
	static const char *const prefixes[] = {"refs/heads/", "refs/tags/"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(ref, prefixes[i], strlen(prefixes[i])) == 0)
			return ref + strlen(prefixes[i]);
	return ref;
}

uint64_t format_run_ms(const Cupel__Run *run, int64_t now_ms)
{
	uint64_t end = run->ended_at_ms ? run->ended_at_ms : (uint64_t)(now_ms > 0 ? now_ms : 0);

	return end > run->created_at_ms ? end - run->created_at_ms : 0;
}

uint64_t format_took_ms(const Cupel__Run *run)
{
	return run->took_ms || !run->ended_at_ms ? run->took_ms : format_run_ms(run, 0);
}

const char *format_run_ref(const Cupel__Run *run)
{
	if (*run->ref)
		return format_ref(run->ref);
	return *run->revision && strcmp(run->revision, run->commit) != 0 ? format_ref(run->revision)
									 : "-";
}

/* The furthest that any of its jobs has come. */
static Cupel__State run_state(const Cupel__Run *run)
{
	Cupel__State state = CUPEL__STATE__STATE_QUEUED;

	for (size_t i = 0; i < run->n_jobs; i++)
		if (run->jobs[i]->state != CUPEL__STATE__STATE_ENDED && run->jobs[i]->state > state)
			state = run->jobs[i]->state;
	return state;
}

const char *format_run_word(const Cupel__Run *run)
{
	if (run->verdict == CUPEL__VERDICT__VERDICT_NONE)
		return state_word(run_state(run));
	if (run->flaky && run->verdict == CUPEL__VERDICT__VERDICT_PASSED)
		return "passed (flaky)";
	return verdict_word(run->verdict);
}

const char *format_job_word(const Cupel__Job *job)
{
	if (job->verdict == CUPEL__VERDICT__VERDICT_NONE)
		return state_word(job->state);
	if (job->flaky && job->verdict == CUPEL__VERDICT__VERDICT_PASSED)
		return "passed (flaky)";
	return verdict_word(job->verdict);
}

int format_exit_status(Cupel__Verdict verdict)
{
	switch (verdict) {
	case CUPEL__VERDICT__VERDICT_PASSED:
	case CUPEL__VERDICT__VERDICT_SKIPPED: /* nothing that could fail */
		return 0;
	case CUPEL__VERDICT__VERDICT_FAILED:
		return 1;
	case CUPEL__VERDICT__VERDICT_TIMED_OUT:
		return 3;
	case CUPEL__VERDICT__VERDICT_KILLED:
		return 4;
	case CUPEL__VERDICT__VERDICT_CANCELLED:
	case CUPEL__VERDICT__VERDICT_SUPERSEDED:
		return 5;
	default:
		return 2;
	}
}
