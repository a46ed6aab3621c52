"""What can't be had is refused before anything is half done: one sentence, exit status not 0."""
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import unittest

import wire
from harness import SystemTest, job_of, needs_root, start_and_fail, wait_until
from repository import job_file


class Refusals(SystemTest):
    def refuse(self, program, *arguments, words=(), user=None):
        done = start_and_fail(self.lab, program, *arguments, user=user)
        self.assert_sentence(done, *words)
        return done

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refuse("cupel-dispatcher", "--state", self.lab.state, "--listen", f"127.0.0.1:{port}",
                        words=(str(port), "uses this port"))

    def test_a_state_directory_in_use(self):
        self.lab.dispatcher()
        self.lab.runner()
        self.lab.observer(self.lab.repository())
        self.refuse("cupel-dispatcher", "--state", self.lab.state, words=(str(self.lab.state), "use"))
        self.refuse("cupel-runner", "--state", self.lab.runner_state(), "--dispatcher", self.lab.address,
                    words=(str(self.lab.runner_state()), "use"))
        state = self.lab.folder / "observer-watch"
        self.refuse("cupel-observer", "--state", state, "--dispatcher", self.lab.address,
                    self.lab.folder / "repositories/sample.git", words=(str(state), "use"))
        self.lab.connected(1)

    def test_a_database_of_a_newer_version(self):
        self.lab.dispatcher().stop()
        with sqlite3.connect(self.lab.state / "cupel.db") as database:
            database.execute("pragma user_version = 9999")
        database.close()
        before = (self.lab.state / "cupel.db").read_bytes()
        self.refuse("cupel-dispatcher", "--state", self.lab.state, words=("9999", "newer"))
        self.assertEqual((self.lab.state / "cupel.db").read_bytes(), before)

    def test_a_database_that_is_none(self):
        self.lab.state.mkdir(mode=0o700)
        (self.lab.state / "cupel.db").write_bytes(b"not a database, a letter: " * 200)
        self.refuse("cupel-dispatcher", "--state", self.lab.state, words=("cupel.db",))

    def test_a_state_directory_that_cannot_be_made(self):
        (self.lab.folder / "file").touch()
        for program, more in (("cupel-dispatcher", ()), ("cupel-runner", ("--dispatcher", self.lab.address))):
            self.refuse(program, "--state", self.lab.folder / "file/state", *more, words=("file",))

    @needs_root
    def test_missing_rights(self):
        closed = self.lab.folder / "closed"
        closed.mkdir(mode=0o700)
        self.refuse("cupel-dispatcher", "--state", closed / "state", words=("closed", "ermission"), user=54_321)

    def test_an_unreadable_repository(self):
        self.lab.dispatcher()
        empty = self.lab.folder / "not-a-repository"
        empty.mkdir()
        for path in (empty, self.lab.folder / "nowhere"):
            self.refuse("cupel-observer", "--state", self.lab.folder / "observer", "--dispatcher",
                        self.lab.address, path, words=(path.name,))

    @needs_root
    def test_a_full_disk_at_the_start(self):
        small = self.lab.mount_tmpfs("small", "256k")
        filler = os.open(small / "filler", os.O_WRONLY | os.O_CREAT)
        self.assertRaises(OSError, lambda: [os.write(filler, b"x" * 4096) for _ in range(1000)])
        os.close(filler)
        self.refuse("cupel-dispatcher", "--state", small / "state", words=("space",))

    @needs_root
    def test_a_disk_that_gets_full_and_gets_room_again_loses_nothing(self):
        """It takes new work with 32M left; the log is more than that."""
        small = self.lab.mount_tmpfs("small", "36m")
        self.lab.address = f"unix:{small}/state/dispatcher.sock"
        dispatcher = self.lab.dispatcher(state=small / "state")
        self.lab.runner()
        repository = self.lab.repository()
        data = b"0123456789:\n" * 4_000_000
        repository.commit({".cupel.yml": job_file(test="cat data"), "data": data})
        repository.push()
        run = self.lab.submit(repository)
        wait_until(lambda: re.search("no space|disk is full", dispatcher.log(), re.I), lambda: f"the log says so\n{dispatcher.log()}")
        subprocess.run(["mount", "-o", "remount,size=256m", small], check=True)
        ended = self.assert_verdict(self.lab.ended(run, 60), "passed")
        self.assertEqual(self.lab.log(run), data)
        self.assertEqual(len(job_of(ended)["attempts"]), 1)

    def test_a_repository_that_the_runners_owner_does_not_allow(self):
        repository, other = self.lab.repository(), self.lab.folder / "other.git"
        repository.run("echo allowed")
        shutil.copytree(repository.path, other)
        allowed = repository.path.parent
        (allowed / "link.git").symlink_to(other)
        self.lab.dispatcher()
        self.lab.runner(repositories=allowed)
        self.assert_verdict(self.lab.ended(self.lab.submit(repository)), "passed")
        for path in (other, f"{allowed}/../other.git", allowed / "link.git", "https://127.0.0.1:1/x.git"):
            with wire.Peer(self.lab.address.removeprefix("unix:")) as peer:
                peer.hello("submitter")
                peer.send("SUBMIT", {"repository": str(path), "name": "x", "revision": "main"})
                run = peer.expect("SUBMITTED")["run"]
            ended = self.assert_verdict(self.lab.ended(run), "errored")
            self.assertIn("`repositories:` of its runner.yml", ended["reason"])
        self.assertEqual(list((self.lab.runner_state() / "mirrors").iterdir()), [])

    def test_wrong_usage(self):
        for program in ("cupel", "cupel-dispatcher", "cupel-runner", "cupel-observer", "cupel-sandbox"):
            done = start_and_fail(self.lab, program, "--no-such-option")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no-such-option", done.stderr)
            for word in ("--help", "--version"):
                done = start_and_fail(self.lab, program, word)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("cupel", done.stdout)

    def test_no_dispatcher_is_told_with_the_address_and_the_remedy(self):
        for command in (("list",), ("show", 1), ("submit", self.lab.folder, "HEAD"), ("runners",)):
            self.assert_sentence(self.lab.cupel(*command), "dispatcher")

    def test_what_is_not_there_is_told(self):
        self.lab.dispatcher()
        for command in ("show", "log", "wait", "cancel", "retry", "why"):
            self.assert_sentence(self.lab.cupel(command, 4711), "4711")

    def test_up_tells_wrong_usage_by_its_status_whichever_part_finds_it(self):
        path = self.lab.repository().path
        for words in (("--slots", "many", path), ("--poll", "soon", path), ("--no-such-option", path), ()):
            done = self.lab.cupel("up", "--state", self.lab.folder / "up", *words)
            self.assertEqual(done.returncode, 64, f"{words}: {done.stderr}")
        done = self.lab.cupel("up", "--state", self.lab.folder / "up", self.lab.folder / "nowhere")
        self.assertEqual(done.returncode, 66, done.stderr)

    @needs_root
    def test_a_socket_of_another_user(self):
        self.lab.dispatcher()
        done = self.lab.cupel("list", user=54_321)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assert_sentence(done, f"{self.lab.state}/dispatcher.sock", "allow_uids", "54321")

    def test_up_takes_its_parts_down_when_one_cannot_start(self):
        repository = self.lab.repository()
        state = self.lab.folder / "up"
        state.mkdir()
        (state / "runner").touch()
        done = self.lab.cupel("up", "--state", state, repository.path)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse((state / "dispatcher/dispatcher.sock").exists())


if __name__ == "__main__":
    unittest.main()
