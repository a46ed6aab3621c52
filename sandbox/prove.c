#include "sandbox/prove.h"

#include "base/owned.h"
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX 4096

/* The places that an attack aims at, made for it on the host. */
struct target {
	char place[64], tree[80], secret_file[80];
	char secret[33];
	int listener;
	unsigned port;
};

struct attack {
	const char *name;
	const char *script; /* $SECRET names the file, $PORT the listener; prints REACHED when it
			       got through */
	struct sandbox_limits limits;
	enum sandbox_verdict verdict; /* that proves containment; SANDBOX_PASSED: no word REACHED */
	unsigned needs;               /* SANDBOX_CAN_* */
};

static const struct attack attacks[] = {
	{"reads a file beside the worktree", "cat ../outside $SECRET /../../..$SECRET"},
	{"follows a link out of the worktree", "ln -s $SECRET link; cat link"},
	{"changes the host's files",
	 "for f in /usr/x /etc/x /bin/sh $SECRET; do (echo x >> $f) && echo REACHED $f; done"},
	{"turns the kernel's knobs",
	 "for k in sys/kernel/core_pattern sys/kernel/modprobe sysrq-trigger; do "
	 "(echo 1 > /proc/$k) && echo REACHED $k; done"},
	{"reads its caller's memory, files and environment",
	 "for f in mem maps environ; do head -c 1 /proc/1/$f | grep -q . && echo REACHED $f; done; "
	 "ls /proc/1/fd/ /proc/1/root/ /proc/1/cwd/ && echo REACHED"},
	{"sees the host's processes", "[ $(ls /proc | grep -c '^[0-9]') -gt 6 ] && echo REACHED"},
	{"kills its supervisor", "kill -9 1 $PPID; kill -9 -1; true"},
	{"makes a user namespace", "unshare -Ur true && echo REACHED"},
	{"mounts", "mount -t tmpfs x /tmp && echo REACHED"},
	{"makes a device", "mknod /tmp/d b 254 0 && echo REACHED"},
	{"has a capability",
	 "grep -q 'Cap[A-Z][a-z]*:.*[1-9a-f]' /proc/self/status && echo REACHED"},
	{"reaches a listener on the host's loopback",
	 "command -v bash && bash -c 'echo > /dev/tcp/127.0.0.1/'$PORT && echo REACHED"},
	{"bombs with forks",
	 "f() { f | f & }; f; while :; do :; done",
	 {.tasks = 64, .wall_ms = 1500},
	 SANDBOX_TIMED_OUT,
	 SANDBOX_CAN_TASKS},
	{"eats memory",
	 "head -c 1G /dev/zero | tail -c 1G",
	 {.memory = 64 << 20},
	 SANDBOX_KILLED,
	 SANDBOX_CAN_MEMORY},
	{"floods the log", "yes", {.output = 1 << 20}, SANDBOX_KILLED, 0},
	{"never ends",
	 "trap '' TERM INT HUP; while :; do sleep 1; done",
	 {.wall_ms = 300},
	 SANDBOX_TIMED_OUT,
	 0},
	{"leaves a process behind", "(setsid sleep 1000 >/dev/null 2>&1 &); exit 0"},
};

struct seen {
	char text[OUTPUT_MAX + 1];
	size_t length;
};

static void see(void *context, int stream, const void *bytes, size_t length)
{
	struct seen *seen = context;
	size_t room = OUTPUT_MAX - seen->length;

	(void)stream;
	length = length < room ? length : room;
	memcpy(seen->text + seen->length, bytes, length);
	seen->length += length;
}

static int listen_on_loopback(unsigned *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) < 0)
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

static bool make_target(struct target *t)
{
	unsigned char bytes[16];
	int fd;

	(void)snprintf(t->place, sizeof(t->place), "/tmp/cupel-prove-XXXXXX");
	if (!mkdtemp(t->place) || getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(t->secret + 2 * i, 3, "%02x", bytes[i]);
	(void)snprintf(t->tree, sizeof(t->tree), "%s/tree", t->place);
	(void)snprintf(t->secret_file, sizeof(t->secret_file), "%s/outside", t->place);
	fd = open(t->secret_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	t->listener = listen_on_loopback(&t->port);
	if (fd < 0 || write(fd, t->secret, 32) != 32 || mkdir(t->tree, 0755) < 0)
		return false;
	return close(fd) == 0 && t->listener >= 0;
}

static void remove_target(struct target *t)
{
	char link[96];

	if (t->listener >= 0)
		(void)close(t->listener);
	(void)snprintf(link, sizeof(link), "%s/link",
		       t->tree); /* all that an attack can leave there */
	(void)unlink(link);
	(void)rmdir(t->tree);
	(void)unlink(t->secret_file);
	(void)rmdir(t->place);
}

static bool still_secret(const struct target *t)
{
	char now[64] = "";
	owned_fd fd = open(t->secret_file, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, now, sizeof(now) - 1) == 32 && strcmp(now, t->secret) == 0;
}

static bool contained(const struct attack *a, const struct target *t, struct sandbox_outcome *out)
{
	char secret[128], port[32];
	const char *const argv[] = {"sh", "-c", a->script, NULL};
	const char *const env[] = {secret, port, NULL};
	struct seen seen = {.length = 0};
	struct sandbox_spec spec = {.argv = argv,
				    .env = env,
				    .worktree = t->tree,
				    .profile = SANDBOX_CI,
				    .limits = a->limits,
				    .output = see,
				    .context = &seen};

	(void)snprintf(secret, sizeof(secret), "SECRET=%s", t->secret_file);
	(void)snprintf(port, sizeof(port), "PORT=%u", t->port);
	if (!spec.limits.wall_ms)
		spec.limits.wall_ms = 20000;
	(void)sandbox_run(&spec, out, NULL); /* the outcome tells */
	if (out->verdict == SANDBOX_ERRORED || !still_secret(t))
		return false;
	if (a->verdict != SANDBOX_PASSED)
		return out->verdict == a->verdict;
	return !strstr(seen.text, "REACHED") && !strstr(seen.text, t->secret);
}

int prove(void (*line)(void *context, bool contained, const char *attack, const char *detail),
	  void *context)
{
	struct target target = {.listener = -1};
	int through = 0;

	if (!make_target(&target)) {
		line(context, false, "makes its targets in /tmp", "they could not be made");
		return 1;
	}
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		struct sandbox_outcome outcome = {.reason = ""};
		bool held;

		if ((sandbox_can() & attacks[i].needs) != attacks[i].needs) {
			line(context, true, attacks[i].name,
			     "refused to start: the limit can't be held here (--check tells why)");
			continue;
		}
		held = contained(&attacks[i], &target, &outcome);
		line(context, held, attacks[i].name, outcome.reason);
		through += !held;
	}
	remove_target(&target);
	return through;
}
