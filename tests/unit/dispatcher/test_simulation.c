/* Chance against the dispatcher: runners that die, hang, lose their connection, say things twice or
 * too late, and a dispatcher that is stopped and started in between. Whatever happens, each job
 * ends with exactly one verdict, no two attempts of it are alive at once, and epochs only grow.
 *
 * The seed is printed; CUPEL_SEED repeats one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/rig.h"

#define RUNNERS 4
#define RUNS    12
#define HANDS   8
#define STEPS   1500
#define JOBS    256 /* ids that are looked at */
#define EPOCHS  512

struct sim_runner {
	struct peer *peer;
	char name[16];
	uint8_t life;
	struct hand hand[HANDS];
	bool is_plan[HANDS];
	size_t count;
};

static struct {
	unsigned seed;
	struct peer *client;
	struct sim_runner runner[RUNNERS];
	uint64_t run[RUNS];
	size_t runs;
	bool assigned[JOBS][EPOCHS];
	Cupel__Verdict verdict[JOBS]; /* the first seen, which must stay */
} sim;

static unsigned chance(unsigned n)
{
	return (unsigned)rand_r(&sim.seed) % n;
}

/* --- runners that misbehave
 * ------------------------------------------------------------------------------- */

static void forget(struct sim_runner *r, size_t i)
{
	r->hand[i] = r->hand[--r->count];
	r->is_plan[i] = r->is_plan[r->count];
}

static void drop_peer(struct sim_runner *r)
{
	if (r->peer)
		peer_free(r->peer);
	r->peer = NULL;
}

static void connect_runner(struct sim_runner *r)
{
	r->peer = peer_dial();
	runner_hello(r->peer, r->name, r->life, 2, r->hand, r->count);
}

/* Dies with everything it held. */
static void kill_runner(struct sim_runner *r)
{
	drop_peer(r);
	r->life++;
	r->count = 0;
}

static void end_one(struct sim_runner *r, size_t i)
{
	static const Cupel__Verdict verdicts[] = {VERDICT(PASSED), VERDICT(PASSED),
						  VERDICT(FAILED), VERDICT(TIMED_OUT),
						  VERDICT(KILLED), VERDICT(ERRORED)};
	const struct job_wish wishes[] = {
		{.name = "a"}, {.name = "b", .retry = "failed"}, {.name = "c", .needs = "a"}};
	struct hand h = r->hand[i];

	if (r->is_plan[i] && chance(5))
		send_plan(r->peer, h.job, h.epoch, wishes, 1 + chance(3));
	else if (r->is_plan[i])
		send_result(r->peer, h.job, h.epoch, VERDICT(ERRORED), chance(2), "");
	else
		send_result(r->peer, h.job, h.epoch, verdicts[chance(6)], chance(2), "");
	if (chance(4) == 0) /* said again */
		send_result(r->peer, h.job, h.epoch, VERDICT(FAILED), false, "");
	if (chance(10)) /* else the release is lost with what it stands for */
		send_released(r->peer, h.job, h.epoch);
	forget(r, i);
}

static void go_on(struct sim_runner *r)
{
	size_t i = r->count ? chance((unsigned)r->count) : 0;

	if (!r->count)
		return;
	switch (chance(5)) {
	case 0:
		send_phase(r->peer, r->hand[i].job, r->hand[i].epoch, STATE(RUNNING));
		r->hand[i].state = STATE(RUNNING);
		break;
	case 1:
		send_log(r->peer, r->hand[i].job, r->hand[i].epoch, 0, "some output", 11);
		break;
	default:
		end_one(r, i);
	}
}

