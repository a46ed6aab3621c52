/* hello.h - whether two sides can speak with each other at all. Pure. */
#pragma once

#include "base/error.h"
#include "proto/message.h"

/* Chooses the newest protocol that both speak. Refusals, in words for the peer, with the code for
 * the ERROR frame: -EPROTONOSUPPORT no common version; -EPROTO no role, or a role and what it must
 * (or must not) tell don't fit. Whether the peer may have that role is the dispatcher's to say. */
int hello_check(const Cupel__Hello *hello, uint32_t *protocol, struct error *err);

/* What a peer with a token of role `proven` may call itself: that role, and what it includes. */
bool hello_role_includes(Cupel__Role proven, Cupel__Role claimed);
