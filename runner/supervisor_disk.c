#include "runner/supervisor_inside.h"

#include "base/clock.h"
#include "base/units.h"
#include "runner/worktree.h"

#include <stdio.h>
#include <sys/statvfs.h>

#define LOOK_MS 1000
#define REST_MS 10000 /* between two looks through a worktree, which take their time */

/* Free bytes of the worktrees' file system; without an answer as many as there could be. */
static uint64_t unused(const struct supervisor *s)
{
	struct statvfs st;

	if (fstatvfs(s->spec->work, &st) < 0)
		return UINT64_MAX;
	return (uint64_t)st.f_bavail * st.f_frsize;
}

/* One among many jobs fills the disk as a rule: who holds little of it is left alone. */
static void judge(struct supervisor *s, uint64_t free_bytes)
{
	uint64_t held = worktree_bytes(s->spec->work, s->spec->name) + s->report.log_length;
	char reason[300], text[2][24];

	if (held < s->spec->disk_least)
		return;
	units_format_size(held, text[0], sizeof(text[0]));
	units_format_size(free_bytes, text[1], sizeof(text[1]));
	(void)snprintf(reason, sizeof(reason),
		       "it filled the runner's disk: it held %s, and %s were left for all: let it "
		       "write less, or give the runner a larger disk",
		       text[0], text[1]);
	talk_end(s, ENDING_DISK, reason);
}

void disk_look(struct supervisor *s, bool at_once)
{
	int64_t now = clock_boot_ms();
	uint64_t free_bytes;

	if (!s->spec->disk_least || s->ending.kind != ENDING_NONE)
		return;
	if (!at_once && now < s->disk_next)
		return;
	free_bytes = unused(s);
	s->disk_next = now + (free_bytes < s->spec->disk_least ? REST_MS : LOOK_MS);
	if (free_bytes < s->spec->disk_least)
		judge(s, free_bytes);
}

int disk_timeout(const struct supervisor *s, int timeout_ms)
{
	if (!s->spec->disk_least || s->ending.kind != ENDING_NONE)
		return timeout_ms;
	return timeout_ms < 0 || timeout_ms > LOOK_MS ? LOOK_MS : timeout_ms;
}
