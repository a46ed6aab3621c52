"""The example of docs/protocol.md does what the page says."""
import subprocess
import unittest

from harness import ROOT, SystemTest


class Example(SystemTest):
    def test_a_client_made_from_the_page_submits_and_hears_the_verdict(self):
        repository = self.lab.repository()
        self.lab.dispatcher()
        self.lab.runner()
        repository.run("echo hello")
        command = [ROOT / "docs/examples/submit.py", self.lab.state / "dispatcher.sock", str(repository.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^run \d+: passed")

    def test_what_the_dispatcher_refuses_is_told(self):
        self.lab.dispatcher()
        command = [ROOT / "docs/examples/submit.py", self.lab.state / "dispatcher.sock", ""]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Submit.repository is missing", done.stderr)


if __name__ == "__main__":
    unittest.main()
