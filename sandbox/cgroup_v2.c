#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_group.h"
#include "sandbox/cpuset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PERIOD_US 100000

/* Without swap the file may be missing; then there is nothing to forbid. */
static int set_swap(int dir, bool forbidden)
{
	char text[64];
	uint64_t got = 0;
	int rc = cgroup_put_text(dir, "memory.swap.max", forbidden ? "0" : "max", text,
				 sizeof(text));

	if (rc == -ENOENT)
		return forbidden && group_host_has_swap() ? -EOPNOTSUPP : 0;
	if (rc >= 0)
		rc = cgroup_text_number(text, &got);
	return rc < 0 ? rc : (got == (forbidden ? 0 : UINT64_MAX) ? 0 : -ERANGE);
}

static int v2_set_memory(int dir, uint64_t bytes)
{
	uint64_t got = 0;
	int rc = set_swap(dir, bytes > 0);

	if (rc == 0)
		rc = cgroup_write_text(dir, "memory.oom.group", bytes ? "1" : "0");
	if (rc == 0)
		rc = cgroup_put_limit(dir, "memory.max", bytes, "max", &got);
	return rc < 0 ? rc : group_same_bytes(bytes ? bytes : UINT64_MAX, got);
}

static int v2_set_cpu(int dir, uint64_t milli)
{
	char text[64], got[64];
	int rc;

	if (milli)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " %d\n", milli * (PERIOD_US / 1000),
			       PERIOD_US);
	else
		(void)snprintf(text, sizeof(text), "max %d\n", PERIOD_US);
	rc = cgroup_put_text(dir, "cpu.max", text, got, sizeof(got));
	return rc < 0 ? rc : (strcmp(text, got) == 0 ? 0 : -ERANGE);
}

static int v2_set_weight(int dir, uint64_t weight)
{
	uint64_t got = 0;
	int rc = cgroup_put_limit(dir, "cpu.weight", weight, "100", &got);

	return rc < 0 ? rc : (got == (weight ? weight : 100) ? 0 : -ERANGE);
}

static int v2_set_io(int dir, dev_t disk, const struct io_rates *rates)
{
	char text[8192];
	int rc;

	cgroup_text_rates(disk, rates, text, sizeof(text));
	rc = cgroup_put_text(dir, "io.max", text, text, sizeof(text));
	return rc < 0 ? rc : (cgroup_text_has_rates(text, disk, rates) ? 0 : -ERANGE);
}

static void v2_drain(int dir)
{
	group_drain(dir, "io.max", &group_v2);
}

static int v2_set_io_weight(int dir, enum disk_weigher how, uint64_t weight)
{
	return how == DISK_NOT_WEIGHED
		       ? -EOPNOTSUPP
		       : group_set_weight(
				 dir, how == DISK_WEIGHED_BY_BFQ ? "io.bfq.weight" : "io.weight",
				 weight);
}

/* The kernel takes no empty list from a group with somebody in it. */
static int v2_set_cpuset(int dir, const char *list)
{
	char all[4096], got[4096];
	int rc = *list ? 0 : cgroup_read_text(dir, "../cpuset.cpus.effective", all, sizeof(all));

	if (rc >= 0)
		rc = cgroup_write_text(dir, "cpuset.cpus", *list ? list : all);
	if (rc == 0)
		rc = cgroup_read_text(dir, "cpuset.cpus.effective", got, sizeof(got));
	return rc < 0 ? rc : (cpuset_same(*list ? list : all, got) ? 0 : -ERANGE);
}

static int v2_freeze(int dir, bool frozen)
{
	uint64_t got = 0;
	int rc = cgroup_put_limit(dir, "cgroup.freeze", frozen, "0", &got);

	return rc < 0 ? rc : (got == frozen ? 0 : -ERANGE);
}

static void v2_kill(int dir)
{
	(void)cgroup_write_text(dir, "cgroup.kill", "1"); /* who survives shows in populated */
}

static int v2_populated(const struct group *g)
{
	char text[256];
	uint64_t populated = 0;
	int rc = group_text(g, "cgroup.events", text, sizeof(text));

	if (rc < 0)
		return group_is_gone(rc) ? 0 : rc;
	return cgroup_text_key(text, "populated", &populated) < 0 ? -EIO : populated != 0;
}

/* Such a file can always be read; that it has changed is told until it was read from its start. */
static void v2_oom_heard(int fd)
{
	char text[4096];

	(void)pread(fd, text, sizeof(text), 0); /* what it says is read by v2_counts() */
}

