#include "proto/message_check.h"

#include "proto/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- strings, by the name of their field -------------------------------- */

enum kind {
	NAME,   /* one line of UTF-8, nothing that a terminal obeys */
	SCRIPT, /* UTF-8 that may hold line ends and the like */
	COMMIT, /* hex digits, or nothing where nothing is allowed */
	PEOPLE, /* put right instead of refused */
};

static const struct rule {
	const char *field;
	enum kind kind;
	size_t max;
} rules[] = {
	/* sorted: looked up by bsearch() */
	{"argv", SCRIPT, MESSAGE_URL_MAX},         {"artifacts", NAME, MESSAGE_URL_MAX},
	{"author", PEOPLE, MESSAGE_TEXT_MAX},      {"commit", COMMIT, 64},
	{"delivery", NAME, MESSAGE_REF_MAX},       {"hint", PEOPLE, MESSAGE_TEXT_MAX},
	{"job", NAME, MESSAGE_NAME_MAX},           {"job_name", NAME, MESSAGE_NAME_MAX},
	{"key", NAME, MESSAGE_NAME_MAX},           {"labels", NAME, MESSAGE_NAME_MAX},
	{"late_result", PEOPLE, MESSAGE_TEXT_MAX}, {"limit", NAME, MESSAGE_NAME_MAX},
	{"lines", PEOPLE, MESSAGE_TEXT_MAX},       {"name", NAME, MESSAGE_NAME_MAX},
	{"needs", NAME, MESSAGE_NAME_MAX},         {"network", NAME, MESSAGE_NAME_MAX},
	{"pressure", PEOPLE, MESSAGE_TEXT_MAX},    {"profile", NAME, MESSAGE_NAME_MAX},
	{"reason", PEOPLE, MESSAGE_TEXT_MAX},      {"ref", NAME, MESSAGE_REF_MAX},
	{"reports", NAME, MESSAGE_URL_MAX},        {"repository", NAME, MESSAGE_URL_MAX},
	{"revision", NAME, MESSAGE_REF_MAX},       {"rule", PEOPLE, MESSAGE_TEXT_MAX},
	{"run", SCRIPT, MESSAGE_SCRIPT_MAX},       {"runner", NAME, MESSAGE_NAME_MAX},
	{"software", NAME, MESSAGE_NAME_MAX},      {"subject", PEOPLE, MESSAGE_TEXT_MAX},
	{"text", PEOPLE, MESSAGE_TEXT_MAX},        {"token", NAME, MESSAGE_REF_MAX},
	{"value", SCRIPT, MESSAGE_SCRIPT_MAX},     {"waits_for", PEOPLE, MESSAGE_TEXT_MAX},
};

static int by_field(const void *field, const void *rule)
{
	return strcmp(field, ((const struct rule *)rule)->field);
}

static const struct rule *rule_of(const char *field)
{
	/* A field that the table doesn't know is held to the strictest rule. */
	static const struct rule strictest = {"", NAME, MESSAGE_NAME_MAX};
	const struct rule *rule =
		bsearch(field, rules, sizeof(rules) / sizeof(rules[0]), sizeof(rules[0]), by_field);

	return rule ? rule : &strictest;
}

static bool is_commit(const char *text)
{
	size_t length = strspn(text, "0123456789abcdef");

	return !text[length] && (length == 40 || length == 64);
}

static int bad(const ProtobufCMessage *m, const char *field, struct error *err, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

static int bad(const ProtobufCMessage *m, const char *field, struct error *err, const char *format,
	       ...)
{
	char what[128];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args); /* cut when too long */
	va_end(args);
	return error_say(err, EBADMSG, "%s.%s %s", m->descriptor->short_name, field, what);
}

static int check_string(const ProtobufCMessage *m, const char *field, char *text, struct error *err)
{
	const struct rule *rule = rule_of(field);

	if (!*text)
		return 0;
	if (rule->kind == PEOPLE) {
		text_mend(text, rule->max);
		return 0;
	}
	if (strlen(text) > rule->max)
		return bad(m, field, err, "is longer than %zu bytes", rule->max);
	if (rule->kind == COMMIT && !is_commit(text))
		return bad(m, field, err, "is not 40 or 64 lower-case hex digits");
	if (!text_is_utf8(text))
		return bad(m, field, err, "is not UTF-8");
	if (rule->kind == NAME && !text_is_plain(text))
		return bad(m, field, err, "holds control characters");
	return 0;
}

