/* Which limit is held by which of the job's groups, or why by none. */
#include "sandbox/cgroup_group.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* BFQ's largest weight. */
#define BFQ_WEIGHT_MAX 1000

struct limit {
	const char *name;
	unsigned controller;
	uint64_t value;
	size_t setter; /* of group_ops */
};

static struct io_rates rates_of(const struct sandbox_limits *l)
{
	return (struct io_rates){.read = l->io_read,
				 .write = l->io_write,
				 .read_ops = l->io_read_ops,
				 .write_ops = l->io_write_ops};
}

static bool any_rate(const struct sandbox_limits *l)
{
	return l->io_read || l->io_write || l->io_read_ops || l->io_write_ops;
}

unsigned cgroup_wanted(const struct sandbox_limits *limits)
{
	unsigned want = CONTROLLER_MEMORY | CONTROLLER_PIDS; /* for the peaks */

	if (limits->cpu_milli || limits->cpu_weight)
		want |= CONTROLLER_CPU;
	if (any_rate(limits) || limits->io_weight)
		want |= CONTROLLER_IO;
	if (limits->cpuset[0])
		want |= CONTROLLER_CPUSET;
	return want;
}

/* v2 charges what is written back to whom its memory is charged. */
static bool charges_writes(unsigned controllers, bool v2)
{
	const unsigned both = CONTROLLER_IO | CONTROLLER_MEMORY;

	return v2 && (controllers & both) == both;
}

unsigned cgroup_can_of(unsigned controllers, bool v2)
{
	return (controllers & CONTROLLER_MEMORY ? SANDBOX_CAN_MEMORY : 0) |
	       (controllers & CONTROLLER_PIDS ? SANDBOX_CAN_TASKS : 0) |
	       (controllers & CONTROLLER_CPU ? SANDBOX_CAN_CPU : 0) |
	       (v2 || (controllers & CONTROLLER_CPUACCT) ? SANDBOX_CAN_CPU_TIME : 0) |
	       (v2 || (controllers & CONTROLLER_FREEZER) ? SANDBOX_CAN_FREEZE : 0) |
	       (controllers & CONTROLLER_IO ? SANDBOX_CAN_IO_READ : 0) |
	       (charges_writes(controllers, v2) ? SANDBOX_CAN_IO : 0) |
	       (controllers & CONTROLLER_CPUSET ? SANDBOX_CAN_CPUSET : 0);
}

unsigned cgroup_can(void)
{
	const struct places *places = places_get();
	unsigned can = 0;

	for (size_t i = 0; i < places->count; i++)
		if (places->place[i].dir >= 0)
			can |= cgroup_can_of(places->place[i].controllers, places->place[i].v2);
	return can;
}

static unsigned controllers_of(unsigned can)
{
	return (can & SANDBOX_CAN_MEMORY ? CONTROLLER_MEMORY : 0) |
	       (can & SANDBOX_CAN_TASKS ? CONTROLLER_PIDS : 0) |
	       (can & SANDBOX_CAN_CPU ? CONTROLLER_CPU : 0) |
	       (can & SANDBOX_CAN_CPU_TIME ? CONTROLLER_CPUACCT : 0) |
	       (can & SANDBOX_CAN_FREEZE ? CONTROLLER_FREEZER : 0) |
	       (can & (SANDBOX_CAN_IO | SANDBOX_CAN_IO_READ) ? CONTROLLER_IO : 0) |
	       (can & SANDBOX_CAN_CPUSET ? CONTROLLER_CPUSET : 0);
}

/* A controller is in one hierarchy: root has it in no other one either. */
static bool is_of_v1(unsigned controller)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++)
		if (!places->place[i].v2 && (places->place[i].controllers & controller))
			return true;
	return false;
}

void cgroup_remedy(unsigned can, char *out, size_t size)
{
	if (can == SANDBOX_CAN_IO &&
	    (is_of_v1(CONTROLLER_IO) || (cgroup_can() & SANDBOX_CAN_IO_READ)))
		(void)snprintf(out, size,
			       "without control groups v2, and memory and io in them, nobody knows "
			       "who wrote what the page cache writes; boot with "
			       "systemd.unified_cgroup_hierarchy=1");
	else
		places_remedy(places_get(), controllers_of(can), geteuid() == 0, out, size);
}

static int refuse(const struct cgroup *cg, const char *name, unsigned can, struct error *err)
{
	char remedy[400];

	if (cg->runs && (cgroup_can() & can))
		return error_say(err, EOPNOTSUPP,
				 "the limit of %s can't be set any more: the job has no control "
				 "group for it; start it with such a limit",
				 name);
	if (cg->failed)
		return error_set(err, cg->failed,
				 "the limit of %s can't be held: make its control group", name);
	cgroup_remedy(can, remedy, sizeof(remedy));
	return error_say(err, EOPNOTSUPP,
			 "the limit of %s can't be held here: %s; or run without that limit", name,
			 remedy);
}

