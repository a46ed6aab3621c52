#include "sandbox/guise.h"

#include "sandbox/sys.h"

#include <linux/securebits.h>
#include <stdlib.h>
#include <sys/prctl.h>

/* Not the library's call: that changes all threads. */
static int set_effective(uid_t uid)
{
	return (int)syscall(SYS_setresuid, -1, uid, -1);
}

static bool settled;

void guise_settle(void)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	settled = geteuid() == 0 && bits >= 0 &&
		  prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
}

static bool prepare(struct guise *g)
{
	*g = (struct guise){.securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0),
			    .dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
			    .parent = getppid()};
	return geteuid() == 0 && g->securebits >= 0 &&
	       prctl(PR_GET_PDEATHSIG, &g->death_signal, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECUREBITS, g->securebits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
}

void guise_wear(uid_t uid, struct guise *out)
{
	*out = (struct guise){.worn = false};
	if (uid == GUISE_NONE || (!settled && !prepare(out)))
		return;
	out->worn = set_effective(uid) == 0;
	if (!out->worn && !settled)
		(void)prctl(PR_SET_SECUREBITS, out->securebits, 0, 0, 0); /* as it just was */
}

static void restore(const struct guise *g)
{
	if (prctl(PR_SET_SECUREBITS, g->securebits, 0, 0, 0) < 0)
		abort();      /* they were ours a moment ago */
	if (g->dumpable != 2) /* the kernel's own, which can't be set */
		(void)prctl(PR_SET_DUMPABLE, g->dumpable, 0, 0, 0);
	if (g->death_signal) {
		(void)prctl(PR_SET_PDEATHSIG, g->death_signal, 0, 0, 0);
		if (getppid() != g->parent) /* he died meanwhile, and nobody was told */
			(void)raise(g->death_signal);
	}
}

void guise_drop(const struct guise *g)
{
	int code = errno;

	if (!g->worn)
		return;
	if (set_effective(0) < 0)
		abort(); /* it was ours a moment ago */
	if (!settled)
		restore(g);
	errno = code;
}
