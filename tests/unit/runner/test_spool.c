#include "runner/spool.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "runner/control.h"
#include "tests/unit/runner/repository.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static int setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	lab_open(lab);
	*state = lab;
	return 0;
}

static int teardown(void **state)
{
	lab_close(*state);
	free(*state);
	return 0;
}

static Cupel__Attempt id = PROTOBUF_C_MESSAGE_INIT(&cupel__attempt__descriptor);
static Cupel__Assign assign = PROTOBUF_C_MESSAGE_INIT(&cupel__assign__descriptor);

static void fill_assign(void)
{
	cupel__attempt__init(&id);
	cupel__assign__init(&assign);
	id.job = 7;
	id.epoch = 2;
	assign.attempt = &id;
	assign.run = 3;
	assign.repository = (char *)"/srv/x.git";
	assign.revision = (char *)"main";
}

static void a_name_is_read_back_and_nothing_else_is(void **state)
{
	static const char *const wrong[] = {"",
					    "7",
					    "7.",
					    ".2",
					    "07.2",
					    "7.2x",
					    "0.1",
					    "-7.2",
					    " 7.2",
					    "7.02",
					    "99999999999999999999.1",
					    "7.99999999999"};
	char name[SPOOL_NAME_MAX];
	uint64_t job;
	uint32_t epoch;

	(void)state;
	spool_name(UINT64_MAX, UINT32_MAX, name);
	assert_true(spool_name_parse(name, &job, &epoch));
	assert_true(job == UINT64_MAX && epoch == UINT32_MAX);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(spool_name_parse(wrong[i], &job, &epoch));
}

static void a_ticket_comes_back_as_it_was(void **state)
{
	struct lab *lab = *state;
	Cupel__Limits granted = CUPEL__LIMITS__INIT;
	struct ticket ticket = {.assign = &assign, .granted = &granted, .slot = 5}, back = {0};
	owned_fd dir = -1, again = -1;

	fill_assign();
	granted.wall_ms = 1234;
	dir = spool_create(lab->dir, "7.2", &ticket, NULL);
	assert_true(dir >= 0);
	again = spool_open(lab->dir, "7.2", &back, NULL);
	assert_true(again >= 0);
	assert_int_equal(back.slot, 5);
	assert_int_equal(back.granted->wall_ms, 1234);
	assert_int_equal(back.assign->attempt->epoch, 2);
	assert_string_equal(back.assign->repository, "/srv/x.git");
	ticket_done(&back);
}

static void a_plan_has_no_granted_limits_and_limits_of_nothing_are_limits(void **state)
{
	Cupel__Limits nothing = CUPEL__LIMITS__INIT;
	struct ticket ticket = {.assign = &assign}, back = {0};
	owned_buffer packed = {0};

	(void)state;
	fill_assign();
	assert_int_equal(ticket_pack(&ticket, &packed), 0);
	assert_int_equal(ticket_unpack(packed.data, packed.length, &back, NULL), 0);
	assert_null(back.granted);
	ticket_done(&back);
	ticket.granted = &nothing;
	buffer_clear(&packed);
	assert_int_equal(ticket_pack(&ticket, &packed), 0);
	assert_int_equal(ticket_unpack(packed.data, packed.length, &back, NULL), 0);
	assert_non_null(back.granted);
	ticket_done(&back);
}

static void a_ticket_cut_anywhere_is_refused(void **state)
{
	Cupel__Limits granted = CUPEL__LIMITS__INIT;
	struct ticket ticket = {.assign = &assign, .granted = &granted}, back = {0};
	owned_buffer packed = {0};

	(void)state;
	fill_assign();
	granted.memory = 1 << 20;
	assert_int_equal(ticket_pack(&ticket, &packed), 0);
	for (size_t length = 0; length < packed.length; length++)
		assert_int_equal(ticket_unpack(packed.data, length, &back, NULL), -EBADMSG);
	for (size_t i = 0; i < packed.length; i++) {
		packed.data[i] ^= 0x40; /* must be refused or read, never crash */
		if (ticket_unpack(packed.data, packed.length, &back, NULL) == 0)
			ticket_done(&back);
		packed.data[i] ^= 0x40;
	}
}

static void a_directory_without_ticket_started_nothing(void **state)
{
	struct lab *lab = *state;
	struct ticket back = {0};
	struct error err = {0};

	(void)lab_run(lab, "mkdir 7.2 7.3; printf xyz > 7.3/assign");
	assert_int_equal(spool_open(lab->dir, "7.2", &back, &err), -EBADMSG);
	assert_string_equal(err.text, "spool 7.2: nothing was assigned");
	assert_int_equal(spool_open(lab->dir, "7.3", &back, &err), -EBADMSG);
	assert_int_equal(spool_open(lab->dir, "7.4", &back, &err), -ENOENT);
}