static int v2_oom_fd(int dir)
{
	int fd = openat(dir, "memory.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	v2_oom_heard(fd);
	return fd;
}

/* The kernel's count of what its own limit refused says it without that. */
static int v2_counts(const struct group *g, uint64_t memory, struct cgroup_counts *out)
{
	static const char *const keys[] = {"oom_kill", "oom"};
	uint64_t values[2] = {0};
	int rc = 0;

	(void)memory;
	if (g->controllers & CONTROLLER_MEMORY)
		rc = group_keys(g, "memory.events", keys, values, 2);
	out->oom_kills += values[0];
	out->memory_full |= values[1] > 0;
	if (rc == 0 && (g->controllers & CONTROLLER_PIDS))
		rc = group_key(g, "pids.events", "max", &out->tasks_refused);
	return rc;
}

static void read_io(const struct group *g, struct sandbox_usage *out)
{
	char text[8192];

	if (!(g->controllers & CONTROLLER_IO) || group_text(g, "io.stat", text, sizeof(text)) < 0)
		return;
	cgroup_text_io(text, disk_passes_on, &out->io_read_bytes, &out->io_write_bytes);
	out->measured |= SANDBOX_MEASURED_IO_READ | SANDBOX_MEASURED_IO_WRITE;
}

/* Who was over at once waited for nothing that matters: opening and reading these three files would
 * be a good part of what his launch takes. */
#define PRESSURE_MIN_MS 20

/* The kernel tells of all three or of none. */
static void read_pressure(const struct group *g, struct sandbox_usage *out)
{
	static const char *const files[] = {"cpu.pressure", "memory.pressure", "io.pressure"};
	uint64_t *const to[] = {&out->pressure_cpu_ms, &out->pressure_memory_ms,
				&out->pressure_io_ms};
	uint64_t us[3];
	char text[512];

	if (out->wall_ms < PRESSURE_MIN_MS)
		return;
	for (size_t i = 0; i < 3; i++)
		if (group_text(g, files[i], text, sizeof(text)) < 0 ||
		    !cgroup_text_pressure(text, &us[i]))
			return;
	for (size_t i = 0; i < 3; i++)
		*to[i] = us[i] / 1000;
	out->measured |= SANDBOX_MEASURED_PRESSURE;
}

static void read_cpu(const struct group *g, struct sandbox_usage *out)
{
	static const char *const keys[] = {"user_usec", "system_usec"};
	uint64_t us[2];

	if (group_keys(g, "cpu.stat", keys, us, 2) < 0)
		return;
	out->cpu_user_ms = us[0] / 1000;
	out->cpu_system_ms = us[1] / 1000;
	out->measured |= SANDBOX_MEASURED_CPU;
}

static void v2_usage(const struct group *g, struct sandbox_usage *out)
{
	uint64_t value;

	read_cpu(g, out);
	if ((g->controllers & CONTROLLER_MEMORY) && group_number(g, "memory.peak", &value) == 0) {
		out->memory_peak = value;
		out->measured |= SANDBOX_MEASURED_MEMORY;
	}
	if ((g->controllers & CONTROLLER_PIDS) && group_number(g, "pids.peak", &value) == 0) {
		out->tasks_peak = value;
		out->measured |= SANDBOX_MEASURED_TASKS;
	}
	read_io(g, out);
	read_pressure(g, out);
}

static int v2_cpu_us(const struct group *g, uint64_t *out)
{
	return group_key(g, "cpu.stat", "usage_usec", out);
}

static const struct group_file last_read[] = {{0, "cgroup.events", TELLS_END},
					      {0, "cpu.stat", TELLS_CPU_TIME},
					      {CONTROLLER_MEMORY, "memory.peak", TELLS_COUNTS},
					      {CONTROLLER_MEMORY, "memory.events", TELLS_COUNTS},
					      {CONTROLLER_PIDS, "pids.peak", TELLS_COUNTS},
					      {CONTROLLER_PIDS, "pids.events", TELLS_COUNTS},
					      {CONTROLLER_IO, "io.stat"},
					      {0, NULL}};

const struct group_ops group_v2 = {
	.set_memory = v2_set_memory,
	.set_tasks = group_set_tasks,
	.set_cpu = v2_set_cpu,
	.set_weight = v2_set_weight,
	.set_io = v2_set_io,
	.drain = v2_drain,
	.set_io_weight = v2_set_io_weight,
	.set_cpuset = v2_set_cpuset,
	.freeze = v2_freeze,
	.kill = v2_kill,
	.populated = v2_populated,
	.oom_fd = v2_oom_fd,
	.oom_events = EPOLLPRI,
	.oom_heard = v2_oom_heard,
	.counts = v2_counts,
	.usage = v2_usage,
	.cpu_us = v2_cpu_us,
	.last_read = last_read,
};