/* --- what one message demands beyond its fields ------------------------- */

static int need(bool given, const void *m, const char *field, struct error *err)
{
	return given ? 0 : bad(m, field, err, "is missing");
}

static int check_attempt(const void *message, struct error *err)
{
	const Cupel__Attempt *m = message;
	int rc = need(m->job, m, "job", err);

	return rc < 0 ? rc : need(m->epoch, m, "epoch", err);
}

static int check_hello(const void *message, struct error *err)
{
	const Cupel__Hello *m = message;

	return need(*m->name, m, "name", err);
}

static int check_runner_info(const void *message, struct error *err)
{
	const Cupel__RunnerInfo *m = message;

	if (m->incarnation.len != 16)
		return bad(message, "incarnation", err, "is not 16 bytes");
	return 0;
}

static int check_event(const void *message, struct error *err)
{
	const Cupel__Event *m = message;
	int rc = need(*m->repository, m, "repository", err);

	return rc < 0 ? rc : need(*m->commit, m, "commit", err);
}

static int check_event_ack(const void *message, struct error *err)
{
	return need(((const Cupel__EventAck *)message)->run, message, "run", err);
}

static int check_variable(const void *message, struct error *err)
{
	const Cupel__Variable *m = message;
	int rc = need(*m->name, m, "name", err);

	if (rc == 0 && strchr(m->name, '='))
		return bad(message, "name", err, "holds a '='");
	return rc;
}

static int check_job_spec(const void *message, struct error *err)
{
	const Cupel__JobSpec *m = message;
	int rc = need(*m->name, m, "name", err);

	return rc < 0 ? rc : need(*m->run || m->n_argv, m, "run", err);
}

static int check_assign(const void *message, struct error *err)
{
	const Cupel__Assign *m = message;
	int rc = need(m->run, m, "run", err);

	if (rc == 0)
		rc = need(*m->repository, m, "repository", err);
	if (rc == 0)
		rc = need(m->kind == CUPEL__KIND__KIND_PLAN || m->spec, m, "spec", err);
	return rc;
}

static int check_phase(const void *message, struct error *err)
{
	const Cupel__Phase *m = message;

	if (m->state < CUPEL__STATE__STATE_PREPARING || m->state > CUPEL__STATE__STATE_FINISHING)
		return bad(message, "state", err, "is not preparing, running or finishing");
	return 0;
}

static int check_plan(const void *message, struct error *err)
{
	const Cupel__Plan *m = message;

	if (m->n_jobs > MESSAGE_JOBS_MAX)
		return bad(message, "jobs", err, "are more than %d", MESSAGE_JOBS_MAX);
	return need(*m->commit, m, "commit", err);
}

static int check_result(const void *message, struct error *err)
{
	const Cupel__Result *m = message;

	if (m->log_digest.len && m->log_digest.len != 32)
		return bad(message, "log_digest", err, "is not 32 bytes");
	return need(m->verdict, m, "verdict", err);
}

static int check_submit(const void *message, struct error *err)
{
	return need(*((const Cupel__Submit *)message)->repository, message, "repository", err);
}

static int check_submitted(const void *message, struct error *err)
{
	return need(((const Cupel__Submitted *)message)->run, message, "run", err);
}

static int check_run_request(const void *message, struct error *err)
{
	return need(((const Cupel__RunRequest *)message)->run, message, "run", err);
}

static int check_run(const void *message, struct error *err)
{
	return need(((const Cupel__Run *)message)->id, message, "id", err);
}

static int check_job(const void *message, struct error *err)
{
	return need(((const Cupel__Job *)message)->id, message, "id", err);
}

static int check_tail(const void *message, struct error *err)
{
	const Cupel__Tail *m = message;

	return need(m->job || m->run, m, "job", err);
}