static void an_answer_is_there_whole_or_not_at_all(void **state)
{
	struct lab *lab = *state;
	Cupel__Result result = CUPEL__RESULT__INIT;
	struct answer back = {0};
	struct error err = {0};

	fill_assign();
	result.attempt = &id;
	result.verdict = CUPEL__VERDICT__VERDICT_FAILED;
	result.reason = (char *)"exit status 3";
	result.exit_code = 3;
	assert_int_equal(spool_read_answer(lab->dir, &back, &err), -ENOENT);
	assert_int_equal(spool_write_answer(lab->dir, FRAME_RESULT, &result.base, NULL), 0);
	assert_int_equal(spool_read_answer(lab->dir, &back, NULL), 0);
	assert_int_equal(back.type, FRAME_RESULT);
	assert_int_equal(((Cupel__Result *)back.message)->exit_code, 3);
	answer_done(&back);
	(void)lab_run(lab, "test $(ls -A | wc -l) = 1; head -c 10 result > cut; mv cut result");
	assert_int_equal(spool_read_answer(lab->dir, &back, NULL), -EBADMSG);
	(void)lab_run(lab, ": > result");
	assert_int_equal(spool_read_answer(lab->dir, &back, NULL), -EBADMSG);
	assert_null(back.message);
}

static void a_spool_that_is_there_is_not_taken_again(void **state)
{
	struct lab *lab = *state;
	struct ticket ticket = {.assign = &assign};
	owned_fd dir = -1;

	fill_assign();
	dir = spool_create(lab->dir, "7.2", &ticket, NULL);
	assert_true(dir >= 0);
	assert_int_equal(spool_create(lab->dir, "7.2", &ticket, NULL), -EEXIST);
	assert_int_equal(faccessat(dir, "assign", F_OK, 0), 0);
}

/* In a mount namespace of its own: a disk of 4 MiB, filled to the last byte. */
static int write_on_a_full_disk(struct lab *lab)
{
	static char filling[65536], reason[4000];
	Cupel__Result result = CUPEL__RESULT__INIT;
	struct ticket ticket = {.assign = &assign};
	struct answer back = {0};
	owned_fd spool = -1, dir = -1, fill = -1;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", lab->path, "tmpfs", 0, "size=4m") < 0)
		return 77;
	spool = open(lab->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = spool_create(spool, "7.2", &ticket, NULL);
	fill = openat(spool, "fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fill, filling, sizeof(filling)) > 0)
		;
	result.attempt = &id;
	result.verdict = CUPEL__VERDICT__VERDICT_FAILED;
	result.reason = reason;
	memset(reason, 'x', sizeof(reason) - 1);
	if (spool_write_answer(dir, FRAME_RESULT, &result.base, NULL) < 0)
		return 1;
	if (spool_read_answer(dir, &back, NULL) < 0)
		return 2;
	if (strcmp(((Cupel__Result *)back.message)->reason, reason) != 0)
		return 3;
	answer_done(&back);
	return spool_create(spool, "7.3", &ticket, NULL) == -ENOSPC ? 0 : 4;
}

static void a_full_disk_has_room_for_the_answer(void **state)
{
	int status = 0;
	pid_t pid;

	fill_assign();
	pid = fork();
	if (pid == 0)
		_exit(write_on_a_full_disk(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("SKIP: mounting a small disk needs root\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void control_carries_orders_and_reports(void **state)
{
	struct lab *lab = *state;
	struct control_order order = {.version = CONTROL_VERSION, .kind = CONTROL_CANCEL}, heard;
	struct control_report report = {.version = CONTROL_VERSION, .log_length = 9}, told;
	owned_fd listener = control_listen(lab->dir, NULL), ours = control_connect(lab->dir, NULL);
	owned_fd theirs = control_accept(listener);

	assert_true(theirs >= 0);
	assert_int_equal(control_accept(listener), -EAGAIN);
	(void)strcpy(order.reason, "enough");
	assert_int_equal(control_receive_order(theirs, &heard), 0);
	assert_int_equal(control_send_order(ours, &order), 0);
	assert_int_equal(control_receive_order(theirs, &heard), 1);
	assert_string_equal(heard.reason, "enough");
	assert_int_equal(control_send_report(theirs, &report), 0);
	assert_int_equal(control_receive_report(ours, &told), 1);
	assert_int_equal(told.log_length, 9);
	order.version = 99;
	assert_int_equal(control_send_order(ours, &order), 0);
	assert_int_equal(control_receive_order(theirs, &heard), -EPROTO);
	(void)close(give_fd(&theirs));
	assert_int_equal(control_receive_report(ours, &told), -EPIPE);
	(void)close(give_fd(&listener));
	assert_int_equal(control_connect(lab->dir, NULL), -ECONNREFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_read_back_and_nothing_else_is),
		TEST(a_ticket_comes_back_as_it_was),
		TEST(a_plan_has_no_granted_limits_and_limits_of_nothing_are_limits),
		TEST(a_ticket_cut_anywhere_is_refused),
		TEST(a_directory_without_ticket_started_nothing),
		TEST(an_answer_is_there_whole_or_not_at_all),
		TEST(a_spool_that_is_there_is_not_taken_again),
		TEST(a_full_disk_has_room_for_the_answer),
		TEST(control_carries_orders_and_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
