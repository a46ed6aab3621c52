#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_group.h"

#include "base/owned.h"
#include "sandbox/cpuset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sysmacros.h>

#define PERIOD_US 100000

/* The hierarchy's own default for cpu.weight's 100. */
#define SHARES 1024

static int put_bytes(int dir, const char *file, uint64_t bytes)
{
	uint64_t got = 0;
	int rc = cgroup_put_limit(dir, file, bytes, "-1", &got);

	return rc < 0 || !bytes ? rc : group_same_bytes(bytes, got);
}

/* Memory and swap together may never be less than memory: a limit that falls is written in one
 * order, one that rises in the other. What TCP holds is counted apart, and not where it isn't
 * limited; what UDP holds isn't counted. */
static int v1_set_memory(int dir, uint64_t bytes)
{
	static const char memory[] = "memory.limit_in_bytes",
			  both[] = "memory.memsw.limit_in_bytes",
			  tcp[] = "memory.kmem.tcp.limit_in_bytes";
	int rc = put_bytes(dir, memory, bytes);

	if (rc < 0) {
		(void)put_bytes(dir, both, bytes); /* if that was it, the next one tells */
		rc = put_bytes(dir, memory, bytes);
	}
	if (rc < 0)
		return rc;
	rc = put_bytes(dir, both, bytes);
	if (rc == -ENOENT)
		rc = group_host_has_swap() ? -EOPNOTSUPP : 0;
	if (rc == 0)
		rc = put_bytes(dir, tcp, bytes);
	return rc == -ENOENT ? 0 : rc; /* a kernel without it */
}

static int v1_set_cpu(int dir, uint64_t milli)
{
	uint64_t quota = milli * (PERIOD_US / 1000), got = 0;
	int rc = cgroup_write_number(dir, "cpu.cfs_period_us", PERIOD_US);

	if (rc < 0 || !milli)
		return rc < 0 ? rc : cgroup_write_text(dir, "cpu.cfs_quota_us", "-1");
	rc = cgroup_put_limit(dir, "cpu.cfs_quota_us", quota, "-1", &got);
	return rc < 0 ? rc : (got == quota ? 0 : -ERANGE);
}

static int v1_set_weight(int dir, uint64_t weight)
{
	uint64_t shares = weight ? weight * SHARES / 100 : SHARES, got = 0;
	int rc;

	if (shares < 2) /* the kernel's least */
		shares = 2;
	rc = cgroup_put_limit(dir, "cpu.shares", shares, "", &got);
	return rc < 0 ? rc : (got == shares ? 0 : -ERANGE);
}

static int set_throttle(int dir, const char *file, dev_t disk, uint64_t value)
{
	char text[8192];
	int rc;

	(void)snprintf(text, sizeof(text), "%u:%u %" PRIu64, major(disk), minor(disk), value);
	rc = cgroup_put_text(dir, file, text, text, sizeof(text));
	return rc < 0 ? rc : (cgroup_text_of_disk(text, disk) == value ? 0 : -ERANGE);
}

/* What goes through the page cache is written by nobody in particular here: no limit of writing
 * would hold. */
static int v1_set_io(int dir, dev_t disk, const struct io_rates *rates)
{
	int rc = rates->write || rates->write_ops ? -EOPNOTSUPP : 0;

	if (rc == 0)
		rc = set_throttle(dir, "blkio.throttle.read_bps_device", disk, rates->read);
	if (rc == 0)
		rc = set_throttle(dir, "blkio.throttle.read_iops_device", disk, rates->read_ops);
	return rc;
}

static void v1_drain(int dir)
{
	group_drain(dir, "blkio.throttle.read_bps_device", &group_v1);
	group_drain(dir, "blkio.throttle.read_iops_device", &group_v1);
}

static int v1_set_io_weight(int dir, enum disk_weigher how, uint64_t weight)
{
	return how == DISK_WEIGHED_BY_BFQ ? group_set_weight(dir, "blkio.bfq.weight", weight)
					  : -EOPNOTSUPP;
}

static int v1_set_cpuset(int dir, const char *list)
{
	char all[4096], got[4096];
	int rc = *list ? 0 : cgroup_read_text(dir, "../cpuset.cpus", all, sizeof(all));

	if (rc >= 0)
		rc = cgroup_write_text(dir, "cpuset.cpus", *list ? list : all);
	if (rc == 0)
		rc = cgroup_read_text(dir, "cpuset.effective_cpus", got, sizeof(got));
	return rc < 0 ? rc : (cpuset_same(*list ? list : all, got) ? 0 : -ERANGE);
}

static int v1_freeze(int dir, bool frozen)
{
	uint64_t got = 0;
	int rc = cgroup_write_text(dir, "freezer.state", frozen ? "FROZEN" : "THAWED");

	if (rc == 0)
		rc = cgroup_read_number(dir, "freezer.self_freezing", &got);
	return rc < 0 ? rc : (got == frozen ? 0 : -ERANGE);
}

/* Who forks while the list is read is met in the next round; the caller asks until it is empty. */
static void v1_kill(int dir)
{
	owned_fd fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *list = fd < 0 ? NULL : fdopen(dup(fd), "r");
	int pid;

	while (list && fscanf(list, "%d", &pid) == 1)
		if (pid > 0)
			(void)kill(pid, SIGKILL); /* may be gone already */
	if (list)
		(void)fclose(list);
}

