#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "proto/hello.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HELLO_MS      10000
#define HELLO_MAX     ((size_t)64 << 10) /* bytes: one that names a thousand attempts fits */
#define SESSIONS_MAX  30000
#define COMPLAIN_MS   60000 /* one line for each peer in that time */
#define COMPLAIN_MOST 30    /* lines of all peers together in that time */

/* --- refusing
 * ------------------------------------------------------------------------------------------- */

static const char *who(const struct session *s)
{
	static char text[MESSAGE_NAME_MAX + 64];
	const struct link_peer *peer = link_peer(s->link);

	if (*s->name)
		(void)snprintf(text, sizeof(text), "%s %s", role_word(s->role), s->name); /* fits */
	else if (peer->local)
		(void)snprintf(text, sizeof(text), "process %ld of user %lu", (long)peer->pid,
			       (unsigned long)peer->uid);
	else
		(void)snprintf(text, sizeof(text), "%s", *peer->name ? peer->name : "a peer");
	return text;
}

static bool worth_a_line(struct session *s)
{
	struct dispatcher *d = s->d;
	int64_t now = clock_boot_ms();

	s->complaints++;
	if (s->complained_ms && now - s->complained_ms < COMPLAIN_MS)
		return false;
	if (now - d->complained_ms >= COMPLAIN_MS) {
		d->complained_ms = now;
		d->complaints = 0;
	}
	if (++d->complaints > COMPLAIN_MOST)
		return false;
	s->complained_ms = now;
	return true;
}

static void complain(struct session *s, const char *text)
{
	unsigned before = s->complaints;

	if (!worth_a_line(s))
		return;
	if (before)
		log_warning("%s: %s (and %u more like this)", who(s), text, before);
	else
		log_warning("%s: %s", who(s), text);
	s->complaints = 0;
}

void session_complain(struct session *s, int code, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	complain(s, text);
	say_error(s, code, "%s", text);
}

static void leave(struct session *s)
{
	timers_cancel(s->d->timers, &s->patience);
	tail_stop(s);
	watch_stop(s);
	if (s->runner)
		on_runner_gone(s);
}

void session_dismiss(struct session *s, int code, const char *format, ...)
{
	char text[512];
	va_list args;

	if (s->finishing)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	s->finishing = true;
	leave(s);
	(void)link_send_error(s->link, code, "%s", text); /* a link that is over needs no word */
	link_finish(s->link);
}

/* --- hello
 * ---------------------------------------------------------------------------------------------- */

/* A local user who may be something here. */
static bool is_welcome(const struct dispatcher_options *o, const struct link_peer *peer)
{
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	for (size_t i = 0; i < o->allow_uids_count; i++)
		if (o->allow_uids[i] == peer->uid)
			return true;
	return false;
}

/* What a peer proved to be, beside what it says. */
static bool may_be(struct session *s, Cupel__Role role)
{
	const struct link_peer *peer = link_peer(s->link);

	if (!peer->local)
		return hello_role_includes(peer->role, role);
	return peer->uid == 0 || peer->uid == geteuid() ||
	       hello_role_includes(CUPEL__ROLE__ROLE_ADMIN, role);
}

static bool name_fits(const struct session *s, const char *name)
{
	const struct link_peer *peer = link_peer(s->link);

	return peer->local || strcmp(peer->name, name) == 0;
}

static void welcome(struct session *s)
{
	const struct dispatcher_options *o = &s->d->options;
	Cupel__Welcome m = CUPEL__WELCOME__INIT;

	m.protocol = PROTOCOL_MAX;
	m.software = s->d->software;
	m.heartbeat_ms = o->heartbeat_ms;
	m.lease_ms = o->lease_ms;
	say(s, FRAME_WELCOME, &m.base);
}

static void on_hello(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Hello *hello = (const Cupel__Hello *)*m;
	struct error err = {0};
	uint32_t version;

	if (s->role) {
		session_complain(s, EALREADY, "a second hello on one connection");
		return;
	}
	if (hello_check(hello, &version, &err) < 0) {
		complain(s, err.text);
		session_dismiss(s, err.code, "%s", err.text);
		return;
	}
	if (!may_be(s, hello->role) || !name_fits(s, hello->name)) {
		char text[160];

		(void)snprintf(text, sizeof(text), "it may not be %.60s as %s: %s", hello->name,
			       role_word(hello->role),
			       link_peer(s->link)->local
				       ? "its user is not the dispatcher's own"
				       : "its token is for something else"); /* fits */
		complain(s, text);
		session_dismiss(s, EACCES, "%s", text);
		return;
	}
	timers_cancel(s->d->timers, &s->patience);
	link_set_payload_max(s->link, FRAME_PAYLOAD_MAX);
	s->role = hello->role;
	(void)snprintf(s->name, sizeof(s->name), "%s", hello->name); /* names fit */
	if (s->role == CUPEL__ROLE__ROLE_RUNNER)
		on_runner_hello(s, hello);
	else
		welcome(s);
}

