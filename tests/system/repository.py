"""Real git repositories for the tests: a bare one that is watched, and a staging one that pushes to it."""
import os
import subprocess

ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "GIT_CONFIG_NOSYSTEM": "1",
               "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent", "LC_ALL": "C"}
EXECUTABLE = "100755"
PLAIN = "100644"


def git(folder, *arguments, data=None):
    done = subprocess.run(["git", "-C", str(folder), *map(str, arguments)], input=data, env=ENVIRONMENT,
                          capture_output=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"git {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def job_file(**jobs):
    """A .cupel.yml of these jobs: a script, or a dict of lines as they stand in the file."""
    lines = ["jobs:"]
    for name, job in jobs.items():
        job = {"run": job} if isinstance(job, str) else dict(job)
        script = job.pop("run")
        lines.append(f"  {name}:")
        lines.append("    run: |")
        lines += [f"      {line}" for line in script.splitlines()]
        lines += [f"    {key}: {value}" for key, value in job.items()]
    return "\n".join(lines) + "\n"


def limited(script, **limits):
    return {"run": script, "limits": "{" + ", ".join(f"{k}: {v}" for k, v in limits.items()) + "}"}


class Repository:
    def __init__(self, folder, name="sample"):
        self.name = name
        self.path = folder / f"{name}.git"
        self.staging = folder / f"{name}.staging"
        self.clock = 1_700_000_000  # of commits: equal trees become different commits
        self.path.mkdir(parents=True)
        self.staging.mkdir()
        git(self.path, "init", "-q", "--bare", "-b", "main")
        git(self.staging, "init", "-q", "-b", "main")

    def _stream(self, branch, files, message, first):
        self.clock += 1
        stamp = f"Test <test@example.org> {self.clock} +0000"
        text = message.encode()
        out = [f"commit refs/heads/{branch}\ncommitter {stamp}\ndata {len(text)}\n".encode(), text, b"\n"]
        if first:
            out.append(f"from {first}\n".encode())
        out.append(b"deleteall\n")
        for path, content in files.items():
            mode, content = content if isinstance(content, tuple) else (PLAIN, content)
            content = content.encode() if isinstance(content, str) else content
            out += [f"M {mode} inline {path}\ndata {len(content)}\n".encode(), content, b"\n"]
        return b"".join(out)

    def commits(self, trees, branch="main", parent=None):
        """One commit for each of `trees`, in a row: their ids, oldest first. Nothing is pushed."""
        if parent is None:
            parent = self.tip(branch)
        stream = b"".join(self._stream(branch, files, f"change {i}", parent if i == 0 else None)
                          for i, files in enumerate(trees))
        git(self.staging, "fast-import", "--quiet", "--force", data=stream)
        listed = git(self.staging, "rev-list", "--reverse", f"-{len(trees)}", f"refs/heads/{branch}")
        return listed.split()

    def commit(self, files, branch="main", parent=None):
        if isinstance(files, str):
            files = {".cupel.yml": files}
        return self.commits([files], branch, parent)[0]

    def tip(self, branch):
        found = git(self.staging, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return found or None

    def push(self, *refspecs):
        git(self.staging, "push", "-q", "--force", self.path, *(refspecs or ("main",)))

    def run(self, script, branch="main", **limits):
        """Commits and pushes a job file with one job `test`: the commit's id."""
        commit = self.commit(job_file(test=limited(script, **limits) if limits else script), branch)
        self.push(branch)
        return commit

    def git(self, *arguments, data=None):
        return git(self.path, *arguments, data=data)
