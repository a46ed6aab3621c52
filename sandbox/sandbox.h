/* sandbox.h - one untrusted program behind walls, and the truth about how it ended.
 *
 * A spec in which every zero is the strictest choice goes in; an outcome that says how it ended,
 * why, and what it used comes out. A limit or wall that was asked for and can't be had is a refusal
 * before the program starts (an outcome with SANDBOX_ERRORED, or an error from sandbox_start).
 * When the program ends, everything it started dies with it before the outcome is given; when the
 * caller dies, all of it dies too.
 *
 *   struct sandbox_spec spec = {.argv = argv, .worktree = "/srv/checkout"};
 *   struct sandbox_outcome outcome;
 *   if (sandbox_run(&spec, &outcome, &err) < 0) ...
 *
 * One thread may use a sandbox; different sandboxes are independent. A job that was started without
 * a launcher ends, as with its caller, with the thread that started it. */
#pragma once

#include "base/error_value.h"
#include "base/owned.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where the worktree stands inside, and the program's working directory. */
#define SANDBOX_WORKTREE "/build"
/* Who the program is inside, in /etc/passwd too; it holds no capability. */
#define SANDBOX_USER "job"
#define SANDBOX_UID  1000

enum sandbox_profile {
	SANDBOX_STRICT, /* no ptrace, no rare socket families */
	SANDBOX_CI,     /* ptrace and process_vm_* within the job: gdb, strace, LeakSanitizer */
	SANDBOX_NESTED, /* user namespaces and mounts too: suites that sandbox themselves */
};

enum sandbox_network {
	SANDBOX_NETWORK_NONE, /* a namespace of its own with lo up */
	SANDBOX_NETWORK_HOST, /* the host's: reaches whatever the host reaches */
};

/* Room for a list of processors with its NUL. */
#define SANDBOX_CPUSET_SIZE 256

/* Zero means: no such limit. */
struct sandbox_limits {
	uint64_t memory;    /* bytes, swap included (none is granted); over it the whole job dies */
	uint64_t tasks;     /* processes and threads, the job's first process included, so 2 at
			       least; over it fork fails with EAGAIN */
	uint64_t cpu_milli; /* bandwidth: 1500 is one and a half processors */
	uint64_t cpu_weight;  /* 1..10000, 100 is everybody's share */
	uint64_t cpu_time_ms; /* user and system time of all its processes together */
	uint64_t wall_ms;
	uint64_t idle_ms; /* without a byte of output */
	uint64_t output;  /* bytes on stdout and stderr together */
	/* Bytes and files that may be in use in the private directories (they are memory), and as
	 * many in the worktree and in each writable bind: that is held by a file system that is no
	 * larger, else refused. */
	uint64_t disk;
	uint64_t inodes;
	uint64_t files; /* open descriptors of one process (RLIMIT_NOFILE) */
	/* A second, and on each disk that the worktree or a writable bind is on. What the job reads
	 * from other disks isn't held, and neither is what it writes over pages that others have
	 * brought into the cache; the private directories are memory. */
	uint64_t io_read, io_write;         /* bytes */
	uint64_t io_read_ops, io_write_ops; /* requests */
	uint64_t io_weight;                 /* 1..10000, 100 is everybody's share of those disks */
	char cpuset[SANDBOX_CPUSET_SIZE];   /* processors that it may run on, as "0-1,3" */
};

struct sandbox_bind {
	const char *from; /* absolute, on the host */
	const char *to;   /* absolute, inside; NULL: the same */
	bool writable;
};

struct sandbox_launcher;

struct sandbox_spec {
	/* NULL-terminated; argv[0] is looked up in the job's PATH when it has no slash. */
	const char *const *argv;
	/* NULL-terminated "NAME=value": added to, and winning over, the job's few standard
	 * variables (PATH HOME USER LOGNAME SHELL TMPDIR LANG). Nothing is inherited. */
	const char *const *env;

	/* The directory that is read-write inside, by path or by descriptor (borrowed; wins when
	 * worktree_open is set). The path's last component must not be a link. Neither: a private,
	 * empty tmpfs. */
	const char *worktree;
	int worktree_fd;
	bool worktree_open;
	const char *workdir; /* working directory, relative to the worktree; NULL: its root */

	const char *root; /* a directory to be the read-only root instead of the host's /usr */
	const struct sandbox_bind *binds;
	size_t bind_count;
	const char *hostname; /* NULL: "cupel" */

	enum sandbox_profile profile;
	enum sandbox_network network;
	/* One from sandbox_network_new() instead of making one now; borrowed, and used up by this
	 * job: close it after sandbox_start(). Counts when network_open is set and `network` is
	 * NONE. */
	int network_fd;
	bool network_open;
	struct sandbox_limits limits;

