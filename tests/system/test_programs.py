"""Real programs behind the walls: what docs/sandbox.md says of each profile. Their sources are in programs/."""
import os
import shutil
import subprocess
import unittest

from harness import BIN
from inside import CUPEL, JOB_PATH, ONE, ProgramTest, denied_of, needs

CUPEL_NEEDS = ("gcc", "make", "pkg-config", "protoc-c")


class Builds(ProgramTest):
    @needs(*CUPEL_NEEDS)
    def test_gcc_and_make_of_a_real_project_and_its_suite(self):
        tests = " ".join(f"run/out/unit/base/test_{name}" for name in ("buffer", "config", "fd", "log", "units"))
        self.works(f"make -s -j4 CI=1 O=out {tests}", *CUPEL, says=["== out/unit/base/test_fd", "[  PASSED  ]"])

    @needs("gcc", "cmake", "ctest")
    def test_cmake_and_ctest(self):
        self.works("cmake -B out . >log 2>&1 && cmake --build out >>log 2>&1 || { cat log; exit 1; }; cd out && ctest",
                   "project", "cmake", who=ONE, says=["100% tests passed"])

    @needs("gcc", "make", "git")
    def test_git(self):
        self.works("""
            set -e
            git init -q -b main . && git config --global user.name J && git config --global user.email j@example.org
            git add . && git commit -qm first && git tag v1 && git gc -q
            git clone -q "file://$PWD" /tmp/clone && cd /tmp/clone
            git worktree add -q ../second v1 && make -s -C ../second check
            git commit -q --allow-empty -m second && git push -q origin HEAD:other
            git log --format=%s""", "project", says=["all hold", "second\nfirst"])

    @needs("perl", "prove")
    def test_prove(self):
        self.works("""
            mkdir t && cat >t/basic.t <<'END'
use strict; use warnings; use Test::More tests => 3; use File::Temp; use IPC::Open3;
ok(File::Temp->new, "a temporary file");
is(`echo hello`, "hello\\n", "a child");
my $pid = fork // die; exit 3 unless $pid; waitpid $pid, 0;
is($? >> 8, 3, "a fork");
END
            prove -j2 t""", who=ONE, says=["Tests=3,", "Result: PASS"])

    @needs("javac", "java")
    def test_java(self):
        self.works("""
            cat >Hello.java <<'END'
public class Hello {
    public static void main(String[] arguments) throws Exception {
        Thread thread = new Thread(() -> System.out.println("hello from a thread"));
        thread.start();
        thread.join();
        java.security.SecureRandom.getInstanceStrong().nextInt();
    }
}
END
            javac Hello.java && java -Xmx256m Hello""", who=ONE, says=["hello from a thread"])

    @needs("go")
    def test_go(self):
        self.works("""
            echo 'module example.org/sum' >go.mod && cat >sum_test.go <<'END'
package sum
import "testing"
func TestSum(t *testing.T) {
	results := make(chan int)
	for i := 0; i < 8; i++ {
		go func(n int) { results <- n }(i)
	}
	total := 0
	for i := 0; i < 8; i++ {
		total += <-results
	}
	if total != 28 {
		t.Fatal(total)
	}
}
END
            GOFLAGS=-mod=mod GOPROXY=off go test ./...""", who=ONE, says=["ok  \texample.org/sum"])

    @needs("gcc")
    def test_cargo(self):
        """The toolchain of whoever runs the tests, shown read-only, where it isn't the system's own."""
        if not shutil.which("rustc"):
            self.skipTest("not installed: rustc")
        found = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True)
        if found.returncode != 0:
            self.skipTest(f"rustc doesn't run: {found.stderr.strip()}")
        sysroot = os.path.realpath(found.stdout.strip())
        if not os.access(f"{sysroot}/bin/cargo", os.X_OK):
            self.skipTest("not installed: cargo")
        shown = ("--bind", f"{sysroot}:/opt/rust", "--env", f"PATH=/opt/rust/bin:{JOB_PATH}")
        self.works("CARGO_HOME=$HOME/.cargo cargo test -q --offline", "crate", who=ONE,
                   options=() if sysroot == "/usr" else shown, says=["2 passed"])


