#include "sandbox/prove.h"

#include "base/owned.h"
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX 65536
#define WALL_MS    20000
#define TASKS      64

#define STATUS_ESCAPED 1
#define STATUS_UNTRIED 125

/* The places that an attack aims at, made for it on the host. */
struct target {
	char place[256], tree[272], secret_file[272];
	char secret[33], mark[34]; /* hexadecimal; the mark tells what an attack made */
	char knobs[2][256];
	int listener;
	unsigned port;
};

struct attack {
	const char *name;
	/* Of the host, without which nothing is shown. */
	const char *tools;
	/* $SECRET names the file, $PORT the listener, $MARK is a word of ours. Prints REACHED when
	 * it sees itself that it got through; whatever can be is seen from outside. */
	const char *script;
	struct sandbox_limits limits;
	const char *limit; /* that must have ended it; NULL: it runs to its end */
	unsigned needs;    /* SANDBOX_CAN_* */
};

static const char *const knobs[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"};
static const char *const marked[] = {"/usr", "/etc"};

static const struct attack attacks[] = {
	{"reads a file beside the worktree", "cat", "cat ../outside $SECRET /../../..$SECRET"},
	{"follows a link out of the worktree", "ln cat", "ln -s $SECRET link; cat link"},
	{"changes the host's files", "",
	 "for f in /usr/$MARK /etc/$MARK $SECRET; do (echo x >> $f) && echo REACHED $f; done"},
	{"turns the kernel's knobs", "",
	 "for k in sys/kernel/core_pattern sys/kernel/modprobe sysrq-trigger; do "
	 "(echo 1 > /proc/$k) && echo REACHED $k; done"},
	{"reads its caller's memory, files and environment", "head grep ls",
	 "for f in mem maps environ; do head -c 1 /proc/1/$f | grep -q . && echo REACHED $f; done; "
	 "ls /proc/1/fd/ /proc/1/root/ /proc/1/cwd/ && echo REACHED"},
	{"sees the host's processes", "cat tr", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"},
	{"kills its supervisor", "",
	 "kill -9 1 $PPID; cd /proc; for p in [0-9]*; do [ $p = $$ ] || kill -9 $p; done"},
	{"makes a user namespace", "unshare", "unshare -Ur true && echo REACHED"},
	{"mounts", "mount", "mount -t tmpfs x /tmp && echo REACHED"},
	{"makes a device", "mknod", "mknod /tmp/d b 254 0 && echo REACHED"},
	{"has a capability", "grep",
	 "grep -q 'Cap[A-Z][a-z]*:.*[1-9a-f]' /proc/self/status && echo REACHED"},
	{"reaches a listener on the host's loopback", "bash",
	 "bash -c 'echo > /dev/tcp/127.0.0.1/'$PORT && echo REACHED"},
	{"bombs with forks",
	 "",
	 "f() { f | f & }; f; while :; do :; done",
	 {.tasks = TASKS, .wall_ms = 1500},
	 "wall",
	 SANDBOX_CAN_TASKS},
	{"eats memory",
	 "head tail",
	 "head -c 1G /dev/zero | tail -c 1G",
	 {.memory = 64 << 20},
	 "memory",
	 SANDBOX_CAN_MEMORY},
	{"floods the log", "yes", "yes", {.output = 1 << 20}, "output", 0},
	{"never ends",
	 "sleep",
	 "trap '' TERM INT HUP; while :; do sleep 1; done",
	 {.wall_ms = 300},
	 "wall",
	 0},
	{"leaves a process behind", "setsid sh grep",
	 "(setsid sh -c 'while :; do sleep 1; done' $MARK >/dev/null 2>&1 &); "
	 "until grep -qsz ^$MARK /proc/[0-9]*/cmdline; do :; done"},
};

/* What stands before and behind each script, so that it is known to have been run. */
#define WRAPPED                                                                                    \
	"for t in %s; do command -v $t >/dev/null || { echo LACKS $t; exit; }; done; "             \
	"echo TRYING; %s\necho ATTACKED"

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
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 8) == 0 &&
	    getsockname(fd, (struct sockaddr *)&at, &size) == 0) {
		*port = ntohs(at.sin_port);
		return fd;
	}
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static void read_text(const char *path, char *out, size_t size)
{
	owned_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	out[n < 0 ? 0 : n] = '\0';
}

