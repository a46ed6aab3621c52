/* message_check.h - what a well-formed message must keep to before anybody acts on it. Pure. */
#pragma once

#include "base/error.h"
#include "proto/message.h"

/* -EBADMSG and a sentence that names the message and the field. Text for people (subjects, authors,
 * reasons) is put right in place instead: a commit's odd author must not stop its run. */
int message_check(ProtobufCMessage *m, struct error *err);
