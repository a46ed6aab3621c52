#include "runner/lease.h"

void lease_renew(struct lease *l, int64_t from_ms, int64_t length_ms)
{
	if (l->length_ms && from_ms < l->from_ms)
		return;
	l->from_ms = from_ms;
	l->length_ms = length_ms;
}

static int64_t freeze_at(const struct lease *l)
{
	return l->from_ms + l->length_ms / 6 * 5;
}

enum lease_due lease_due(const struct lease *l, int64_t now_ms)
{
	if (!l->length_ms || now_ms < freeze_at(l))
		return LEASE_GO_ON;
	return now_ms < l->from_ms + l->length_ms ? LEASE_FREEZE : LEASE_KILL;
}

int64_t lease_wait(const struct lease *l, int64_t now_ms)
{
	int64_t at;

	if (!l->length_ms || now_ms >= l->from_ms + l->length_ms)
		return -1;
	at = now_ms < freeze_at(l) ? freeze_at(l) : l->from_ms + l->length_ms;
	return at > now_ms ? at - now_ms : 1;
}