static int write_secret(struct target *t)
{
	unsigned char bytes[32];
	owned_fd fd = -1;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -1;
	t->mark[0] = 'm';
	for (size_t i = 0; i < 16; i++) {
		(void)snprintf(t->secret + 2 * i, 3, "%02x", bytes[i]);
		(void)snprintf(t->mark + 1 + 2 * i, 3, "%02x", bytes[16 + i]);
	}
	fd = open(t->secret_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return fd >= 0 && write(fd, t->secret, 32) == 32 ? 0 : -1;
}

/* False with errno. */
static bool make_target(const char *in, struct target *t)
{
	*t = (struct target){.listener = -1};
	(void)snprintf(t->place, sizeof(t->place), "%.200s/cupel-prove-XXXXXX", in);
	if (!mkdtemp(t->place)) {
		t->place[0] = '\0';
		return false;
	}
	(void)snprintf(t->tree, sizeof(t->tree), "%s/tree", t->place);
	(void)snprintf(t->secret_file, sizeof(t->secret_file), "%s/outside", t->place);
	if (write_secret(t) < 0 || mkdir(t->tree, 0755) < 0)
		return false;
	for (size_t i = 0; i < 2; i++)
		read_text(knobs[i], t->knobs[i], sizeof(t->knobs[i]));
	t->listener = listen_on_loopback(&t->port);
	return t->listener >= 0;
}

static void remove_target(struct target *t)
{
	char link[288];

	if (t->listener >= 0)
		(void)close(t->listener);
	if (!t->place[0])
		return;
	(void)snprintf(link, sizeof(link), "%s/link",
		       t->tree); /* all that an attack can leave there */
	(void)unlink(link);
	(void)rmdir(t->tree);
	(void)unlink(t->secret_file);
	(void)rmdir(t->place);
}

static bool is_marked(const struct target *t)
{
	char path[64];

	for (size_t i = 0; i < sizeof(marked) / sizeof(marked[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", marked[i], t->mark);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static bool was_turned(const struct target *t)
{
	char now[256];

	for (size_t i = 0; i < 2; i++) {
		read_text(knobs[i], now, sizeof(now));
		if (strcmp(now, t->knobs[i]) != 0)
			return true;
	}
	return false;
}

static bool was_called(const struct target *t)
{
	owned_fd caller = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);

	return caller >= 0;
}

/* Whether a process runs whose arguments hold the mark. */
static bool lives(const struct target *t)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc))) {
		char path[300], text[4096];
		owned_fd fd = -1;
		ssize_t n;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text));
		found = n > 0 && memmem(text, (size_t)n, t->mark, sizeof(t->mark) - 1);
	}
	if (proc)
		(void)closedir(proc);
	return found;
}

/* By what is there now, whatever the attack said; NULL: it left and reached nothing. */
static const char *seen_from_outside(const struct target *t, const struct seen *seen)
{
	char secret[64];

	read_text(t->secret_file, secret, sizeof(secret));
	if (strcmp(secret, t->secret) != 0)
		return "a file beside the worktree was changed";
	if (strstr(seen->text, t->secret))
		return "it could tell what stands beside the worktree";
	if (strstr(seen->text, "--prove"))
		return "it saw this process";
	if (is_marked(t))
		return "it made a file in the host's /usr or /etc";
	if (was_turned(t))
		return "a setting of the kernel is another one now";
	if (was_called(t))
		return "it came through to the host's loopback";
	return lives(t) ? "a process of it is still running" : NULL;
}

/* The bomb is stopped by the wall limit in any case; that it didn't grow is what counts. */
static bool grew(const struct attack *a, const struct sandbox_outcome *out, const struct seen *seen)
{
	if (!a->limits.tasks)
		return false;
	return out->usage.measured & SANDBOX_MEASURED_TASKS ? out->usage.tasks_peak > TASKS
							    : !strstr(seen->text, "fork");
}

/* Why nothing was shown. */
static const char *what_lacks(const struct seen *seen, struct sandbox_outcome *out)
{
	static const char lacks[] = "LACKS ";
	const char *tool = strstr(seen->text, lacks);

	if (tool) {
		tool += sizeof(lacks) - 1;
		(void)snprintf(out->reason, sizeof(out->reason), "there is no %.*s here",
			       (int)strcspn(tool, "\n"), tool);
	}
	return out->reason;
}

