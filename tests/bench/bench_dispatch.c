/* How many jobs a second the dispatcher gives out and takes back, each step durable, when running
 * them costs nothing: a runner that answers at once, over the unix socket. */
#include "tests/bench/bench.h"

#define SLOTS 128
#define RUNS  40
#define JOBS  500  /* of each run */
#define ALONE 4000 /* runs of one job each, for the second figure */

static void answer(struct bench_peer *p, const Cupel__Attempt *which)
{
	Cupel__Attempt *a = (Cupel__Attempt *)which;
	Cupel__Accept accept = CUPEL__ACCEPT__INIT;
	Cupel__Phase phase = CUPEL__PHASE__INIT;
	Cupel__Result result = CUPEL__RESULT__INIT;
	Cupel__Released released = CUPEL__RELEASED__INIT;
	Cupel__Usage usage = CUPEL__USAGE__INIT;

	usage.wall_ms = 1;
	accept.attempt = phase.attempt = result.attempt = released.attempt = a;
	phase.state = CUPEL__STATE__STATE_RUNNING;
	result.verdict = CUPEL__VERDICT__VERDICT_PASSED;
	result.reason = (char *)"exit status 0";
	result.usage = &usage;
	bench_send(p, FRAME_ACCEPT, &accept.base);
	bench_send(p, FRAME_PHASE, &phase.base);
	bench_send(p, FRAME_RESULT, &result.base);
	bench_send(p, FRAME_RELEASED, &released.base);
}

/* Plays the runner until so many jobs were acknowledged. */
static void play(struct bench_peer *p, size_t plan_jobs, size_t acknowledged)
{
	while (acknowledged) {
		struct frame frame;
		struct error err = {0};
		ProtobufCMessage *m;

		bench_next(p, &frame);
		if (frame.type == FRAME_RESULT_ACK)
			acknowledged--;
		if (frame.type != FRAME_ASSIGN)
			continue;
		if (message_unpack(&frame, &m, &err) < 0)
			bench_die(err.text);
		if (((Cupel__Assign *)m)->kind == CUPEL__KIND__KIND_PLAN)
			bench_plan(p, ((Cupel__Assign *)m)->attempt, plan_jobs);
		else
			answer(p, ((Cupel__Assign *)m)->attempt);
		message_free(m);
	}
}

/* Jobs a second, from the first submit to the last acknowledgement. */
static double measure(size_t runs, size_t jobs)
{
	struct bench_peer runner, client;
	int64_t began;
	double seconds;

	bench_dial(&runner, CUPEL__ROLE__ROLE_RUNNER, "bench", SLOTS);
	bench_dial(&client, CUPEL__ROLE__ROLE_SUBMITTER, "bench", 0);
	began = clock_boot_us();
	for (size_t i = 0; i < runs; i++)
		bench_submit(&client);
	bench_flush(&client);
	play(&runner, jobs, runs * (jobs + 1)); /* a plan is acknowledged, too */
	seconds = (double)(clock_boot_us() - began) / 1e6;
	for (size_t i = 0; i < runs; i++)
		message_free(bench_await(&client, FRAME_SUBMITTED));
	bench_hang_up(&runner);
	bench_hang_up(&client);
	return (double)(runs * jobs) / seconds;
}

int main(void)
{
	double many, alone;

	bench_start();
	(void)printf("bench dispatcher_rest_mb %.1f MB (against laminar 8.5: ratio %.2f)\n",
		     (double)bench_memory_kb("VmRSS:") / 1024,
		     (double)bench_memory_kb("VmRSS:") / 1024 / 8.5);
	many = measure(RUNS, JOBS);
	alone = measure(ALONE, 1);
	(void)printf("bench dispatch_jobs_per_s %.0f jobs/s (against laminar 190: ratio %.1f)\n",
		     many, many / 190);
	(void)printf("bench dispatch_runs_per_s %.0f runs/s (against laminar 190: ratio %.1f)\n",
		     alone, alone / 190);
	(void)printf("bench dispatcher_peak_mb %.1f MB\n",
		     (double)bench_memory_kb("VmHWM:") / 1024);
	bench_stop();
	return 0;
}