/* --- frames
 * --------------------------------------------------------------------------------------------- */

static void on_ping(struct session *s, ProtobufCMessage **m)
{
	say(s, FRAME_PONG, *m);
}

static void on_pong(struct session *s, ProtobufCMessage **m)
{
	(void)s;
	(void)m; /* it has been heard: that is all there is to it */
}

static void on_error(struct session *s, ProtobufCMessage **m)
{
	char text[MESSAGE_TEXT_MAX + 16];

	(void)snprintf(text, sizeof(text), "it says: %s", ((Cupel__Error *)*m)->text); /* fits */
	complain(s, text);
}

static const frame_handler handlers[256] = {
	[FRAME_HELLO] = on_hello,
	[FRAME_ERROR] = on_error,
	[FRAME_PING] = on_ping,
	[FRAME_PONG] = on_pong,
	[FRAME_EVENT] = on_event,
	[FRAME_ACCEPT] = on_accept,
	[FRAME_DECLINE] = on_decline,
	[FRAME_HEARTBEAT] = on_heartbeat,
	[FRAME_PHASE] = on_phase,
	[FRAME_PLAN] = on_plan,
	[FRAME_RESULT] = on_result,
	[FRAME_RELEASED] = on_released,
	[FRAME_SUBMIT] = on_submit,
	[FRAME_GET] = on_get,
	[FRAME_WATCH] = on_watch,
	[FRAME_CANCEL] = on_cancel,
	[FRAME_RETRY] = on_retry,
	[FRAME_WHY] = on_why,
	[FRAME_LIST] = on_list,
	[FRAME_TAIL] = on_tail,
	[FRAME_RUNNERS] = on_runners,
	[FRAME_DRAIN_RUNNER] = on_drain,
	[FRAME_SET_LIMITS] = on_set_limits,
	[FRAME_ENROLL] = on_enroll,
	[FRAME_FOLLOW] = on_follow,
};

/* What a peer of this role may say at this time. */
static bool may_say(struct session *s, uint8_t type)
{
	if (!s->role && type != FRAME_HELLO) {
		complain(s, "it spoke before its hello");
		session_dismiss(s, EPROTO, "the first frame must be a hello");
		return false;
	}
	if (!handlers[type] && type != FRAME_LOG) {
		session_complain(s, ENOTSUP, "%s is not understood here", message_name(type));
		return false;
	}
	if (type != FRAME_HELLO && type != FRAME_ERROR && type != FRAME_PING &&
	    type != FRAME_PONG && !message_allowed(s->role, type)) {
		session_complain(s, EPERM, "%s is not for the role %s", message_name(type),
				 role_word(s->role));
		return false;
	}
	return true;
}

/* What makes the store search. Each is quick, but a peer can send thousands in one piece, and all
 * others would wait for them. */
static bool is_question(uint8_t type)
{
	return type == FRAME_GET || type == FRAME_WATCH || type == FRAME_WHY ||
	       type == FRAME_LIST || type == FRAME_TAIL || type == FRAME_RUNNERS;
}

void session_listen(struct session *s)
{
	link_pause(s->link, s->held_back || s->asked);
}

static void has_asked(struct session *s)
{
	s->asked = true;
	TAILQ_INSERT_TAIL(&s->d->asked, s, asked_entry);
	session_listen(s);
}

static void may_ask(struct session *s)
{
	if (!s->asked)
		return;
	s->asked = false;
	TAILQ_REMOVE(&s->d->asked, s, asked_entry);
	session_listen(s);
}

void sessions_may_ask(struct dispatcher *d)
{
	while (!TAILQ_EMPTY(&d->asked))
		may_ask(TAILQ_FIRST(&d->asked));
}

