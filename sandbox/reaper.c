#include "sandbox/reaper.h"

#include "base/clock.h"
#include "sandbox/sys.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static bool limits_disk(const struct plan *plan)
{
	return plan->spec->limits.disk || plan->spec->limits.inodes;
}

static uint64_t used(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) < 0 ? 0
				     : (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
}

/* With less than that left, a write of a page-sized piece or a directory fails. */
#define NEARLY_FULL 65536

static void measure_place(const char *path, uint64_t *in_use, struct message *m)
{
	struct statfs fs;
	uint64_t left;

	if (statfs(path, &fs) < 0)
		return;
	left = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	*in_use += (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
	m->no_bytes = m->no_bytes || left < NEARLY_FULL / 16 ||
		      (left < NEARLY_FULL && fs.f_bavail < fs.f_blocks / 16);
	m->no_inodes = m->no_inodes || (fs.f_files && !fs.f_ffree);
}

/* The places in which the disk limit holds: each is no larger than that. */
static void measure_disk(const struct plan *plan, struct message *m)
{
	uint64_t now = 0;

	measure_place("/tmp", &now, m);
	if (plan->bounded)
		measure_place(SANDBOX_WORKTREE, &now, m);
	for (size_t i = 0; limits_disk(plan) && i < plan->bind_count; i++)
		if (plan->binds[i].writable)
			measure_place(plan->binds[i].target, &now, m);
	if (now > m->disk)
		m->disk = now;
}

/* The launcher holds the mounts a little longer than the job lives: what is much is given back now.
 */
#define RELEASE_MIN ((uint64_t)1 << 20)

void reaper_release(const struct plan *plan)
{
	static const char *const held[] = {"/proc",    "/proc",  "/tmp",   "/var/tmp",
					   "/dev/shm", "/build", "/build", ("/home/" SANDBOX_USER)};

	if (plan->birth != BIRTH_READY || used("/tmp") < RELEASE_MIN)
		return;
	/* What is left running holds it until it is killed with this process. The store stands
	 * below /proc, and a place of its own below the worktree. */
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		(void)umount2(held[i], MNT_DETACH);
}

/* How often the disk is looked at while a job with a limit of it runs. */
#define DISK_LOOK_MS 1000

/* How long whoever traces the program may take to wait for it, or to end, before all are killed. */
#define TRACER_MS 1000

/* Until then the first process stays where the program was started. */
#define STAY_MS 10

static void hold_only(int one, int other)
{
	int low = one < other ? one : other, high = one < other ? other : one;

	(void)sys_close_range(0, (unsigned)low - 1, 0);
	if (high > low + 1)
		(void)sys_close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	(void)sys_close_range((unsigned)high + 1, ~0U, 0);
}

/* Everybody who is dead. True when the program is one of them, or can't be waited for any more. */
static bool reap(pid_t program, int *status)
{
	int one;
	pid_t pid;

	do
		pid = wait4(-1, &one, __WALL | WNOHANG, NULL);
	while (pid > 0 && pid != program);
	if (pid == 0)
		return false;
	*status = pid == program ? one : -1;
	return true;
}

/* Until some child has ended, or the time is over. True: the program has. */
static bool wait_for_change(int children, int program, int ms)
{
	struct pollfd wait[] = {{.fd = children, .events = POLLIN},
				{.fd = program, .events = POLLIN}};
	struct signalfd_siginfo taken;

	if (poll(wait, 2, ms) > 0 && wait[0].revents)
		(void)read(children, &taken, sizeof(taken));
	return wait[1].revents != 0;
}

/* It can't be waited for as long as somebody traces it. */
static void tell_ending(const struct plan *plan, const struct message *m)
{
	struct message told = *m;

	told.word = WORD_ENDING;
	(void)send(plan->control, &told, sizeof(told), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whom another process traces, his parent learns of when that one has waited for him, or has ended
 * himself (ptrace(2)): he gets TRACER_MS for it. */
static void watch(const struct plan *plan, const struct payload *payload, struct message *out)
{
	const uint64_t child = SYS_SIGNAL(SIGCHLD); /* is blocked */
	int children = (int)syscall(SYS_signalfd4, -1, &child, sizeof(child), SFD_CLOEXEC);
	int look = limits_disk(plan) || children < 0 ? DISK_LOOK_MS : -1;
	bool told = false, killed = false, stays = true;

	while (!reap(payload->pid, &out->status)) {
		if (out->ended && !told)
			tell_ending(plan, out);
		told = out->ended;
		if (told && !killed && clock_boot_ms() - out->ended >= TRACER_MS) {
			(void)kill(-1, SIGKILL);
			killed = true;
		}
		if (wait_for_change(children, told ? -1 : payload->pidfd,
				    stays             ? STAY_MS
				    : told && !killed ? TRACER_MS
						      : look)) {
			out->ended = clock_boot_ms();
		} else if (stays) {
			processors_use(&plan->processors);
			stays = false;
		}
		if (limits_disk(plan))
			measure_disk(plan, out);
	}
}

void reaper_wait(const struct plan *plan, const struct payload *payload, struct message *out)
{
	hold_only(plan->control, payload->pidfd);
	if (!reap(payload->pid, &out->status)) /* the shortest are over by now */
		watch(plan, payload, out);
	if (!out->ended)
		out->ended = clock_boot_ms();
	measure_disk(plan, out);
}