class Debuggers(ProgramTest):
    TEST = "make -s CI=1 O=out out/unit/base/test_buffer"
    GDB = f"{TEST} && gdb -nx -batch -ex 'break buffer_take' -ex run -ex bt -ex delete -ex c out/unit/base/test_buffer"
    TRACE = "strace -f -o log sh -c 'echo hello; exit' && grep -q 'write(1, \"hello' log"
    LEAK = "gcc -g -fsanitize=address -o leak leak.c && ./leak"
    RACE = "gcc -g -fsanitize=thread -o race race.c && setarch -R ./race"
    VALGRIND = "valgrind -q --leak-check=full --error-exitcode=9"

    @needs(*CUPEL_NEEDS, "gdb")
    def test_gdb_stops_in_a_test_prints_a_backtrace_and_goes_on(self):
        self.works(self.GDB, *CUPEL, profiles=("ci", "nested"),
                   says=["Breakpoint 1, buffer_take (", "in _cmocka_run_group_tests (", "in main ()", "[  PASSED  ]"])

    @needs(*CUPEL_NEEDS, "gdb")
    def test_gdb_is_refused_by_strict(self):
        def check(done):  # gdb takes it for no error
            self.assert_says(done, ["Could not trace the inferior process"])
            self.assertNotIn("Breakpoint 1, buffer_take", done.output)
            self.assertIn("ptrace", denied_of(done))
        self.each(check, self.GDB, *CUPEL, profiles=("strict",), who=ONE)

    @needs("strace")
    def test_strace(self):
        self.works(self.TRACE, profiles=("ci", "nested"))

    @needs("strace")
    def test_strace_is_refused_by_strict(self):
        self.refused(self.TRACE, profiles=("strict",), call="ptrace", option="--profile ci")

    @needs(*CUPEL_NEEDS)
    def test_a_suite_with_the_address_leak_and_undefined_behaviour_sanitizers(self):
        self.works("make -s -j4 CI=1 V=asan O=out run/out/unit/base/test_buffer && nm out/unit/base/test_buffer",
                   *CUPEL, profiles=("ci", "nested"), who=ONE, says=["[  PASSED  ]", "__asan_init", "__ubsan_handle"])

    @needs("gcc")
    def test_a_leak_is_found(self):
        self.fails(f"{self.LEAK} lost", "leak.c", profiles=("ci", "nested"), status=1,
                   says=["77 byte(s) leaked in 1 allocation(s)"])

    @needs("gcc")
    def test_under_strict_the_leak_checker_says_that_it_cannot(self):
        self.refused(self.LEAK, "leak.c", profiles=("strict",), call="ptrace", option="--profile ci",
                     says=["LeakSanitizer has encountered a fatal error"])

    @needs("gcc")
    def test_without_the_leak_checker_the_address_sanitizer_works_under_strict(self):
        script = f"export ASAN_OPTIONS=detect_leaks=0; {self.LEAK}"
        self.works(script, "leak.c", profiles=("strict",), says=["done"])
        self.fails(f"{script} beyond the end", "leak.c", profiles=("strict",), status=1, says=["heap-buffer-overflow"])

    @needs("gcc", "setarch")
    def test_a_race_is_found_by_the_thread_sanitizer(self):
        self.fails(self.RACE, "race.c", who=ONE, status=66, says=["ThreadSanitizer: data race"])

    @needs(*CUPEL_NEEDS, "valgrind")
    def test_valgrind_runs_a_test(self):
        self.works(f"{self.TEST} && {self.VALGRIND} out/unit/base/test_buffer", *CUPEL, who=ONE, says=["[  PASSED  ]"])

    @needs("gcc", "valgrind")
    def test_valgrind_finds_a_leak(self):
        self.fails(f"gcc -g -o leak leak.c && {self.VALGRIND} ./leak lost", "leak.c", status=9,
                   says=["77 bytes in 1 blocks are definitely lost"])

    @needs("setarch")
    def test_setarch_switches_randomization_off(self):
        self.works("setarch -R cat /proc/self/personality", says=["00040000"])

    @needs("gcc")
    def test_a_crash_leaves_no_core(self):
        script = "gcc -o crash crash.c && ulimit -c && ulimit -c unlimited && exec ./crash"
        def check(done):
            self.assertEqual((done.status, done.report["signal"]), (139, 11), done.output[-2000:])
            self.assertEqual(done.output.split()[0], "0")
            self.assertEqual({path.name for path in done.worktree.iterdir()}, {"crash", "crash.c"})
        self.each(check, script, "crash.c")


