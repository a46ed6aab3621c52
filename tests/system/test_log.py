"""Logs: every byte arrives, in order, whatever it is and whoever dies on the way."""
import hashlib
import json
import random
import re
import subprocess
import unittest

from harness import BIN, GATE, SystemTest, job_of, wait_until
from repository import ENVIRONMENT, job_file


def report(size):
    """Bytes that split badly: colons, NULs, line ends of all kinds, escape sequences, no last newline."""
    dice = random.Random(7)
    pieces = [b":", b"::", b"\0", b"\0\0\0", b"\n", b"\r\n", b"\r", b"\x1b[31m", b"results:", b"\xff\xfe", b"\xc3",
              b"[  FAILED  ] not really\n", dice.randbytes(300)]
    data = bytearray()
    while len(data) < size:
        data += dice.choice(pieces)
    return bytes(data[:size])


def known(text):
    """Without what isn't UTF-8, for which one or several U+FFFD may stand."""
    return text.replace("\ufffd", "")


class Logs(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()

    def submit(self, files):
        self.repository.commit(files)
        self.repository.push()
        return self.lab.submit(self.repository)

    def assert_exact(self, run, expected):
        got = self.lab.log(run["id"])
        attempt = job_of(run)["attempts"][-1]
        self.assertEqual(len(got), len(expected))
        self.assertEqual(hashlib.sha256(got).hexdigest(), hashlib.sha256(expected).hexdigest())
        self.assertEqual(attempt["log_length"], len(expected))

    def test_twenty_megabytes_with_colons_and_nuls_arrive_byte_exact(self):
        """The classic design cut reports at what one read gave, and made line ends of colons."""
        self.lab.dispatcher()
        self.lab.runner()
        data = report(20_000_000)
        run = self.lab.ended(self.submit({".cupel.yml": job_file(test="cat data"), "data": data}))
        self.assert_verdict(run, "passed")
        self.assert_exact(run, data)

    def test_as_json_a_log_is_an_object_for_each_line(self):
        self.lab.dispatcher()
        self.lab.runner()
        files = {".cupel.yml": job_file(test="cat text >&2", other="cat data"), "text": "füns\n\nno end",
                 "data": report(300_000)}
        run = self.lab.ended(self.submit(files))["id"]
        told = [json.loads(line) for line in self.lab.cupel("log", run, "--json").stdout.splitlines()]
        self.assertEqual({each["stream"] for each in told}, {"output"})
        text = [(each["offset"], each["text"]) for each in told if each["job"] == "test"]
        self.assertEqual(text, [(0, "füns\n"), (6, "\n"), (7, "no end")])
        other = [each for each in told if each["job"] == "other"]
        lines, at = re.findall(rb"[^\n]*\n|[^\n]+$", files["data"]), 0
        self.assertEqual(len(other), len(lines))
        for each, line in zip(other, lines):
            self.assertEqual((each["offset"], known(each["text"])), (at, known(line.decode(errors="replace"))))
            at += len(line)

    def test_a_dispatcher_killed_in_the_middle_of_a_log_loses_no_byte(self):
        dispatcher = self.lab.dispatcher()
        self.lab.runner()
        data = report(12_000_000)
        script = "head -c 6000000 data; until [ -e go ]; do sleep 0.05; done; tail -c +6000001 data"
        run = self.submit({".cupel.yml": job_file(test=script), "data": data})
        wait_until(lambda: job_of(self.lab.show(run))["attempts"] and
                   job_of(self.lab.show(run))["attempts"][-1]["log_length"] > 1_000_000
                   if self.planned(run) else False, "some of the log is there")
        dispatcher.kill_all()
        self.lab.let_go()
        dispatcher.start()
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assert_exact(ended, data)

    def planned(self, run):
        return any(job["name"] == "test" for job in self.lab.show(run)["jobs"])

    def test_a_runner_killed_and_adopted_in_the_middle_of_a_log_loses_no_byte(self):
        self.lab.dispatcher()
        runner = self.lab.runner()
        data = report(4_000_000)
        script = "head -c 2000000 data; until [ -e go ]; do sleep 0.05; done; tail -c +2000001 data"
        run = self.submit({".cupel.yml": job_file(test=script), "data": data})
        self.lab.running(run)
        runner.kill_main()
        runner.start()
        self.lab.let_go()
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assert_exact(ended, data)

    def test_many_followers_of_a_running_job_all_see_it_to_its_end(self):
        self.lab.dispatcher()
        self.lab.runner()
        run = self.submit(job_file(test=GATE + "\nseq 1 20000"))
        self.lab.running(run)
        followers = [subprocess.Popen([BIN / "cupel", "log", "-f", str(run)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      env={**ENVIRONMENT, "CUPEL_DISPATCHER": self.lab.address})
                     for _ in range(10)]
        self.lab.let_go()
        expected = b"started\nwent on\n" + b"".join(b"%d\n" % i for i in range(1, 20001))
        for follower in followers:
            self.assertEqual(follower.communicate(timeout=30)[0], expected)

    def test_each_attempt_keeps_its_own_log(self):
        """The classic design kept results by commit: a second run overwrote the first."""
        self.lab.dispatcher()
        self.lab.runner()
        run = self.submit(job_file(test=GATE + "\nls\nexit 1"))
        self.lab.running(run)
        self.lab.let_go()
        self.lab.ended(run)
        first = self.lab.log(run)
        self.assertEqual(self.lab.cupel("retry", run).returncode, 0)
        wait_until(lambda: len(job_of(self.lab.show(run))["attempts"]) == 2, "there is a second attempt")
        self.lab.running(run)
        self.lab.let_go(file="another")
        self.lab.let_go()
        self.lab.ended(run)
        self.assertIn(b"another\n", self.lab.log(run))
        self.assertEqual(self.lab.log(run, "--attempt", 1), first)

    def test_standard_output_and_error_keep_their_order(self):
        self.lab.dispatcher()
        self.lab.runner()
        run = self.lab.ended(self.submit(job_file(test="for i in 1 2 3; do echo out $i; echo err $i >&2; done")))
        expected = b"".join(b"out %d\nerr %d\n" % (i, i) for i in (1, 2, 3))
        self.assertEqual(self.lab.log(run["id"]), expected)


if __name__ == "__main__":
    unittest.main()