static int told(int rc, const char *name, struct error *err)
{
	if (rc == -ERANGE)
		return error_say(err, ERANGE, "the kernel didn't keep the limit of %s", name);
	return rc < 0 ? error_set(err, -rc, "set the limit of %s", name) : 0;
}

static int hold_one(struct cgroup *cg, const struct limit *limit, struct error *err)
{
	struct group *g = cgroup_holder(cg, limit->controller);
	int (*set)(int dir, uint64_t value), rc;

	if (!limit->value && (!cg->limited || !g))
		return 0;
	if (!g)
		return limit->controller == CONTROLLER_PIDS && !cg->runs
			       ? 0
			       : refuse(cg, limit->name, cgroup_can_of(limit->controller, false),
					err);
	memcpy(&set, (const char *)g->ops + limit->setter, sizeof(set));
	rc = set(g->dir, limit->value);
	if (rc == -EBUSY && limit->controller == CONTROLLER_MEMORY)
		return error_say(err, EBUSY,
				 "the limit of memory is below what the job uses now, and control "
				 "groups v1 take nothing back; set a higher one, or end the job");
	if (rc == -EOPNOTSUPP && limit->controller == CONTROLLER_MEMORY)
		return error_say(
			err, EOPNOTSUPP,
			"the limit of memory can't be held: the kernel doesn't count the "
			"swap that this host has; boot with swapaccount=1, switch swap off, "
			"or run without that limit");
	return told(rc, limit->name, err);
}

/* Limits of io were checked against these disks when the job started; later they may be others. */
static int io_group(struct cgroup *cg, unsigned wanted, struct group **out, struct error *err)
{
	*out = cg->disks.count ? cgroup_holder(cg, CONTROLLER_IO) : NULL;
	return wanted && !*out ? refuse(cg, "io", wanted, err) : 0;
}

static unsigned can_rates(const struct io_rates *rates)
{
	return rates->write || rates->write_ops ? SANDBOX_CAN_IO
	       : rates->read || rates->read_ops ? SANDBOX_CAN_IO_READ
						: 0;
}

static int check_writes(const struct cgroup *cg, const struct group *g, struct error *err)
{
	char name[64];

	if (!charges_writes(g->controllers, g->ops == &group_v2))
		return refuse(cg, "io written", SANDBOX_CAN_IO, err);
	for (size_t i = 0; i < cg->disks.count; i++) {
		if (cg->disks.disk[i].charges)
			continue;
		disk_name(cg->disks.disk[i].device, name, sizeof(name));
		return error_say(err, EOPNOTSUPP,
				 "the limit of io written can't be held: the file system on %s "
				 "doesn't tell who wrote what; put the worktree and the writable "
				 "binds on ext4, xfs or f2fs, or run without that limit",
				 name);
	}
	return 0;
}

static int hold_io(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const struct io_rates rates = rates_of(limits);
	struct group *g;
	int rc = io_group(cg, can_rates(&rates), &g, err);

	if (rc == 0 && g && (rates.write || rates.write_ops))
		rc = check_writes(cg, g, err);
	for (size_t i = 0; g && i < cg->disks.count && rc == 0; i++)
		rc = told(g->ops->set_io(g->dir, cg->disks.disk[i].device, &rates), "io", err);
	return rc;
}

static int hold_weight_on(struct group *g, dev_t disk, uint64_t weight, struct error *err)
{
	bool v2 = g->ops == &group_v2;
	enum disk_weigher how = disk_weigher(disk, v2 ? g->dir : -1);
	char name[64];

	disk_name(disk, name, sizeof(name));
	if (how == DISK_NOT_WEIGHED)
		return weight ? error_say(err, EOPNOTSUPP,
					  "the io weight can't be held: nothing weighs what jobs "
					  "want from the disk %s; write bfq to "
					  "/sys/block/%s/queue/scheduler%s, or run without that "
					  "limit",
					  name, name,
					  v2 ? ", or switch it on in /sys/fs/cgroup/io.cost.qos"
					     : "")
			      : 0;
	if (how == DISK_WEIGHED_BY_BFQ && weight > BFQ_WEIGHT_MAX)
		return error_say(err, EOPNOTSUPP,
				 "an io weight of %llu can't be held: the disk %s is shared out by "
				 "bfq, which knows 1 to %d",
				 (unsigned long long)weight, name, BFQ_WEIGHT_MAX);
	return told(g->ops->set_io_weight(g->dir, how, weight), "io weight", err);
}