	/* Host ids that inside ids 0..id_count-1 map to, for a caller who is root. id_count 0: the
	 * library chooses (root: a range of its own, never root's ids; a user: his subuid range
	 * around his own id, or his own id alone). A worktree that belongs to id_base + SANDBOX_UID
	 * is taken as it is; one that belongs to somebody else is reached through an idmapped
	 * mount. Where kernel or file system have none, a job whose ids the library chose takes the
	 * owner's id, unless that is root's; all else is refused. */
	uid_t id_base;
	uint32_t id_count;

	/* Starts it, instead of this process; borrowed. */
	struct sandbox_launcher *launcher;

	/* Name of this job's cgroups, unique on the box; NULL: made up. Letters, digits, `-_.`. */
	const char *name;
	/* Directory, below each cgroup hierarchy's usable place, that they are made in; NULL:
	 * "cupel". */
	const char *cgroup_parent;

	/* Output as it comes, `stream` 1 or 2, called from sandbox_step(). NULL: it is counted and
	 * thrown away. When both streams should keep their order among each other, set
	 * `merge_output`: stderr is then the same pipe as stdout. */
	void (*output)(void *context, int stream, const void *bytes, size_t length);
	void *context;
	bool merge_output;
	bool cut_output; /* past limits.output the rest is thrown away, and the job goes on */
};

enum sandbox_verdict {
	SANDBOX_PASSED,    /* exit status 0 */
	SANDBOX_FAILED,    /* another exit status, or a signal of its own */
	SANDBOX_TIMED_OUT, /* wall or idle */
	SANDBOX_KILLED,    /* another limit */
	SANDBOX_CANCELLED, /* sandbox_kill() */
	SANDBOX_ERRORED,   /* the program never ran, or what it ran in failed it: `reason` names
			      step, errno and remedy */
};

/* What was measured; the rest is unknown. */
enum {
	SANDBOX_MEASURED_CPU = 1,
	SANDBOX_MEASURED_MEMORY = 2,
	SANDBOX_MEASURED_TASKS = 4,
	SANDBOX_MEASURED_DISK = 8,
	SANDBOX_MEASURED_IO_READ = 16,
	SANDBOX_MEASURED_IO_WRITE = 32,
	SANDBOX_MEASURED_PRESSURE = 64,
};

struct sandbox_usage {
	unsigned measured; /* SANDBOX_MEASURED_*; time and output always are */
	uint64_t wall_ms;
	uint64_t cpu_user_ms, cpu_system_ms;
	uint64_t memory_peak; /* bytes */
	uint64_t tasks_peak;
	uint64_t disk_peak; /* bytes, but in binds; looked at each second where limited */
	uint64_t io_read_bytes, io_write_bytes;
	uint64_t output_bytes;
	/* Time in which some of its processes stood still for want of it, as the kernel tells; of
	 * jobs of 20 ms or more. */
	uint64_t pressure_cpu_ms, pressure_memory_ms, pressure_io_ms;
};

#define SANDBOX_DENIED_MAX 32

struct sandbox_denied {
	char name[32]; /* of the system call */
	uint64_t count;
	const char *hint; /* what would allow it, static */
};

struct sandbox_outcome {
	enum sandbox_verdict verdict;
	char reason[400];  /* a sentence that a person can act on, to stand behind the verdict */
	int exit_code;     /* -1 unless it exited */
	int signal;        /* that ended it, 0 when none */
	const char *limit; /* static: "memory", "tasks", "cpu_time", "wall", "idle", "output",
			      "disk", "inodes"; NULL */
	/* True when the walls could not be set up, or broke: another box may do better. False for
	 * what the spec itself got wrong (no such command). */
	bool infrastructure;
	bool output_cut;  /* by cut_output: some was thrown away */
	int shell_status; /* what cupel-sandbox exits with: 0..255, 124, 125, 126, 127, 128+N, 137
			   */
	struct sandbox_usage usage;
	struct sandbox_denied denied[SANDBOX_DENIED_MAX];
	size_t denied_count;
};

struct sandbox;

/* Makes now what all launches of this process and of its forks share (the system call filter, the
 * template of the root): for a parent that is to fork many callers. Never needed. */
void sandbox_prepare(void);

/* A network namespace with lo up, made ahead of the launch that it is to serve, as a descriptor: it
 * is the largest single step of one. The kernel buries them slower than they are made: a few ready
 * ones are enough. Needs root, -EPERM otherwise. */
int sandbox_network_new(struct error *err);

/* A small process that stays, and makes the first process of each job: the cost of a launch then
 * depends neither on this process's memory nor on the host's mounts, and what can be made ahead is.
 * Its jobs die with it, and it dies with this process; a job of a dead one ends as SANDBOX_ERRORED,
 * and starting another by it is -ECHILD. One thread may use it, together with its sandboxes. */
