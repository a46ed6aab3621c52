/* client.h - a conversation with the dispatcher: ask, wait for the answer. It runs the event loop
 * itself, so that a subcommand reads from top to bottom. */
#pragma once

#include "base/owned.h"
#include "cli/cli.h"

#include <event2/event.h>

struct client;

/* Where the dispatcher is: --dispatcher, the token of --token, CUPEL_DISPATCHER, the token of
 * CUPEL_TOKEN, the unix socket of `cupel up`; in this order. `file` is the token's or NULL. */
int client_address(const struct cli *cli, char *out, size_t size, const char **file,
		   struct error *err);

/* Connects, in one attempt. */
int client_open(const struct cli *cli, Cupel__Role role, struct client **out, struct error *err);
void client_free(struct client *c);
OWNED(client)

/* Is it there again? Waits up to CLIENT_PATIENCE_MS, for streams that shall outlive a restart. */
int client_again(struct client *c, struct error *err);
#define CLIENT_PATIENCE_MS 60000

/* One answer, of type `answer`, owned by the caller. What the dispatcher refuses is an error with
 * its words; -ENOTCONN: the connection is lost. */
int client_ask(struct client *c, uint8_t type, const ProtobufCMessage *request, uint8_t answer,
	       ProtobufCMessage **out, struct error *err);

/* A frame of a stream: >0 there is more to come, 0 it was the last, negative: failed. */
typedef int (*client_handler)(void *context, const struct frame *frame, struct error *err);

/* Asks, and hands over frames until the handler has had the last. */
int client_stream(struct client *c, uint8_t type, const ProtobufCMessage *request,
		  client_handler handler, void *context, struct error *err);

/* For timers of the caller. */
struct event_base *client_base(const struct client *c);