static int hold_io_weight(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const uint64_t weight = limits->io_weight;
	struct group *g;
	int rc = io_group(cg, weight ? SANDBOX_CAN_IO_READ : 0, &g, err);

	for (size_t i = 0; g && i < cg->disks.count && rc == 0; i++)
		rc = hold_weight_on(g, cg->disks.disk[i].device, weight, err);
	return rc;
}

static int hold_cpuset(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const char *list = limits->cpuset;
	struct group *g = cgroup_holder(cg, CONTROLLER_CPUSET);
	int rc;

	if (!*list && (!cg->limited || !g))
		return 0;
	if (!g)
		return refuse(cg, "the cpuset", SANDBOX_CAN_CPUSET, err);
	rc = g->ops->set_cpuset(g->dir, list);
	if (rc == -ERANGE || rc == -EINVAL || rc == -EACCES || rc == -ENOSPC)
		return error_say(err, EOPNOTSUPP,
				 "the cpuset %.100s can't be had: not all of these processors are "
				 "there and given to this control group; see cpuset.cpus.effective "
				 "there, and nproc",
				 list);
	return told(rc, "the cpuset", err);
}

static int watch_memory(struct cgroup *cg, struct error *err)
{
	const struct group *g = cgroup_holder(cg, CONTROLLER_MEMORY);
	int fd = g && cg->oom < 0 ? g->ops->oom_fd(g->dir) : cg->oom;

	if (g && fd < 0)
		return error_set(err, -fd, "watch the memory limit");
	cg->oom = fd;
	cg->oom_of = g ? g->ops : NULL;
	return 0;
}

int cgroup_open(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	unsigned tells = TELLS_END | (limits->cpu_time_ms ? TELLS_CPU_TIME : 0) |
			 (limits->memory || limits->tasks ? TELLS_COUNTS : 0);
	int rc = 0;

	for (size_t i = 0; i < cg->count && rc == 0; i++)
		rc = group_open(&cg->group[i], tells);
	return rc < 0 ? error_set(err, -rc, "open what the job's control group tells") : 0;
}

static int hold_memory(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const struct limit limit = {"memory", CONTROLLER_MEMORY, limits->memory,
				    offsetof(struct group_ops, set_memory)};
	/* Before anybody can be over it. */
	int rc = limits->memory ? watch_memory(cg, err) : 0;

	return rc < 0 ? rc : hold_one(cg, &limit, err);
}

static int hold_tasks(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const struct limit limit = {"tasks", CONTROLLER_PIDS, limits->tasks,
				    offsetof(struct group_ops, set_tasks)};

	return hold_one(cg, &limit, err);
}

static int hold_cpus(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	const struct limit limit = {"cpus", CONTROLLER_CPU, limits->cpu_milli,
				    offsetof(struct group_ops, set_cpu)};

	return hold_one(cg, &limit, err);
}

static int hold_cpu_weight(struct cgroup *cg, const struct sandbox_limits *limits,
			   struct error *err)
{
	const struct limit limit = {"cpu weight", CONTROLLER_CPU, limits->cpu_weight,
				    offsetof(struct group_ops, set_weight)};

	return hold_one(cg, &limit, err);
}

/* By who watches the job: it must be measured. */
static int hold_cpu_time(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	return limits->cpu_time_ms && !(cg->holds & SANDBOX_CAN_CPU_TIME)
		       ? refuse(cg, "cpu time", SANDBOX_CAN_CPU_TIME, err)
		       : 0;
}

static int (*const all[])(struct cgroup *cg, const struct sandbox_limits *limits,
			  struct error *err) = {
	hold_memory, hold_tasks,     hold_cpus,   hold_cpu_weight,
	hold_io,     hold_io_weight, hold_cpuset, hold_cpu_time,
};

static int hold(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && rc == 0; i++)
		rc = all[i](cg, limits, err);
	if (rc == 0)
		cg->held = *limits;
	return rc;
}

/* Each that the kernel lets, whatever becomes of the others. */
static void hold_again(struct cgroup *cg)
{
	const struct sandbox_limits limits = cg->held;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		(void)all[i](cg, &limits, NULL); /* the first failure is told */
}

int cgroup_prepare(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	int rc = hold(cg, limits, err);

	cg->limited = true; /* some of them, where the rest was refused */
	return rc;
}

int cgroup_set_limits(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err)
{
	int rc = cgroup_open(cg, limits, err);

	if (rc < 0)
		return rc;
	cg->runs = true;
	cg->drained = false;
	rc = hold(cg, limits, err);
	if (rc < 0)
		hold_again(cg);
	return rc;
}

void cgroup_drain(struct cgroup *cg)
{
	const struct group *g = cg->disks.count ? cgroup_holder(cg, CONTROLLER_IO) : NULL;

	if (g && !cg->drained)
		g->ops->drain(g->dir);
	cg->drained = true;
}