static void on_frame(void *context, struct link *link, const struct frame *frame)
{
	struct session *s = context;
	ProtobufCMessage *m = NULL;
	struct error err = {0};

	(void)link;
	if (s->finishing || s->doomed || !may_say(s, frame->type))
		return;
	s->spoke = s->d->turns;
	turn_wanted(s->d);
	if (frame->type == FRAME_LOG) {
		on_log(s, frame);
		return;
	}
	if (message_unpack(frame, &m, &err) < 0) {
		session_complain(s, err.code ? err.code : EBADMSG, "%s: %s",
				 message_name(frame->type), err.text);
		return;
	}
	if (is_question(frame->type))
		has_asked(s);
	handlers[frame->type](s, &m);
	if (m)
		message_free(m);
}

/* --- coming and going
 * ----------------------------------------------------------------------------------- */

static void on_drained(void *context, struct link *link)
{
	struct session *s = context;

	(void)link;
	if (s->finishing)
		return;
	outbox_drained(s);
	tail_drained(s);
	watch_drained(s);
}

static void on_closed(void *context, struct link *link, const char *reason)
{
	struct session *s = context;

	if (link_error(link) == EMSGSIZE || link_error(link) == EBADMSG)
		log_warning("%s: %s", who(s), reason);
	else
		log_debug("%s: %s", who(s), reason);
	turn_wanted(s->d);
	session_free(s);
}

static void no_hello(void *context)
{
	session_dismiss(context, ETIMEDOUT, "no hello within %d s", HELLO_MS / 1000);
}

void session_free(struct session *s)
{
	if (!s->finishing)
		leave(s);
	may_ask(s);
	TAILQ_REMOVE(&s->d->sessions, s, entry);
	(void)map_take(&s->d->sessions_by_id, s->id); /* it is `s` */
	link_free(s->link);
	free(s);
}

/* Its hello isn't waited for: what a stranger says costs memory. */
static void refuse_stranger(struct session *s)
{
	static const char text[] = "its user is not in allow_uids of dispatcher.yml";

	complain(s, text);
	session_dismiss(s, EACCES, "%s", text);
}

static bool on_accepted(void *context, struct link *link)
{
	static const struct link_callbacks callbacks = {
		.frame = on_frame, .drained = on_drained, .closed = on_closed};
	struct dispatcher *d = context;
	struct session *s;

	if (d->sessions_by_id.count >= SESSIONS_MAX)
		return false;
	s = calloc(1, sizeof(*s));
	if (!s)
		return false;
	s->d = d;
	s->link = link;
	s->id = ++d->last_session;
	s->patience = (struct timer){.expired = no_hello, .context = s};
	TAILQ_INIT(&s->tails);
	TAILQ_INIT(&s->watches);
	if (map_put(&d->sessions_by_id, s->id, s) < 0) {
		free(s);
		return false;
	}
	TAILQ_INSERT_TAIL(&d->sessions, s, entry);
	if (timers_set(d->timers, &s->patience, clock_boot_ms() + HELLO_MS) < 0)
		log_error("no memory for a deadline");
	link_set_callbacks(link, &callbacks, s);
	link_set_payload_max(link, HELLO_MAX);
	if (link_peer(link)->local && !is_welcome(&d->options, link_peer(link)))
		refuse_stranger(s);
	return true;
}

static bool find_token(void *context, const char *name, uint8_t secret[LINK_SECRET],
		       Cupel__Role *role)
{
	struct dispatcher *d = context;

	return store_token_find(d->store, name, secret, role);
}

int sessions_listen(struct dispatcher *d, struct error *err)
{
	const struct link_listen how = {on_accepted, find_token, d};
	const struct dispatcher_options *o = &d->options;
	char socket[sizeof("unix:") + 4096];
	const char *only[] = {socket};
	const char *const *texts = o->listen_count ? o->listen : only;
	const size_t count = o->listen_count ? o->listen_count : 1;

	(void)snprintf(socket, sizeof(socket), "unix:%s/dispatcher.sock",
		       o->state); /* parse tells */
	for (size_t i = 0; i < count; i++) {
		struct link_address address;
		/* With other users allowed, the uid check decides; without, the socket's mode too.
		 */
		mode_t mode = o->allow_uids_count ? 0666 : 0600;
		int rc = link_address_parse(texts[i], &address, err);

		if (rc == 0)
			rc = link_listen(d->base, &address, mode, &how, &d->listeners[i], err);
		if (rc < 0)
			return rc;
		d->listeners_count = i + 1;
	}
	return 0;
}
