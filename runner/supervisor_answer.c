#include "runner/supervisor_inside.h"

#include "base/log.h"
#include "runner/launch.h"

/* The whole log as it stands in the spool: that is what the digest is of. */
static void fill_log(struct supervisor *s, Cupel__Result *r, uint8_t sum[DIGEST_SIZE])
{
	r->log_length = s->report.log_length;
	if (s->digest && digest_get(s->digest, sum) == 0)
		r->log_digest = (ProtobufCBinaryData){.data = sum, .len = DIGEST_SIZE};
}

static void write_answer(struct supervisor *s, Cupel__Result *r)
{
	uint8_t sum[DIGEST_SIZE];
	struct error err = {0};

	r->attempt = s->spec->ticket->assign->attempt;
	fill_log(s, r, sum);
	if (spool_write_answer(s->spec->dir, FRAME_RESULT, &r->base, &err) < 0) {
		log_error("%s: %s", s->spec->name, err.text); /* the main process says: no result */
		return;
	}
	s->report.answered = true;
	talk_report(s);
}

void answer_error(struct supervisor *s, const struct error *err, bool infrastructure)
{
	Cupel__Result r = CUPEL__RESULT__INIT;

	r.verdict = CUPEL__VERDICT__VERDICT_ERRORED;
	r.reason = (char *)err->text;
	r.infrastructure = infrastructure;
	r.exit_code = -1;
	if (s->ending.kind != ENDING_NONE) {
		r.reason = s->ending.reason;
		r.infrastructure = true;
	}
	if (s->ending.kind == ENDING_CANCELLED) {
		r.verdict = CUPEL__VERDICT__VERDICT_CANCELLED;
		r.infrastructure = false;
	}
	write_answer(s, &r);
}

/* The job can't be blamed for what the box did to it. */
static void correct(struct supervisor *s, const struct sandbox_outcome *outcome, Cupel__Result *r)
{
	bool filled = s->ending.kind == ENDING_DISK;

	if (filled &&
	    (outcome->verdict == SANDBOX_CANCELLED || outcome->verdict == SANDBOX_FAILED)) {
		r->verdict = CUPEL__VERDICT__VERDICT_KILLED;
		r->reason = s->ending.reason;
		r->limit = (char *)"disk";
		return;
	}
	if (outcome->verdict != SANDBOX_CANCELLED)
		return; /* it had ended before we could end it */
	if (s->ending.kind != ENDING_ABORTED && !s->log_error)
		return;
	r->verdict = CUPEL__VERDICT__VERDICT_ERRORED;
	r->infrastructure = true;
}

void answer_outcome(struct supervisor *s, const struct sandbox_outcome *outcome)
{
	Cupel__Denied denied[SANDBOX_DENIED_MAX], *list[SANDBOX_DENIED_MAX];
	Cupel__Result r = CUPEL__RESULT__INIT;
	Cupel__Usage usage;

	launch_result(outcome, &usage, denied, list, &r);
	correct(s, outcome, &r);
	write_answer(s, &r);
}
