/* bench_link.c - how fast LOG frames go from one process to another, through a unix socket and
 * through TLS. */
#include "base/clock.h"
#include "proto/link.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define TOTAL ((size_t)512 << 20)

struct bench {
	struct event_base *base;
	struct link_listener *listener;
	struct link_token token;
	size_t sent, received;
	int64_t first_us, last_us;
};

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "bench_link: %s: %s\n", what, err->text);
	exit(1);
}

/* --- the sender: a child ------------------------------------------------------------------------
 */

static void fill(void *context, struct link *link)
{
	static char piece[LOG_BYTES_MAX];
	static const uint8_t head[LOG_HEAD];
	struct bench *b = context;

	while (b->sent < TOTAL && link_queued(link) < 4 * LINK_LOW) {
		if (link_send_raw(link, FRAME_LOG, head, sizeof(head), piece, sizeof(piece)) < 0)
			exit(1);
		b->sent += sizeof(piece);
	}
	if (b->sent >= TOTAL)
		link_finish(link);
}

static void ignore(void *context, struct link *link, const struct frame *frame)
{
	(void)context;
	(void)link;
	(void)frame;
}

static void sender_closed(void *context, struct link *link, const char *reason)
{
	struct bench *b = context;

	(void)reason;
	link_free(link);
	(void)event_base_loopbreak(b->base); /* can't fail */
}

static int send_all(const struct link_address *address, const struct link_token *token)
{
	static const struct link_callbacks callbacks = {fill, ignore, fill, sender_closed};
	struct bench b = {.base = event_base_new()};
	struct error err = {0};
	struct link *link;

	if (link_dial(b.base, address, token, &callbacks, &b, &link, &err) < 0)
		die("dial", &err);
	(void)event_base_dispatch(b.base); /* the count tells */
	return b.sent < TOTAL;
}

/* --- the receiver --------------------------------------------------------------------------------
 */

static void receive(void *context, struct link *link, const struct frame *frame)
{
	struct bench *b = context;

	(void)link;
	if (!b->received)
		b->first_us = clock_boot_us();
	b->received += frame->length - LOG_HEAD;
	b->last_us = clock_boot_us();
}

static void receiver_closed(void *context, struct link *link, const char *reason)
{
	sender_closed(context, link, reason);
}

static bool on_accept(void *context, struct link *link)
{
	static const struct link_callbacks callbacks = {NULL, receive, NULL, receiver_closed};

	link_set_callbacks(link, &callbacks, context);
	return true;
}

static bool find(void *context, const char *name, uint8_t secret[LINK_SECRET], Cupel__Role *role)
{
	const struct bench *b = context;

	memcpy(secret, b->token.secret, LINK_SECRET);
	*role = CUPEL__ROLE__ROLE_RUNNER;
	return strcmp(name, b->token.name) == 0;
}

static void measure(const char *name, const char *text)
{
	struct bench b = {.base = event_base_new(), .token = {.name = "bench"}};
	const struct link_listen how = {on_accept, find, &b};
	struct link_address address;
	struct error err = {0};
	pid_t child;

	if (link_address_parse(text, &address, &err) < 0 ||
	    link_listen(b.base, &address, 0600, &how, &b.listener, &err) < 0)
		die("listen", &err);
	if (*address.host)
		(void)snprintf(address.port, sizeof(address.port), "%u",
			       link_listener_port(b.listener)); /* fits */
	child = fork();
	if (child == 0)
		_exit(send_all(&address, &b.token));
	(void)event_base_dispatch(b.base); /* the count tells */
	if (child < 0 || waitpid(child, NULL, 0) < 0 || b.received != TOTAL) {
		fprintf(stderr, "bench_link: only %zu bytes came\n", b.received);
		exit(1);
	}
	printf("bench %s %.0f MB/s\n", name, (double)TOTAL / (double)(b.last_us - b.first_us));
	link_listener_free(b.listener);
	event_base_free(b.base);
}

int main(void)
{
	char address[64];

	(void)snprintf(address, sizeof(address), "unix:/tmp/bench-link-%d",
		       (int)getpid()); /* fits */
	measure("link_unix_mb_s", address);
	measure("link_tls_mb_s", "127.0.0.1:0");
	return 0;
}
