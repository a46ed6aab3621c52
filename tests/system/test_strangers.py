"""Peers that lie, stumble or are somebody else: refused, and nobody else notices."""
import os
import socket
import struct
import unittest

import wire
from harness import GATE, SystemTest, free_port, job_of, needs_root, wait_until

STRANGER = 54_321  # a uid that has no account


def runner_info(incarnation=b"i" * 16, held=(), slots=1, labels=("linux",)):
    capacity = {"slots": slots, "cpu_milli": 1000, "memory": 1 << 30, "tasks": 100}
    return {"incarnation": incarnation, "labels": list(labels), "capacity": capacity, "held": list(held)}


class Strangers(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()
        self.dispatcher = self.lab.dispatcher()

    def peer(self):
        peer = wire.Peer(self.lab.state / "dispatcher.sock")
        self.addCleanup(peer.close)
        return peer

    def running_job(self):
        self.lab.runner()
        self.repository.run(GATE)
        run = self.lab.submit(self.repository)
        return run, self.lab.running(run)

    def assert_undisturbed(self, run):
        self.lab.let_go()
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assertEqual(len(job_of(ended)["attempts"]), 1)
        self.assertTrue(self.dispatcher.is_alive())

    def refused(self, peer):
        """An error frame or the end of the connection, within the deadline."""
        try:
            name, message = peer.receive()
        except (wire.Closed, ConnectionResetError):
            return "closed"
        self.assertEqual(name, "ERROR", message)
        self.assertTrue(message["text"])
        return message["text"]

    def test_garbage_disturbs_nobody(self):
        run, _ = self.running_job()
        hello = wire.frame("HELLO", {"protocol_min": 1, "protocol_max": 1, "role": "runner", "name": "x"})
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\xff" * 64, os.urandom(4096),
                     struct.pack(">IBBH", 0xFFFFFFFF, 1, 0, 0), struct.pack(">IBBH", (1 << 20) + 1, 1, 0, 0),
                     struct.pack(">IBBH", 5, 1, 0, 0) + b"\xff" * 5, b"dispatch:" + b"a" * 40,
                     hello[:5], hello + os.urandom(100)):
            peer = self.peer()
            try:
                peer.send_bytes(data)
                peer.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            try:
                while True:
                    peer.receive(5)
            except (wire.Closed, OSError):
                pass
        self.assert_undisturbed(run)

    def test_an_oversized_frame_is_refused_before_it_is_read(self):
        run, _ = self.running_job()
        peer = self.peer()
        peer.hello("reader")
        peer.send_bytes(struct.pack(">IBBH", (1 << 20) + 1, wire.TYPES["LIST"], 0, 0))
        self.refused(peer)
        peer.close()
        self.assert_undisturbed(run)
        wait_until(lambda: "1048577 bytes is over the limit" in self.dispatcher.log(), "the log names it")
        self.assertEqual(self.dispatcher.log().count("over the limit"), 1)

    def test_a_version_that_nobody_speaks_is_refused_in_words(self):
        peer = self.peer()
        peer.send("HELLO", {"protocol_min": 90, "protocol_max": 99, "role": "reader", "name": "later"})
        self.assertIn("90", self.refused(peer))

    def test_an_unknown_type_is_answered_and_the_connection_stays(self):
        peer = self.peer()
        peer.hello("reader")
        peer.send_bytes(struct.pack(">IBBH", 3, 200, 0, 0) + b"abc")
        name, message = peer.receive()
        self.assertEqual(name, "ERROR")
        self.assertIn("200", message["text"])
        peer.send("RUNNERS")
        self.assertEqual(peer.expect("RUNNER_LIST")["runners"], [])

    def test_roles_may_do_what_they_say_and_nothing_else(self):
        forbidden = {
            "reader": [("SUBMIT", {"repository": "/x", "revision": "main"}), ("CANCEL", {"run": 1}),
                       ("ENROLL", {"name": "x", "role": "admin"}), ("EVENT", self.event()),
                       ("RESULT", {"attempt": {"job": 1, "epoch": 1}, "verdict": "passed"})],
            "submitter": [("ENROLL", {"name": "x", "role": "admin"}), ("DRAIN_RUNNER", {"runner": "one"}),
                          ("EVENT", self.event())],
            "observer": [("SUBMIT", {"repository": "/x", "revision": "main"}), ("LIST", {}),
                         ("HEARTBEAT", {})]}
        for role, messages in forbidden.items():
            for type_name, message in messages:
                with self.subTest(role=role, message=type_name):
                    peer = self.peer()
                    peer.hello(role)
                    peer.send(type_name, message)
                    self.refused(peer)
        self.assertEqual(self.lab.runs(), [])

    def event(self):
        return {"sequence": 1, "repository": "/x", "name": "x", "ref": "refs/heads/main", "commit": "a" * 40}

    def test_a_forged_attempt_changes_nothing(self):
        """A runner says passed for a job that another one holds."""
        run, attempt = self.running_job()
        job = job_of(self.lab.show(run))["id"]
        peer = self.peer()
        peer.hello("runner", "liar", runner=runner_info(slots=0))
        forged = {"job": job, "epoch": attempt["epoch"]}
        peer.send("LOG", payload=wire.log_payload(job, attempt["epoch"], 0, b"forged\n"))
        peer.send("PHASE", {"attempt": forged, "state": "finishing"})
        peer.send("RESULT", {"attempt": forged, "verdict": "failed", "reason": "forged", "exit_code": 1})
        peer.send("RELEASED", {"attempt": forged})
        peer.send("PING", {"cookie": 77})
        self.assertEqual(peer.expect("PONG")["cookie"], 77)
        self.assertEqual(self.lab.running(run)["runner"], "one")
        self.assert_undisturbed(run)
        self.assertNotIn(b"forged", self.lab.log(run))

    def test_a_runner_that_claims_attempts_it_never_had_is_told_to_drop_them(self):
        run, attempt = self.running_job()
        job = job_of(self.lab.show(run))["id"]
        peer = self.peer()
        held = [{"attempt": {"job": job, "epoch": attempt["epoch"]}, "state": "running", "log_length": 5},
                {"attempt": {"job": 999, "epoch": 7}, "state": "running"}]
        welcome = peer.hello("runner", "liar", runner=runner_info(held=held))
        self.assertEqual([answer["proceed"] for answer in welcome["held"]], [False, False])
        self.assert_undisturbed(run)

    def test_a_runner_that_never_accepts_loses_the_job_to_one_that_does(self):
        self.dispatcher.stop()
        self.dispatcher = self.lab.dispatcher(accept="300ms")
        silent = self.peer()
        silent.hello("runner", "silent", runner=runner_info(slots=4))
        self.repository.run("true")
        run = self.lab.submit(self.repository)
        silent.expect("ASSIGN")
        self.lab.runner("good")
        self.assert_verdict(self.lab.ended(run), "passed")

    def test_a_runner_that_declines_is_not_asked_again_for_the_same(self):
        choosy = self.peer()
        choosy.hello("runner", "choosy", runner=runner_info())
        self.repository.run("true")
        run = self.lab.submit(self.repository)
        attempt = choosy.expect("ASSIGN")["attempt"]
        choosy.send("DECLINE", {"attempt": attempt, "reason": "disk below 10%"})
        wait_until(lambda: "disk below 10%" in self.lab.cupel("why", run).stdout, "why tells the reason")
        choosy.send("PING", {"cookie": 5})
        self.assertEqual(choosy.expect("ASSIGN", "PONG")[0], "PONG")
        choosy.close()
        self.lab.runner("good")
        self.assert_verdict(self.lab.ended(run), "passed")

    def test_half_a_frame_and_then_silence_holds_nobody_up(self):
        run, _ = self.running_job()
        for _ in range(20):
            self.peer().send_bytes(wire.frame("HELLO", {"protocol_min": 1})[:6])
        self.assert_undisturbed(run)

    def test_odd_names_are_taken_whole_or_refused(self):
        """The classic register cut a name at its first dot or hyphen and said OK."""
        self.lab.runner("build-box.example.org_1")
        self.assertEqual([r["name"] for r in self.lab.connected(1)], ["build-box.example.org_1"])
        for name in ("", "new\nline", "x" * 300):
            peer = self.peer()
            peer.send("HELLO", {"protocol_min": 1, "protocol_max": 1, "role": "runner", "name": name,
                                "runner": runner_info()})
            self.refused(peer)

    @needs_root
    def test_another_user_of_the_box_is_refused(self):
        self.assert_sentence(self.lab.cupel("list", user=STRANGER))
        self.assertTrue(self.dispatcher.is_alive())


