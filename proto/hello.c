#include "proto/hello.h"

int hello_check(const Cupel__Hello *hello, uint32_t *protocol, struct error *err)
{
	if (hello->protocol_min > PROTOCOL_MAX || hello->protocol_max < PROTOCOL_MIN ||
	    hello->protocol_min > hello->protocol_max)
		return error_say(
			err, EPROTONOSUPPORT,
			"no common protocol: you speak %u to %u, this dispatcher %d to %d; "
			"update the older side",
			hello->protocol_min, hello->protocol_max, PROTOCOL_MIN, PROTOCOL_MAX);
	if (hello->role == CUPEL__ROLE__ROLE_NONE)
		return error_say(err, EPROTO, "the hello names no role");
	if ((hello->role == CUPEL__ROLE__ROLE_RUNNER) != (hello->runner != NULL))
		return error_say(err, EPROTO,
				 hello->runner ? "only a runner's hello may tell of a runner"
					       : "a runner's hello must tell its incarnation");
	*protocol = hello->protocol_max < PROTOCOL_MAX ? hello->protocol_max : PROTOCOL_MAX;
	return 0;
}

bool hello_role_includes(Cupel__Role proven, Cupel__Role claimed)
{
	switch (claimed) {
	case CUPEL__ROLE__ROLE_NONE:
		return false;
	case CUPEL__ROLE__ROLE_READER:
		return proven == CUPEL__ROLE__ROLE_READER ||
		       proven == CUPEL__ROLE__ROLE_SUBMITTER || proven == CUPEL__ROLE__ROLE_ADMIN;
	case CUPEL__ROLE__ROLE_SUBMITTER:
		return proven == CUPEL__ROLE__ROLE_SUBMITTER || proven == CUPEL__ROLE__ROLE_ADMIN;
	default:
		return proven == claimed;
	}
}
