#include "dispatcher/transitions.h"

#include <string.h>

#define TO(state) (1u << CUPEL__STATE__STATE_##state)
#define STATES    (CUPEL__STATE__STATE_ENDED + 1)

/* The one table. A live state may be skipped forwards: after a lost connection the runner says what
 * it has come to, not every step on the way. */
static const unsigned moves[2][STATES] = {
	[TRANSITION_JOB] =
		{
			[CUPEL__STATE__STATE_NONE] = TO(HELD) | TO(QUEUED),
			[CUPEL__STATE__STATE_HELD] = TO(QUEUED) | TO(ENDED),
			[CUPEL__STATE__STATE_QUEUED] = TO(ASSIGNED) | TO(ENDED),
			[CUPEL__STATE__STATE_ASSIGNED] = TO(PREPARING) | TO(RUNNING) |
							 TO(FINISHING) | TO(QUEUED) | TO(ENDED),
			[CUPEL__STATE__STATE_PREPARING] =
				TO(RUNNING) | TO(FINISHING) | TO(QUEUED) | TO(ENDED),
			[CUPEL__STATE__STATE_RUNNING] = TO(FINISHING) | TO(QUEUED) | TO(ENDED),
			[CUPEL__STATE__STATE_FINISHING] = TO(QUEUED) | TO(ENDED),
			[CUPEL__STATE__STATE_ENDED] = TO(HELD) | TO(QUEUED), /* a person's retry */
		},
	[TRANSITION_ATTEMPT] =
		{
			[CUPEL__STATE__STATE_NONE] = TO(ASSIGNED),
			[CUPEL__STATE__STATE_ASSIGNED] =
				TO(PREPARING) | TO(RUNNING) | TO(FINISHING) | TO(ENDED),
			[CUPEL__STATE__STATE_PREPARING] = TO(RUNNING) | TO(FINISHING) | TO(ENDED),
			[CUPEL__STATE__STATE_RUNNING] = TO(FINISHING) | TO(ENDED),
			[CUPEL__STATE__STATE_FINISHING] = TO(ENDED),
		},
};

bool transition_exists(enum transition_of what, Cupel__State from, Cupel__State to)
{
	if ((unsigned)from >= STATES || (unsigned)to >= STATES)
		return false;
	return moves[what][from] & (1u << to);
}

bool state_is_live(Cupel__State state)
{
	return state >= CUPEL__STATE__STATE_ASSIGNED && state <= CUPEL__STATE__STATE_FINISHING;
}

void retry_wish_read(const Cupel__JobSpec *spec, struct retry_wish *out)
{
	const struct {
		Cupel__Verdict verdict;
		int *to;
	} places[] = {
		{CUPEL__VERDICT__VERDICT_FAILED, &out->failed},
		{CUPEL__VERDICT__VERDICT_KILLED, &out->killed},
		{CUPEL__VERDICT__VERDICT_TIMED_OUT, &out->timed_out},
		{CUPEL__VERDICT__VERDICT_ERRORED, &out->errored},
	};

	*out = (struct retry_wish){RETRY_UNSAID, RETRY_UNSAID, RETRY_UNSAID, RETRY_UNSAID};
	for (size_t i = 0; spec && i < spec->n_retry; i++)
		for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++)
			if (verdict_from_word(spec->retry[i]->key) == places[p].verdict)
				*places[p].to = spec->retry[i]->value < RETRY_MAX
							? (int)spec->retry[i]->value
							: RETRY_MAX;
}

static struct follow again_if(bool again)
{
	return (struct follow){again ? FOLLOW_QUEUE : FOLLOW_END, again};
}

static struct follow follow_errored(bool infrastructure, const struct past *past,
				    const struct retry_wish *wish)
{
	unsigned all = wish->errored == RETRY_UNSAID ? INFRASTRUCTURE_ATTEMPTS
						     : 1 + (unsigned)wish->errored;

	if (!infrastructure)
		return (struct follow){FOLLOW_END, false};
	if (past->errored >= all)
		return (struct follow){FOLLOW_USED_UP, false};
	return (struct follow){FOLLOW_QUEUE, true};
}

struct follow follow_end(Cupel__Verdict verdict, bool infrastructure, const struct past *past,
			 const struct retry_wish *wish, bool another)
{
	switch (verdict) {
	case CUPEL__VERDICT__VERDICT_LOST:
		if (past->lost_runners >= POISON_RUNNERS || past->lost >= POISON_LOSSES)
			return (struct follow){FOLLOW_POISON, false};
		return (struct follow){FOLLOW_QUEUE, true};
	case CUPEL__VERDICT__VERDICT_DECLINED:
		return (struct follow){FOLLOW_QUEUE, false}; /* the scheduler knows who declined */
	case CUPEL__VERDICT__VERDICT_ERRORED:
		return follow_errored(infrastructure, past, wish);
	case CUPEL__VERDICT__VERDICT_TIMED_OUT:
		if (wish->timed_out == RETRY_UNSAID)
			return again_if(another && past->timed_out <= 1);
		return again_if((int)past->timed_out <= wish->timed_out);
	case CUPEL__VERDICT__VERDICT_FAILED:
		return again_if((int)past->failed <= wish->failed);
	case CUPEL__VERDICT__VERDICT_KILLED:
		return again_if((int)past->killed <= wish->killed);
	default:
		return (struct follow){FOLLOW_END, false};
	}
}

bool past_makes_flaky(const struct past *past)
{
	return past->failed || past->killed || past->timed_out;
}

Cupel__Verdict verdict_worse(Cupel__Verdict a, Cupel__Verdict b)
{
	/* From the mildest to the one that hides all others. */
	static const Cupel__Verdict order[] = {
		CUPEL__VERDICT__VERDICT_NONE,      CUPEL__VERDICT__VERDICT_SKIPPED,
		CUPEL__VERDICT__VERDICT_PASSED,    CUPEL__VERDICT__VERDICT_SUPERSEDED,
		CUPEL__VERDICT__VERDICT_CANCELLED, CUPEL__VERDICT__VERDICT_FAILED,
		CUPEL__VERDICT__VERDICT_TIMED_OUT, CUPEL__VERDICT__VERDICT_KILLED,
		CUPEL__VERDICT__VERDICT_ERRORED,
	};
	size_t rank_a = 0, rank_b = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (order[i] == a)
			rank_a = i;
		if (order[i] == b)
			rank_b = i;
	}
	return rank_a >= rank_b ? a : b;
}