/* Opened each time: for who has it open the kernel keeps the list as it was. */
static int v1_populated(const struct group *g)
{
	char text[32];
	int rc = group_text(g, "cgroup.procs", text, sizeof(text));

	if (rc < 0)
		return group_is_gone(rc) ? 0 : rc;
	return rc > 0;
}

static int v1_oom_fd(int dir)
{
	owned_fd event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	owned_fd watched = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char text[64];
	int rc;

	if (event < 0 || watched < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d %d", event, watched);
	rc = cgroup_write_text(dir, "cgroup.event_control", text);
	return rc < 0 ? rc : give_fd(&event);
}

static void v1_oom_heard(int fd)
{
	uint64_t times;

	(void)read(fd, &times, sizeof(times)); /* none: somebody was faster */
}

/* The most that was in use, of memory and swap together where they are counted; that isn't opened
 * ahead for the rare case that there is swap. */
static int memory_peak(const struct group *g, uint64_t *out)
{
	uint64_t both = 0;
	int rc = group_number(g, "memory.max_usage_in_bytes", out);

	if (rc == 0 && group_number(g, "memory.memsw.max_usage_in_bytes", &both) == 0 &&
	    both > *out)
		*out = both;
	return rc;
}

/* Who is refused has nearly all: the kernel asks for some pages at once. (It counts how often it
 * refused, too, but not in all versions.) */
static int count_memory(const struct group *g, uint64_t memory, struct cgroup_counts *out)
{
	const uint64_t at_once = 1 << 20;
	uint64_t peak = 0;
	int rc = group_key(g, "memory.oom_control", "oom_kill", &out->oom_kills);

	if (rc < 0 || !out->oom_kills || !memory)
		return rc;
	rc = memory_peak(g, &peak);
	out->memory_full = peak + at_once > memory;
	out->memory_guessed = true;
	return rc;
}

static int v1_counts(const struct group *g, uint64_t memory, struct cgroup_counts *out)
{
	int rc = g->controllers & CONTROLLER_MEMORY ? count_memory(g, memory, out) : 0;

	if (rc == 0 && (g->controllers & CONTROLLER_PIDS))
		rc = group_key(g, "pids.events", "max", &out->tasks_refused);
	return rc;
}

/* Only what was read: see v1_set_io(). The disks without a limit aren't in the file. */
static void read_io(const struct group *g, struct sandbox_usage *out)
{
	char text[8192];
	uint64_t read;

	if (group_text(g, "blkio.throttle.io_service_bytes", text, sizeof(text)) < 0 ||
	    !cgroup_text_service(text, &read))
		return;
	out->io_read_bytes = read;
	out->measured |= SANDBOX_MEASURED_IO_READ;
}

static void v1_usage(const struct group *g, struct sandbox_usage *out)
{
	uint64_t value, system;

	if ((g->controllers & CONTROLLER_MEMORY) &&
	    group_number(g, "memory.max_usage_in_bytes", &value) == 0) {
		out->memory_peak = value;
		out->measured |= SANDBOX_MEASURED_MEMORY;
	}
	if ((g->controllers & CONTROLLER_PIDS) && group_number(g, "pids.peak", &value) == 0) {
		out->tasks_peak = value;
		out->measured |= SANDBOX_MEASURED_TASKS;
	}
	if ((g->controllers & CONTROLLER_CPUACCT) &&
	    group_number(g, "cpuacct.usage_user", &value) == 0 &&
	    group_number(g, "cpuacct.usage_sys", &system) == 0) {
		out->cpu_user_ms = value / 1000000;
		out->cpu_system_ms = system / 1000000;
		out->measured |= SANDBOX_MEASURED_CPU;
	}
	if (g->controllers & CONTROLLER_IO)
		read_io(g, out);
}

static int v1_cpu_us(const struct group *g, uint64_t *out)
{
	uint64_t ns = 0;
	int rc = g->controllers & CONTROLLER_CPUACCT ? group_number(g, "cpuacct.usage", &ns)
						     : -ENOENT;

	if (rc == 0)
		*out = ns / 1000;
	return rc;
}

static const struct group_file last_read[] = {
	{CONTROLLER_MEMORY, "memory.max_usage_in_bytes", TELLS_COUNTS},
	{CONTROLLER_MEMORY, "memory.oom_control", TELLS_COUNTS},
	{CONTROLLER_PIDS, "pids.peak", TELLS_COUNTS},
	{CONTROLLER_PIDS, "pids.events", TELLS_COUNTS},
	{CONTROLLER_CPUACCT, "cpuacct.usage", TELLS_CPU_TIME},
	{CONTROLLER_CPUACCT, "cpuacct.usage_user"},
	{CONTROLLER_CPUACCT, "cpuacct.usage_sys"},
	{0, NULL}};

const struct group_ops group_v1 = {
	.set_memory = v1_set_memory,
	.set_tasks = group_set_tasks,
	.set_cpu = v1_set_cpu,
	.set_weight = v1_set_weight,
	.set_io = v1_set_io,
	.drain = v1_drain,
	.set_io_weight = v1_set_io_weight,
	.set_cpuset = v1_set_cpuset,
	.freeze = v1_freeze,
	.kill = v1_kill,
	.populated = v1_populated,
	.oom_fd = v1_oom_fd,
	.oom_events = EPOLLIN,
	.oom_heard = v1_oom_heard,
	.counts = v1_counts,
	.usage = v1_usage,
	.cpu_us = v1_cpu_us,
	.last_read = last_read,
};
