/* lease.h - the right to go on with an attempt, and what is due when nobody renews it. Pure.
 *
 * A runner that can't reach its dispatcher must stop its jobs by itself, before the dispatcher
 * gives them to another: it freezes at 5/6 of the lease and kills at its end. */
#pragma once

#include <stdint.h>

/* Zero: for ever. Times are clock_boot_ms(), which goes on while the box is suspended. */
struct lease {
	int64_t from_ms, length_ms;
};

enum lease_due { LEASE_GO_ON, LEASE_FREEZE, LEASE_KILL };

/* An older renewal than the one that is there changes nothing. */
void lease_renew(struct lease *l, int64_t from_ms, int64_t length_ms);

enum lease_due lease_due(const struct lease *l, int64_t now_ms);

/* Until something else is due: at least 1; -1 when nothing will be. */
int64_t lease_wait(const struct lease *l, int64_t now_ms);