class Tokens(SystemTest):
    """Between boxes: TLS with the key of a join token."""

    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()
        self.port = free_port()
        self.dispatcher = self.lab.dispatcher(listen=[self.lab.address, f"127.0.0.1:{self.port}"])

    def token(self, name, role):
        token = self.lab.json("enroll", name, "--role", role)["token"]
        path = self.lab.folder / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(token + "\n")
        return path

    def test_runner_observer_and_submitter_join_by_token(self):
        self.lab.runner("far", token=self.token("far", "runner"))
        self.lab.observer(self.repository, token=self.token("watch", "observer"))
        self.lab.connected(1)
        commit = self.repository.run("echo over TLS")
        run = self.assert_verdict(self.lab.verdict_of(commit), "passed")
        self.assertEqual(self.lab.log(run["id"]), b"over TLS\n")
        self.assertEqual(job_of(run)["attempts"][0]["runner"], "far")
        sent = self.lab.cupel("submit", "--token", self.token("me", "submitter"), self.repository.path, "main",
                              "--json", variables={"CUPEL_DISPATCHER": ""})
        self.assertEqual(sent.returncode, 0, sent.stderr)

    def test_a_token_opens_its_own_role_only(self):
        reader = self.token("reader", "reader")
        done = self.lab.cupel("submit", "--token", reader, self.repository.path, "main",
                              variables={"CUPEL_DISPATCHER": ""})
        self.assert_sentence(done, "reader")
        runner = self.lab.runner("reader", token=reader, ready=False)
        self.assertNotEqual(runner.wait(), 0)

    def test_a_wrong_secret_is_refused(self):
        path = self.token("far", "runner")
        head, name, secret, rest = path.read_text().split(":", 3)
        path.write_text(":".join((head, name, "0" * len(secret), rest)))
        runner = self.lab.runner("far", token=path, ready=False)
        wait_until(lambda: not runner.is_alive() or "refused" in runner.log() or "handshake" in runner.log().lower(),
                   runner.log)
        self.assertFalse(any(r["connected"] for r in self.lab.runners()))
        self.assertTrue(self.dispatcher.is_alive())

    def test_a_token_that_others_can_read_is_not_used(self):
        path = self.token("far", "runner")
        path.chmod(0o644)
        runner = self.lab.runner("far", token=path, ready=False)
        self.assertNotEqual(runner.wait(), 0)
        self.assertIn("chmod", runner.log())

    def test_a_name_that_has_a_token_keeps_it_unless_told(self):
        first = self.token("far", "runner").read_text()
        done = self.lab.cupel("enroll", "far", "--role", "runner")
        self.assertEqual(done.returncode, 70, done.stdout)
        self.assert_sentence(done, "far", "--replace")
        self.lab.runner("far", token=self.lab.folder / "far.token")
        self.lab.connected(1)
        done = self.lab.cupel("enroll", "far", "--role", "runner", "--replace")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(done.stdout, first)

    def test_plain_text_at_the_tls_port_disturbs_nobody(self):
        self.lab.runner("far", token=self.token("far", "runner"))
        self.lab.connected(1)
        for data in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100, b""):
            with socket.create_connection(("127.0.0.1", self.port), 5) as peer:
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(15)
                try:
                    while peer.recv(4096):
                        pass
                except OSError:
                    pass
        self.repository.run("true")
        self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "passed")

    def test_a_restart_on_the_same_port_at_once_is_possible(self):
        self.lab.runner("far", token=self.token("far", "runner"))
        self.lab.connected(1)
        self.dispatcher.kill_all()
        self.dispatcher.start()
        self.lab.connected(1)


if __name__ == "__main__":
    unittest.main()
