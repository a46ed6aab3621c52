/* What the kernel's control files say, and lists of processors. */
#include "sandbox/cgroup_disk.h"
#include "sandbox/submounts.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/cgroup_text.h"
#include "sandbox/cpuset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static void lists_of_processors_are_read(void **state)
{
	static const char *const good[] = {"0", "0-1,3", "3,1", "0-0", "8191", "0-8191", "1\n"};
	static const char *const bad[] = {"",   "\n", ",",    "0,",    "-1", "1-",  "1-0", "0-1-2",
					  " 0", "0 ", "0,,1", "0\n\n", "a",  "0x1", "1.5", "0;1"};
	static const char *const far[] = {"8192", "0-8192", "4294967296", "99999999999999999999"};
	struct cpuset set;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(cpuset_parse(good[i], &set), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cpuset_parse(bad[i], &set) != -EINVAL)
			fail_msg("'%s' is no list", bad[i]);
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		assert_int_equal(cpuset_parse(far[i], &set), -ERANGE);
	assert_int_equal(cpuset_parse("0-1,3,64", &set), 0);
	assert_int_equal(set.word[0], 11);
	assert_int_equal(set.word[1], 1);
}

static void the_same_processors_may_be_written_in_many_ways(void **state)
{
	(void)state;
	assert_true(cpuset_same("0,1,2", "0-2\n"));
	assert_true(cpuset_same("3,0-1,1", "0-1,3\n"));
	assert_false(cpuset_same("0-2", "0-1\n"));
	assert_false(cpuset_same("0", "\n"));
	assert_false(cpuset_same("", ""));
}

static void rates_are_written_and_known_again(void **state)
{
	const struct io_rates some = {.read = 1048576, .write_ops = 100}, none = {0};
	const char *file = "7:0 rbps=5 wbps=max riops=max wiops=max\n"
			   "254:0 rbps=1048576 wbps=max riops=max wiops=100\n";
	char text[160];

	(void)state;
	cgroup_text_rates(makedev(254, 0), &some, text, sizeof(text));
	assert_string_equal(text, "254:0 rbps=1048576 wbps=max riops=max wiops=100");
	assert_true(cgroup_text_has_rates(file, makedev(254, 0), &some));
	assert_false(cgroup_text_has_rates(file, makedev(254, 0), &none));
	assert_false(cgroup_text_has_rates(file, makedev(7, 0), &some));
	assert_false(cgroup_text_has_rates(file, makedev(254, 1), &some));
	assert_false(cgroup_text_has_rates("254:0 rbps=1048576 wbps=max riops=max wiops=1000\n",
					   makedev(254, 0), &some));
	assert_true(cgroup_text_has_rates(file, makedev(254, 1), &none));
	assert_true(cgroup_text_has_rates("", makedev(254, 1), &none));
	cgroup_text_rates(
		makedev(4095, 1048575),
		&(struct io_rates){UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1},
		text, sizeof(text));
	assert_non_null(strstr(text, "wiops=18446744073709551614"));
}

static void a_throttle_is_of_its_disk(void **state)
{
	const char *file = "8:0 4096\n8:16 8192\n";

	(void)state;
	assert_int_equal(cgroup_text_of_disk(file, makedev(8, 16)), 8192);
	assert_int_equal(cgroup_text_of_disk(file, makedev(8, 1)), 0);
	assert_int_equal(cgroup_text_of_disk("", makedev(8, 0)), 0);
	assert_int_equal(cgroup_text_of_disk("garbage\n8:", makedev(8, 0)), 0);
}

static void every_disk_of_a_file_is_met(void **state)
{
	const char *at = "8:0 4096\nTotal 5\n8:16 rbps=1\n";
	dev_t disk = 0;

	(void)state;
	assert_true(cgroup_text_next_disk(&at, &disk));
	assert_int_equal(disk, makedev(8, 0));
	assert_true(cgroup_text_next_disk(&at, &disk));
	assert_int_equal(disk, makedev(8, 16));
	assert_false(cgroup_text_next_disk(&at, &disk));
	assert_false(cgroup_text_next_disk(&at, &disk));
}

static bool is_loop(dev_t disk)
{
	return major(disk) == 7;
}

static void io_that_is_passed_on_counts_once(void **state)
{
	uint64_t read = 9, written = 9;

	(void)state;
	cgroup_text_io("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"
		       "7:0 rbytes=10 wbytes=1000 rios=1 wios=2\n"
		       "9:0 \n8:16 rbytes=5 wbytes=6\n",
		       is_loop, &read, &written);
	assert_int_equal(read, 15);      /* of which 10 came through the loop device */
	assert_int_equal(written, 1000); /* not all of which is on the disk yet */
	cgroup_text_io("", is_loop, &read, &written);
	assert_int_equal(read + written, 0);
}

static void what_v1_has_served_is_known_or_not(void **state)
{
	uint64_t read;

	(void)state;
	assert_true(cgroup_text_service("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 5\n"
					"Total 35\n",
					&read));
	assert_int_equal(read, 15);
	assert_false(cgroup_text_service("Total 0\n", &read));
}

