#include "proto/message.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const verdicts[] = {
	[CUPEL__VERDICT__VERDICT_NONE] = "none",
	[CUPEL__VERDICT__VERDICT_PASSED] = "passed",
	[CUPEL__VERDICT__VERDICT_FAILED] = "failed",
	[CUPEL__VERDICT__VERDICT_TIMED_OUT] = "timed_out",
	[CUPEL__VERDICT__VERDICT_KILLED] = "killed",
	[CUPEL__VERDICT__VERDICT_ERRORED] = "errored",
	[CUPEL__VERDICT__VERDICT_CANCELLED] = "cancelled",
	[CUPEL__VERDICT__VERDICT_SUPERSEDED] = "superseded",
	[CUPEL__VERDICT__VERDICT_SKIPPED] = "skipped",
	[CUPEL__VERDICT__VERDICT_LOST] = "lost",
	[CUPEL__VERDICT__VERDICT_DECLINED] = "declined",
};

static const char *const states[] = {
	[CUPEL__STATE__STATE_NONE] = "none",           [CUPEL__STATE__STATE_HELD] = "held",
	[CUPEL__STATE__STATE_QUEUED] = "queued",       [CUPEL__STATE__STATE_ASSIGNED] = "assigned",
	[CUPEL__STATE__STATE_PREPARING] = "preparing", [CUPEL__STATE__STATE_RUNNING] = "running",
	[CUPEL__STATE__STATE_FINISHING] = "finishing", [CUPEL__STATE__STATE_ENDED] = "ended",
};

static const char *const roles[] = {
	[CUPEL__ROLE__ROLE_NONE] = "none",         [CUPEL__ROLE__ROLE_RUNNER] = "runner",
	[CUPEL__ROLE__ROLE_OBSERVER] = "observer", [CUPEL__ROLE__ROLE_SUBMITTER] = "submitter",
	[CUPEL__ROLE__ROLE_READER] = "reader",     [CUPEL__ROLE__ROLE_ADMIN] = "admin",
};

/* Values come from the wire through enums that C doesn't bound. */
static const char *word(const char *const *words, size_t count, unsigned value)
{
	return value < count ? words[value] : "unknown";
}

static unsigned value_of(const char *const *words, size_t count, const char *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], wanted) == 0)
			return (unsigned)i;
	return 0;
}

const char *verdict_word(Cupel__Verdict verdict)
{
	return word(verdicts, COUNT(verdicts), (unsigned)verdict);
}

const char *state_word(Cupel__State state)
{
	return word(states, COUNT(states), (unsigned)state);
}

const char *role_word(Cupel__Role role)
{
	return word(roles, COUNT(roles), (unsigned)role);
}

Cupel__Verdict verdict_from_word(const char *wanted)
{
	return (Cupel__Verdict)value_of(verdicts, COUNT(verdicts), wanted);
}

Cupel__Role role_from_word(const char *wanted)
{
	return (Cupel__Role)value_of(roles, COUNT(roles), wanted);
}