static enum prove_finding find(const struct attack *a, const struct target *t,
			       struct sandbox_outcome *out, const struct seen *seen,
			       const char **detail)
{
	const char *trace = seen_from_outside(t, seen);

	*detail = trace ? trace : out->reason;
	if (trace)
		return PROVE_ESCAPED;
	if (!strstr(seen->text, "TRYING")) {
		*detail = what_lacks(seen, out);
		return PROVE_UNTRIED;
	}
	if (out->verdict == SANDBOX_ERRORED || strstr(seen->text, "REACHED"))
		return PROVE_ESCAPED; /* it ran, and broke what is around it */
	if (a->limit)
		return out->limit && strcmp(out->limit, a->limit) == 0 && !grew(a, out, seen)
			       ? PROVE_CONTAINED
			       : PROVE_ESCAPED;
	return strstr(seen->text, "ATTACKED") ? PROVE_CONTAINED : PROVE_UNTRIED;
}

static enum prove_finding try(const struct attack *a, const struct target *t,
			      struct sandbox_outcome *out, struct seen *seen, const char **detail)
{
	char secret[300], port[32], mark[48], script[1024];
	const char *const argv[] = {"sh", "-c", script, NULL};
	const char *const env[] = {secret, port, mark, NULL};
	struct sandbox_spec spec = {.argv = argv,
				    .env = env,
				    .worktree = t->tree,
				    .profile = SANDBOX_CI,
				    .limits = a->limits,
				    .output = see,
				    .context = seen};

	(void)snprintf(secret, sizeof(secret), "SECRET=%s", t->secret_file);
	(void)snprintf(port, sizeof(port), "PORT=%u", t->port);
	(void)snprintf(mark, sizeof(mark), "MARK=%s", t->mark);
	(void)snprintf(script, sizeof(script), WRAPPED, a->tools, a->script);
	if (!spec.limits.wall_ms)
		spec.limits.wall_ms = WALL_MS;
	*seen = (struct seen){.length = 0};
	(void)sandbox_run(&spec, out, NULL); /* the outcome tells */
	return find(a, t, out, seen, detail);
}

/* The first place that takes the targets, and in which a job runs. */
static bool find_place(struct target *t, char *why, size_t size)
{
	static const struct attack nothing = {.name = "", .tools = "", .script = ""};
	const char *const places[] = {getenv("TMPDIR"), "/var/tmp", "/dev/shm", "/tmp"};
	struct sandbox_outcome outcome;
	struct seen seen;
	const char *detail;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!places[i] || places[i][0] != '/')
			continue;
		if (!make_target(places[i], t))
			(void)snprintf(why, size, "targets in %.200s: %s", places[i],
				       strerror(errno));
		else if (try(&nothing, t, &outcome, &seen, &detail) == PROVE_CONTAINED)
			return true;
		else
			(void)snprintf(why, size, "%s", detail);
		remove_target(t);
	}
	return false;
}

static int worse(int status, enum prove_finding finding)
{
	if (finding == PROVE_ESCAPED)
		return STATUS_ESCAPED;
	return finding == PROVE_UNTRIED && status == 0 ? STATUS_UNTRIED : status;
}

/* Whoever interrupts it gets what it made on the host removed before it dies of that. */
static bool is_interrupted(const sigset_t *wanted)
{
	sigset_t pending;

	(void)sigpending(&pending);
	for (int i = 1; i < _NSIG; i++)
		if (sigismember(wanted, i) == 1 && sigismember(&pending, i) == 1)
			return true;
	return false;
}

static int attack_all(const struct target *t, const sigset_t *wanted, prove_line *line,
		      void *context)
{
	int status = 0;

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		const struct attack *a = &attacks[i];
		enum prove_finding finding = PROVE_REFUSED;
		const char *detail = "the limit can't be held here (--check tells why)";
		struct sandbox_outcome outcome;
		struct seen seen;

		if ((sandbox_can() & a->needs) == a->needs)
			finding = try(a, t, &outcome, &seen, &detail);
		if (is_interrupted(wanted))
			break;
		line(context, finding, a->name, detail);
		status = worse(status, finding);
	}
	return status;
}

int prove(prove_line *line, void *context)
{
	struct target target;
	sigset_t wanted, before;
	char why[400] = "";
	int status = STATUS_UNTRIED;

	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGINT);
	(void)sigaddset(&wanted, SIGTERM);
	(void)sigaddset(&wanted, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &wanted, &before);
	if (find_place(&target, why, sizeof(why))) {
		status = attack_all(&target, &wanted, line, context);
		remove_target(&target);
	} else {
		line(context, PROVE_UNTRIED, "runs a job at all", why);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
