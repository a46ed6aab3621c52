/* told.h - commands whose answer is a sentence. */
#pragma once

#include "cli/client.h"

/* Asks for a Done and prints its text (or JSON); the exit status. */
int told(struct cli *cli, struct client *c, uint8_t type, const ProtobufCMessage *request);