static void pressure_is_what_some_waited(void **state)
{
	uint64_t us;

	(void)state;
	assert_true(cgroup_text_pressure("some avg10=2.06 avg60=1.12 avg300=0.59 total=1894311911\n"
					 "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
					 &us));
	assert_int_equal(us, 1894311911);
	assert_false(cgroup_text_pressure("full avg10=0.00 total=7\n", &us));
	assert_false(cgroup_text_pressure("some avg10=0.00\nfull total=7\n", &us));
	assert_false(cgroup_text_pressure("", &us));
}

static void weights_come_with_a_word_or_without(void **state)
{
	(void)state;
	assert_int_equal(cgroup_text_weight("default 200\n8:0 5\n"), 200);
	assert_int_equal(cgroup_text_weight("100\n"), 100);
	assert_int_equal(cgroup_text_weight("8:0 5"), 8);
	assert_int_equal(cgroup_text_weight("none\n"), 0);
}

static void a_mount_below_a_place_is_seen(void **state)
{
	const char *mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
			     "30 27 0:25 / /srv/a rw - tmpfs x rw\n"
			     "31 30 8:1 / /srv/a\\040b/c rw - ext4 /dev/sda1 rw\n";

	(void)state;
	assert_false(submounts_in(mounts, "/srv/a", NULL, NULL));
	assert_true(submounts_in(mounts, "/srv", NULL, NULL));
	assert_true(submounts_in(mounts, "/srv/a\\040b", NULL, NULL));
	assert_false(submounts_in(mounts, "/srv/a\\040b/c", NULL, NULL));
	assert_false(submounts_in("1 2 3\n4 5", "/srv", NULL, NULL));
}

static void a_proc_below_a_place_is_seen(void **state)
{
	const char *mounts = "30 27 0:25 / /srv/a rw - tmpfs proc rw\n"
			     "31 30 0:26 / /srv/a/proc rw shared:2 - proc proc rw\n"
			     "32 30 0:26 / /srv/b/c/proc rw - proc none rw\n"
			     "33 30 0:27 / /srv/d/proc rw - procs none rw";

	(void)state;
	assert_true(submounts_in(mounts, "/srv/a", "proc", NULL));
	assert_false(submounts_in(mounts, "/srv/a", "proc", "proc"));
	assert_true(submounts_in(mounts, "/srv/b", "proc", "proc"));
	assert_true(submounts_in(mounts, "/srv", "proc", "a/proc"));
	assert_false(submounts_in(mounts, "/srv/d", "proc", NULL));
	assert_false(submounts_in(mounts, "/srv/a/proc", "proc", NULL));
}

static void the_cost_model_is_on_or_not(void **state)
{
	const char *file = "18:0 enable=1 ctrl=auto\n8:0 enable=1 ctrl=auto rpct=0.00\n"
			   "8:16 enable=0 ctrl=auto\n";

	(void)state;
	assert_true(disk_cost_is_on(file, makedev(8, 0)));
	assert_true(disk_cost_is_on(file, makedev(18, 0)));
	assert_false(disk_cost_is_on(file, makedev(8, 16)));
	assert_false(disk_cost_is_on(file, makedev(8, 1)));
	assert_false(disk_cost_is_on("18:0 enable=1\n", makedev(8, 0)));
}

static void both_names_of_the_io_controller_are_known(void **state)
{
	struct places places;

	(void)state;
	places_parse("30 24 0:26 / /cg/blkio rw - cgroup cgroup rw,blkio\n"
		     "31 24 0:27 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n",
		     "4:blkio:/\n3:cpuset:/a\n", &places);
	assert_int_equal(places.count, 2);
	assert_int_equal(places.place[0].controllers, CONTROLLER_IO);
	assert_int_equal(places.place[1].controllers, CONTROLLER_CPUSET);
	assert_string_equal(places.place[1].path, "/cg/cpuset/a");
	assert_int_equal(places_controllers("cpuset cpu io memory"),
			 CONTROLLER_CPUSET | CONTROLLER_CPU | CONTROLLER_IO | CONTROLLER_MEMORY);
	assert_string_equal(places_controller_name(CONTROLLER_IO), "io");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_processors_are_read),
		cmocka_unit_test(the_same_processors_may_be_written_in_many_ways),
		cmocka_unit_test(rates_are_written_and_known_again),
		cmocka_unit_test(a_throttle_is_of_its_disk),
		cmocka_unit_test(every_disk_of_a_file_is_met),
		cmocka_unit_test(io_that_is_passed_on_counts_once),
		cmocka_unit_test(what_v1_has_served_is_known_or_not),
		cmocka_unit_test(pressure_is_what_some_waited),
		cmocka_unit_test(weights_come_with_a_word_or_without),
		cmocka_unit_test(a_mount_below_a_place_is_seen),
		cmocka_unit_test(a_proc_below_a_place_is_seen),
		cmocka_unit_test(the_cost_model_is_on_or_not),
		cmocka_unit_test(both_names_of_the_io_controller_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