struct sandbox_launcher_options {
	const char
		*program;  /* cupel-sandbox; NULL: beside this program, or where it was installed */
	unsigned networks; /* network namespaces kept ready, 1 to 64; 0: 1 */
	/* Whole sandboxes kept ready, up to 16: as the last one that was started, of jobs that ask
	 * for no root, binds, host name or group name of their own. Each holds up to seventeen of
	 * this process's descriptors; no more are kept than leave half of those it may have. */
	unsigned ready;
};

/* Returns when it is ready to work. `options` NULL: a few network namespaces, no sandboxes. It is a
 * child of this process, as any other to its SIGCHLD and wait(). */
int sandbox_launcher_new(const struct sandbox_launcher_options *options,
			 struct sandbox_launcher **out, struct error *err);

/* Its process, for whoever watches processes. */
pid_t sandbox_launcher_pid(const struct sandbox_launcher *l);

/* Ends it, and all jobs that it started: free those first. NULL is fine. */
void sandbox_launcher_free(struct sandbox_launcher *l);
OWNED(sandbox_launcher)

/* Returns when the program is about to be executed, or was refused. On failure nothing is left
 * behind: -EINVAL is the spec's own fault, any other errno the host's. What goes wrong from the
 * first process of the job on (a step of the set-up, a command that isn't there) is no failure
 * here, but a job that is soon over, with SANDBOX_ERRORED as its outcome. The one thing that may
 * stay is a first process that doesn't die when it is killed, in a frozen control group or waiting
 * for a disk: the failure tells so, after some seconds. Safe in a forked child, as long as that has
 * one thread. */
int sandbox_start(const struct sandbox_spec *spec, struct sandbox **out, struct error *err);

/* Readable when sandbox_step() has something to do; borrowed. */
int sandbox_fd(const struct sandbox *s);

/* Does what is due without waiting: output, timers, the end. 1 once it is over and proven gone,
 * else 0; -errno when the library itself failed (the job is then being killed), and, once, -EBUSY
 * when a job that was killed isn't dead after 5 seconds: `err` tells what may keep it. Keep
 * stepping. */
int sandbox_step(struct sandbox *s, struct error *err);

/* Ends everything in it; `reason` becomes the outcome's. Does nothing once it is over. */
void sandbox_kill(struct sandbox *s, const char *reason);

/* Stands still, or goes on: when this returns the kernel has been told so, and brings one process
 * after the other to a stand. The idle limit's clock stands still; the wall limit's runs on. */
int sandbox_freeze(struct sandbox *s, bool frozen, struct error *err);

/* Takes no output until it is let go on: for whose own reader is slow. The job waits when its pipes
 * are full, its limits hold, but the clock of the idle one stands still; it isn't over before its
 * output is taken. */
void sandbox_hold_output(struct sandbox *s, bool held);

/* New limits for a running job; the ones of 0 are lifted. Disk, inodes and files stay what they
 * are: another value than that and 0 is -EOPNOTSUPP. So are limits of io and the processors for a
 * job that was started without such a limit, and on v1 those of cpus and weight: its groups are
 * made for what was asked. On failure the limits stay what they were. Less memory than it uses ends
 * it; on v1 that is -EBUSY. */
int sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *limits, struct error *err);

/* What it uses now. */
void sandbox_usage(struct sandbox *s, struct sandbox_usage *out);

/* After sandbox_step() said 1. */
void sandbox_outcome(const struct sandbox *s, struct sandbox_outcome *out);

/* Kills what still runs, waits until it is gone, frees. NULL is fine. */
void sandbox_free(struct sandbox *s);
OWNED(sandbox)

/* Start, step until the end, outcome. */
int sandbox_run(const struct sandbox_spec *spec, struct sandbox_outcome *out, struct error *err);

/* Kills and removes what a caller who died has left of the job `name` (as in the spec). Fine when
 * there is nothing. */
int sandbox_remove(const char *cgroup_parent, const char *name, struct error *err);

/* What this host offers. Each line is `ok` or `missing`, what for, and the remedy. Calls `line` for
 * each; returns how many are missing that a default job needs. */
int sandbox_check(void (*line)(void *context, bool ok, const char *what, const char *remedy),
		  void *context);

/* Which limits can be held here for this caller: a bit per member, SANDBOX_CAN_*. */
enum {
	SANDBOX_CAN_MEMORY = 1,
	SANDBOX_CAN_TASKS = 2,
	SANDBOX_CAN_CPU = 4,
	SANDBOX_CAN_CPU_TIME = 8,
	SANDBOX_CAN_DISK = 16,
	SANDBOX_CAN_FREEZE = 32,
	SANDBOX_CAN_IO = 64, /* reading and writing, on a disk that can; the weight is its own */
	SANDBOX_CAN_CPUSET = 128,
	SANDBOX_CAN_IO_READ = 256, /* reading alone: all that v1 can */
};
unsigned sandbox_can(void);