class Suites(ProgramTest):
    @needs("python3")
    def test_python_with_files_and_databases(self):
        self.works("python3 suite.py Files", "suite.py", says=["OK\n"])

    @needs("python3")
    def test_python_with_pools_queues_and_shared_memory(self):
        self.works("python3 suite.py Processes", "suite.py", who=ONE, says=["OK\n"])

    @needs("python3")
    def test_python_with_ptys(self):
        self.works("python3 suite.py Terminals", "suite.py", says=["OK\n"])

    @needs("python3")
    def test_python_with_tcp_and_other_sockets_on_the_loopback(self):
        self.works("python3 suite.py Sockets", "suite.py", says=["OK\n"])

    @needs("python3")
    def test_python_with_300_processes(self):
        def check(done):
            self.assertEqual(done.report["verdict"], "passed", done.output[-2000:])
            self.assert_says(done, ["OK\n"])
            peak = done.report["usage"]["tasks_peak"]
            self.assertGreaterEqual(300 if peak is None else peak, 300)
        self.each(check, "python3 suite.py Crowd", "suite.py")

    @needs("node")
    def test_node(self):
        self.works("node suite.mjs", "suite.mjs", who=ONE,
                   says=["workers 1 4 9 16\n", "server you asked /hello\n", "watched fresh\n", "child hello\n"])

    @needs("gcc")
    def test_what_the_kernel_offers(self):
        self.works("gcc -o kernel kernel.c -pthread -lrt && ./kernel", "kernel.c", says=["ok huge_sparse_files"])

    @needs("gcc")
    def test_posix_message_queues(self):
        self.works("gcc -o messages messages.c -lrt && ./messages", "messages.c", says=["hello"])

    @needs("script")
    def test_a_terminal_made_by_script(self):
        self.works("script -qec 'tty && test -t 0 && test -t 1 && stty size' /dev/null", says=["/dev/pts/0", "0 0"])

    def test_the_language_and_the_time_zone(self):
        self.works("locale charmap; date -d @0 '+%H:%M %Z'; TZ=EST5 date -d @0 '+%H:%M %Z'; LC_ALL=C locale charmap",
                   says=["UTF-8\n", "00:00 UTC\n", "19:00 EST\n", "ANSI_X3.4-1968\n"])

    @needs("ps", "top", "free")
    def test_what_runs_is_seen_and_nothing_else(self):
        # libnuma, which ps and top are linked with, tries set_mempolicy when it is loaded.
        def check(done):
            self.assertEqual(done.report["verdict"], "passed", done.output[-2000:])
            self.assertEqual(set(done.output.split()), {"init", "sh", "ps"})
            self.assertLessEqual(denied_of(done), {"set_mempolicy"})
        self.each(check, "ps -e -o comm= && top -bn1 | grep -q Tasks: && free -m | grep -q Mem:")

    @unittest.skipUnless(os.geteuid() == 0, "needs root: control groups")
    def test_processors_are_counted_as_the_host_has_them(self):
        """--cpus bounds their time, not their number."""
        self.works("nproc", who=ONE, options=("--cpus", "1"), says=[f"{len(os.sched_getaffinity(0))}\n"])


class Sandboxes(ProgramTest):
    BUBBLEWRAP = "bwrap --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-all sh -c 'echo $$ inside'"
    UNSHARE = "unshare -Urpfm --mount-proc sh -c 'id -u; mount -t tmpfs none /mnt && echo $$ inside'"
    ITSELF = "/opt/cupel-sandbox --bare -- sh -c 'echo $(id -un) inside'"
    NETLINK = "python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)'"
    SHOWN = ("--bind", f"{BIN}/cupel-sandbox:/opt/cupel-sandbox")

    @needs("bwrap")
    def test_bubblewrap_in_nested(self):
        self.works(self.BUBBLEWRAP, profiles=("nested",), says=["2 inside"])

    @needs("bwrap")
    def test_bubblewrap_is_refused_elsewhere(self):
        self.refused(self.BUBBLEWRAP, profiles=("strict", "ci"), call="clone", option="--profile nested")

    @needs("unshare")
    def test_unshare_in_nested(self):
        self.works(self.UNSHARE, profiles=("nested",), says=["0\n", "1 inside"])

    @needs("unshare")
    def test_unshare_is_refused_elsewhere(self):
        self.refused(self.UNSHARE, profiles=("strict", "ci"), call="unshare", option="--profile nested",
                     says=["Operation not permitted"])

    def test_cupel_sandbox_in_nested(self):
        self.works(self.ITSELF, profiles=("nested",), options=self.SHOWN, says=["job inside"])

    def test_cupel_sandbox_is_refused_elsewhere(self):
        self.refused(self.ITSELF, profiles=("strict", "ci"), options=self.SHOWN, call="clone",
                     option="--profile nested", says=["make the namespaces: Operation not permitted"])

    @needs("python3")
    def test_netlink_other_than_route(self):
        self.works(self.NETLINK, profiles=("ci", "nested"))

    @needs("python3")
    def test_netlink_other_than_route_is_refused_by_strict(self):
        self.refused(self.NETLINK, profiles=("strict",), call="socket", option="--profile ci",
                     says=["Address family not supported"])

    @needs("gcc")
    def test_what_no_profile_allows_is_told_by_name(self):
        def check(done):
            self.assert_says(done, ["bpf EPERM", "perf_event_open EPERM", "io_uring_setup ENOSYS"])
            self.assertEqual(denied_of(done), {"bpf", "perf_event_open", "io_uring_setup"})
        self.each(check, "gcc -o refused refused.c && ./refused", "refused.c")


if __name__ == "__main__":
    unittest.main()