static void heartbeat(struct sim_runner *r)
{
	Cupel__Attempt which[HANDS];
	Cupel__Progress progress[HANDS], *list[HANDS];
	Cupel__Heartbeat m = CUPEL__HEARTBEAT__INIT;

	for (size_t i = 0; i < r->count; i++) {
		which[i] = attempt_of(r->hand[i].job, r->hand[i].epoch);
		cupel__progress__init(&progress[i]);
		progress[i].attempt = &which[i];
		progress[i].state = r->hand[i].state;
		list[i] = &progress[i];
	}
	m.n_attempts = r->count;
	m.attempts = list;
	peer_send(r->peer, FRAME_HEARTBEAT, &m.base);
}

static void act(struct sim_runner *r)
{
	if (!r->peer) {
		if (chance(3) == 0)
			connect_runner(r);
		return;
	}
	switch (chance(24)) {
	case 0:
		kill_runner(r);
		break;
	case 1:
		drop_peer(r); /* the connection only */
		break;
	case 2:
	case 3:
	case 4:
		heartbeat(r);
		break;
	case 5: /* forged: it holds nothing like that */
		send_result(r->peer, 1 + chance(60), 1 + chance(3), VERDICT(PASSED), false, "");
		break;
	default:
		go_on(r);
	}
}

/* --- what is heard
 * ---------------------------------------------------------------------------------------- */

static void hear_assign(struct sim_runner *r, const Cupel__Assign *a)
{
	Cupel__Attempt which = *a->attempt;
	Cupel__Decline decline = CUPEL__DECLINE__INIT;

	assert_true(which.job < JOBS && which.epoch < EPOCHS);
	assert_false(sim.assigned[which.job][which.epoch]); /* never the same epoch twice */
	sim.assigned[which.job][which.epoch] = true;
	decline.attempt = &which;
	decline.reason = (char *)"by chance";
	if (r->count == HANDS || chance(12) == 0) {
		peer_send(r->peer, FRAME_DECLINE, &decline.base);
		return;
	}
	if (chance(15) == 0)
		return; /* never accepted */
	send_accept(r->peer, which.job, which.epoch, 0, 0);
	r->is_plan[r->count] = a->kind == CUPEL__KIND__KIND_PLAN;
	r->hand[r->count++] = (struct hand){which.job, which.epoch, STATE(PREPARING), 0, false};
}

static void let_go(struct sim_runner *r, const Cupel__Attempt *which)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->hand[i].job == which->job && r->hand[i].epoch == which->epoch) {
			send_released(r->peer, which->job, which->epoch);
			forget(r, i);
			return;
		}
}

static void hear(struct sim_runner *r)
{
	struct heard *h;

	while (r->peer && (h = peer_heard(r->peer, FRAME_ASSIGN)))
		hear_assign(r, (const Cupel__Assign *)h->m);
	while (r->peer && (h = peer_heard(r->peer, FRAME_STOP)))
		let_go(r, ((const Cupel__Stop *)h->m)->attempt);
	while (r->peer && (h = peer_heard(r->peer, FRAME_WELCOME))) {
		const Cupel__Welcome *w = (const Cupel__Welcome *)h->m;

		for (size_t i = 0; i < w->n_held; i++)
			if (!w->held[i]->proceed)
				let_go(r, w->held[i]->attempt);
	}
	while (r->peer && (h = peer_heard(r->peer, FRAME_LEASE))) {
		const Cupel__Lease *l = (const Cupel__Lease *)h->m;

		for (size_t i = 0; i < l->n_attempts; i++)
			if (!l->attempts[i]->renewed)
				let_go(r, l->attempts[i]->attempt);
	}
	if (r->peer && r->peer->closed)
		drop_peer(r);
}

/* --- what must hold
 * --------------------------------------------------------------------------------------- */

