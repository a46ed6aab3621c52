"""ci/tally and ci/check: what failed is counted and fails the whole, whatever way it failed."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = r"""
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

static void holds(void **state)
{
	(void)state;
}
static void breaks(void **state)
{
	(void)state;
	assert_int_equal(1, 2);
}
static void is_skipped(void **state)
{
	(void)state;
	print_message("SKIP is_skipped: no such thing here\n");
	skip();
}
static void dies(void **state)
{
	(void)state;
	_Exit(7);
}
int main(void)
{
	const struct CMUnitTest tests[] = {TESTS};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
void *const used[] = {holds, breaks, is_skipped, dies};
"""


class Tally(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def program(self, *tests):
        """A cmocka program of these tests, as it would come out of make."""
        source = self.folder / "test_it.c"
        source.write_text(PROGRAM)
        listed = ", ".join(f"cmocka_unit_test({test})" for test in tests)
        program = self.folder / "test_it"
        subprocess.run(["gcc", "-w", f"-DTESTS={listed}", "-o", program, source, "-lcmocka"],
                       check=True)
        return program

    def check(self, *steps):
        """Runs ci/check on a list of steps of our own: exit status and lines."""
        (self.folder / "list").write_text("".join(f"{step}\n" for step in steps))
        done = subprocess.run([ROOT / "ci/check", "--steps", self.folder / "list"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env={**os.environ, "JOBS": "1"})
        return done.returncode, done.stdout.splitlines()

    def test_what_passes_is_counted_and_the_plain_line_is_last(self):
        status, lines = self.check(f"unit tests {self.program('holds')}", "layers check true")
        self.assertEqual(lines[-1], "2 passed, 0 failed")
        self.assertEqual(status, 0)

    def test_a_failing_unit_program_is_counted_and_fails_the_whole(self):
        status, lines = self.check(f"unit tests {self.program('holds', 'breaks')}")
        self.assertEqual(lines[-1], "1 passed, 1 failed")
        self.assertIn("FAILED unit: breaks", lines)
        self.assertEqual(status, 1)

    def test_it_fails_the_whole_even_when_its_exit_status_is_lost(self):
        status, lines = self.check(f"unit tests {self.program('breaks')} || true")
        self.assertEqual(lines[-1], "0 passed, 1 failed")
        self.assertEqual(status, 1)

    def test_a_program_that_dies_is_a_failure(self):
        status, lines = self.check(f"unit tests {self.program('holds', 'dies')} || true")
        self.assertEqual(lines[-1], "1 passed, 1 failed")
        self.assertIn("FAILED unit: dies (its program died)", lines)
        self.assertEqual(status, 1)

    def test_a_step_that_ran_no_test_has_failed(self):
        status, lines = self.check("unit tests true")
        self.assertEqual(lines[-1], "0 passed, 1 failed")
        self.assertEqual(status, 1)

    def test_a_step_that_failed_without_a_failed_test_is_a_failure(self):
        status, lines = self.check(f"unit tests {self.program('holds')}; exit 3")
        self.assertEqual(lines[-1], "1 passed, 1 failed")
        self.assertIn("FAILED unit: exit status 3", lines)
        self.assertEqual(status, 1)

    def test_a_failed_check_is_one_failure_and_later_steps_run(self):
        status, lines = self.check("layers check false", "format check true")
        self.assertEqual(lines[-1], "1 passed, 1 failed")
        self.assertEqual(status, 1)

    def test_what_is_skipped_is_named_with_its_reason(self):
        status, lines = self.check(f"unit tests {self.program('holds', 'is_skipped')}")
        self.assertEqual(lines[-1], "1 passed, 0 failed, 1 skipped")
        self.assertIn("SKIPPED unit: is_skipped: no such thing here", lines)
        self.assertEqual(status, 0)

    def test_unittest_and_plain_lines_are_counted_too(self):
        status, lines = self.check(
            "python tests printf 'Ran 3 tests in 1s\\n\\nFAILED (errors=1, skipped=1)\\n'",
            "driver tests printf 'ok a\\n4 passed, 0 failed, 2 skipped\\n'")
        self.assertEqual(lines[-1], "5 passed, 1 failed, 3 skipped")
        self.assertEqual(status, 1)

    def test_no_step_at_all_is_a_failure(self):
        status, lines = self.check("# nothing")
        self.assertEqual(lines[-1], "0 passed, 1 failed")
        self.assertEqual(status, 1)


if __name__ == "__main__":
    unittest.main()
