/* What happens when the disk is full: on a small tmpfs of the test's own, in a mount namespace of
 * its own, so that nothing stays behind. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/rig.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool small_disk;

/* A state directory on a disk of that size. */
static int setup_on(void **state, const char *size)
{
	int rc = rig_setup(state);

	rig_stop();
	small_disk = mount("tmpfs", scratch_path, "tmpfs", 0, size) == 0;
	rig_start();
	return rc;
}

static int setup_tiny(void **state)
{
	return setup_on(state, "size=8m");
}

static int setup_small(void **state)
{
	return setup_on(state, "size=48m");
}

static int teardown(void **state)
{
	rig_stop();
	if (small_disk)
		(void)umount2(scratch_path, MNT_DETACH);
	rig_start(); /* what the rig takes down again */
	return rig_teardown(state);
}

static bool skips(const char *name)
{
	if (!small_disk)
		print_message("SKIP %s: mounting a small disk needs root\n", name);
	return !small_disk;
}

/* Takes all room there is; the file's removal gives it back. */
static void fill(void)
{
	static char block[65536];
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/filler", scratch_path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t size = sizeof(block); size; size /= 2)
		while (write(fd, block, size) == (ssize_t)size)
			continue;
	(void)close(fd);
}

static void make_room(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/filler", scratch_path);
	assert_int_equal(unlink(path), 0);
}

static void new_work_is_refused_in_words_and_reading_goes_on(void **state)
{
	owned(peer) *c = NULL;
	owned(peer) *o = NULL;
	Cupel__Submit submit = CUPEL__SUBMIT__INIT;
	Cupel__Event event = CUPEL__EVENT__INIT;
	Cupel__List list = CUPEL__LIST__INIT;

	(void)state;
	if (skips("new_work_is_refused_in_words_and_reading_goes_on"))
		skip();
	c = client(ROLE(SUBMITTER));
	o = client(ROLE(OBSERVER));
	submit.repository = event.repository = (char *)"/repo";
	submit.revision = (char *)"HEAD";
	peer_send(c, FRAME_SUBMIT, &submit.base);
	assert_non_null(
		strstr(((const Cupel__Error *)peer_wait(c, FRAME_ERROR))->text, "disk is full"));
	peer_send(c, FRAME_LIST, &list.base);
	assert_int_equal(((const Cupel__Runs *)peer_wait(c, FRAME_RUNS))->n_runs, 0);
	event.sequence = 1;
	event.ref = (char *)"refs/heads/main";
	event.commit = (char *)COMMIT;
	peer_send(o, FRAME_EVENT, &event.base); /* it keeps the event and dials again */
	assert_non_null(
		strstr(((const Cupel__Error *)peer_wait(o, FRAME_ERROR))->text, "disk is full"));
	peer_wait_closed(o);
}

static void a_result_that_cannot_be_stored_is_not_acknowledged_and_not_lost(void **state)
{
	owned(peer) *c = NULL;
	owned(peer) *r = NULL;
	uint64_t run;
	struct hand h;

	(void)state;
	if (skips("a_result_that_cannot_be_stored_is_not_acknowledged_and_not_lost"))
		skip();
	c = client(ROLE(SUBMITTER));
	r = runner("box", 1, 1);
	run = one_job(c, r);
	h = take(r);
	fill();
	/* Pages of the journal that exist already may take a few more: said until one fails. */
	for (uint32_t i = 0; !r->closed && i < 4000; i++) {
		send_phase(r, h.job, h.epoch, STATE(RUNNING));
		send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "");
		assert_true(rig_turn());
		if (peer_heard(r, FRAME_RESULT_ACK))
			skip(); /* there was room in the journal after all */
	}
	peer_wait_closed(r);
	peer_free(give(r));
	make_room();
	r = peer_dial();
	h.state = STATE(RUNNING);
	h.ended = true;
	runner_hello(r, "box", 1, 1, &h, 1);
	assert_true(((const Cupel__Welcome *)peer_wait(r, FRAME_WELCOME))->held[0]->proceed);
	assert_true(finish(r, h, VERDICT(PASSED)));
	if (c->closed) {
		peer_free(give(c));
		c = client(ROLE(SUBMITTER));
	}
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
	assert_int_equal(job_named(get(c, run), "test")->n_attempts, 1);
}

static void a_log_waits_for_room(void **state)
{
	static char bytes[200000];
	owned(peer) *c = NULL;
	owned(peer) *r = NULL;
	const Cupel__LogAck *ack;
	struct hand h;

	(void)state;
	if (skips("a_log_waits_for_room"))
		skip();
	c = client(ROLE(SUBMITTER));
	r = runner("box", 1, 1);
	(void)one_job(c, r);
	h = take(r);
	memset(bytes, 'x', sizeof(bytes));
	fill();
	send_log(r, h.job, h.epoch, 0, bytes, sizeof(bytes));
	ack = peer_wait(r, FRAME_LOG_ACK); /* it is told what there is, again and again */
	assert_true(ack->durable < sizeof(bytes));
	make_room();
	do {
		ack = peer_wait(r, FRAME_LOG_ACK);
		if (ack->durable < sizeof(bytes))
			send_log(r, h.job, h.epoch, ack->durable, bytes + ack->durable,
				 sizeof(bytes) - ack->durable);
	} while (ack->durable < sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_work_is_refused_in_words_and_reading_goes_on,
						setup_tiny, teardown),
		cmocka_unit_test_setup_teardown(
			a_result_that_cannot_be_stored_is_not_acknowledged_and_not_lost,
			setup_small, teardown),
		cmocka_unit_test_setup_teardown(a_log_waits_for_room, setup_small, teardown),
	};

	if (unshare(CLONE_NEWNS) == 0)
		(void)mount("none", "/", "none", MS_REC | MS_PRIVATE,
			    NULL); /* else the mounts fail */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