static void check_job(const Cupel__Job *j)
{
	unsigned live = 0;
	uint32_t last = 0;

	assert_true(j->id < JOBS);
	for (size_t i = 0; i < j->n_attempts; i++) {
		const Cupel__AttemptInfo *a = j->attempts[i];

		assert_true(a->epoch > last);
		last = a->epoch;
		live += a->state != STATE(ENDED);
		assert_int_equal(a->state == STATE(ENDED), a->verdict != 0);
	}
	assert_true(live <= 1);
	assert_int_equal(live == 1, j->state >= STATE(ASSIGNED) && j->state <= STATE(FINISHING));
	assert_int_equal(j->state == STATE(ENDED), j->verdict != 0);
	if (sim.verdict[j->id])
		assert_int_equal(j->verdict, sim.verdict[j->id]); /* once told, it stays */
	sim.verdict[j->id] = j->verdict;
}

static bool check_run(uint64_t id)
{
	const Cupel__Run *run = get(sim.client, id);
	bool open = false;

	for (size_t i = 0; i < run->n_jobs; i++) {
		check_job(run->jobs[i]);
		open |= run->jobs[i]->state != STATE(ENDED);
	}
	assert_int_equal(run->verdict == 0, open);
	return run->verdict != 0;
}

static bool check_all(void)
{
	bool ended = true;

	for (size_t i = 0; i < sim.runs; i++)
		ended &= check_run(sim.run[i]);
	return ended;
}

/* --- the simulation
 * --------------------------------------------------------------------------------------- */

static void restart(void)
{
	peer_free(sim.client);
	rig_stop();
	rig_start();
	sim.client = client(ROLE(ADMIN));
}

static void turns(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
	for (size_t i = 0; i < RUNNERS; i++)
		hear(&sim.runner[i]);
}

/* Nobody misbehaves any more: all must come to an end. */
static void calm_down(void)
{
	int64_t until = clock_boot_ms() + 20000;

	while (!check_all()) {
		assert_true(clock_boot_ms() < until);
		for (size_t i = 0; i < RUNNERS; i++) {
			struct sim_runner *r = &sim.runner[i];

			if (!r->peer)
				connect_runner(r);
			else if (r->count)
				end_one(r, 0);
		}
		turns(3);
	}
}

static void whatever_happens_each_job_gets_one_verdict(void **state)
{
	const char *wish = getenv("CUPEL_SEED");
	unsigned seed = wish ? (unsigned)strtoul(wish, NULL, 10) : *(unsigned *)*state;

	print_message("seed %u\n", seed);
	memset(&sim, 0, sizeof(sim));
	sim.seed = seed;
	sim.client = client(ROLE(ADMIN));
	for (size_t i = 0; i < RUNNERS; i++)
		(void)snprintf(sim.runner[i].name, sizeof(sim.runner[i].name), "r%zu", i);
	for (unsigned step = 0; step < STEPS; step++) {
		if (sim.runs < RUNS && chance(30) == 0)
			sim.run[sim.runs++] = submit(sim.client);
		act(&sim.runner[chance(RUNNERS)]);
		turns(1 + chance(3));
		if (chance(250) == 0)
			restart();
		if (chance(60) == 0)
			(void)check_all();
	}
	calm_down();
	for (size_t i = 0; i < RUNNERS; i++)
		drop_peer(&sim.runner[i]);
	peer_free(sim.client);
}

static unsigned seeds[] = {1, 2, 3, 5, 8, 13};

static int setup(void **state)
{
	unsigned *seed = *state;
	int rc = rig_setup(state);

	rig_stop();
	rig.options.heartbeat_ms = 10;
	rig.options.lease_ms = 30;
	rig.options.lease_slack_ms = 5;
	rig.options.accept_ms = 20;
	rig.options.deadline_slack_ms = 5;
	rig.options.prepare_ms = 50;
	rig_start();
	*state = seed;
	return rc;
}

#define seeded(i)                                                                                  \
	{                                                                                          \
		"whatever_happens_each_job_gets_one_verdict",                                      \
			whatever_happens_each_job_gets_one_verdict, setup, rig_teardown, &seeds[i] \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {seeded(0), seeded(1), seeded(2),
					   seeded(3), seeded(4), seeded(5)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