static int check_drain_request(const void *message, struct error *err)
{
	return need(*((const Cupel__DrainRequest *)message)->runner, message, "runner", err);
}

static int check_set_limits(const void *message, struct error *err)
{
	const Cupel__SetLimits *m = message;
	int rc = need(*m->runner, m, "runner", err);

	return rc < 0 ? rc : need(m->capacity, m, "capacity", err);
}

static int check_enroll(const void *message, struct error *err)
{
	const Cupel__Enroll *m = message;
	int rc = need(*m->name, m, "name", err);

	if (rc == 0 && m->name[strcspn(m->name, ": \t")])
		return bad(message, "name", err, "may hold no colon and no space");
	return rc < 0 ? rc : need(m->revoke || m->role, m, "role", err);
}

static const struct demand {
	const ProtobufCMessageDescriptor *message;
	int (*check)(const void *message, struct error *err);
} demands[] = {
	{&cupel__attempt__descriptor, check_attempt},
	{&cupel__hello__descriptor, check_hello},
	{&cupel__runner_info__descriptor, check_runner_info},
	{&cupel__event__descriptor, check_event},
	{&cupel__event_ack__descriptor, check_event_ack},
	{&cupel__variable__descriptor, check_variable},
	{&cupel__job_spec__descriptor, check_job_spec},
	{&cupel__assign__descriptor, check_assign},
	{&cupel__phase__descriptor, check_phase},
	{&cupel__plan__descriptor, check_plan},
	{&cupel__result__descriptor, check_result},
	{&cupel__submit__descriptor, check_submit},
	{&cupel__submitted__descriptor, check_submitted},
	{&cupel__run_request__descriptor, check_run_request},
	{&cupel__run__descriptor, check_run},
	{&cupel__job__descriptor, check_job},
	{&cupel__tail__descriptor, check_tail},
	{&cupel__drain_request__descriptor, check_drain_request},
	{&cupel__set_limits__descriptor, check_set_limits},
	{&cupel__enroll__descriptor, check_enroll},
};

static int check_demands(const ProtobufCMessage *m, struct error *err)
{
	for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++)
		if (demands[i].message == m->descriptor)
			return demands[i].check(m, err);
	return 0;
}

/* --- the walk over all fields ------------------------------------------- */

/* One value of a field; `value` points at it. */
static int check_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		       const void *value, struct error *err)
{
	ProtobufCMessage *part;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return check_string(m, f->name, *(char *const *)value, err);
	case PROTOBUF_C_TYPE_ENUM:
		if (!protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)value))
			return bad(m, f->name, err, "has no meaning");
		return 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		part = *(ProtobufCMessage *const *)value;
		if (part)
			return message_check(part, err);
		return need(strcmp(f->name, "attempt") != 0, m, f->name, err);
	default: /* numbers and bytes bound themselves */
		return 0;
	}
}

static size_t size_of(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : sizeof(void *);
}

static int check_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		      struct error *err)
{
	const uint8_t *base = (const uint8_t *)m;
	size_t count = *(const size_t *)(base + f->quantifier_offset);
	const uint8_t *values = *(uint8_t *const *)(base + f->offset);
	int rc = 0;

	if (count > MESSAGE_LIST_MAX)
		return bad(m, f->name, err, "are more than %d", MESSAGE_LIST_MAX);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = check_value(m, f, values + i * size_of(f->type), err);
	return rc;
}

/* From a newer peer: nobody here reads them, and what isn't checked isn't passed on or kept. */
static void drop_unknown(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->n_unknown_fields; i++)
		free(m->unknown_fields[i].data);
	free(m->unknown_fields);
	m->unknown_fields = NULL;
	m->n_unknown_fields = 0;
}

int message_check(ProtobufCMessage *m, struct error *err)
{
	int rc = 0;

	drop_unknown(m);
	for (unsigned i = 0; rc == 0 && i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			rc = check_list(m, f, err);
		else
			rc = check_value(m, f, (const uint8_t *)m + f->offset, err);
	}
	return rc < 0 ? rc : check_demands(m, err);
}
