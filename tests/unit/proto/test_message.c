#include "rig.h"

#include "proto/text.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static int unpack(uint8_t type, const void *payload, size_t length, struct error *err)
{
	const struct frame frame = {type, payload, length};
	ProtobufCMessage *m = NULL;
	int rc = message_unpack(&frame, &m, err);

	message_free(m);
	return rc;
}

/* Packs, parses, unpacks; the sentence is checked by what it must hold. */
static int round_trip(uint8_t type, const ProtobufCMessage *m, const char *complaint)
{
	owned_buffer bytes = {0};
	struct error err = {0};
	struct frame frame;
	int rc;

	assert_int_equal(message_pack(type, m, &bytes), 0);
	assert_int_equal(frame_parse((uint8_t *)bytes.data, bytes.length, &frame), bytes.length);
	assert_int_equal(frame.type, type);
	rc = unpack(type, frame.payload, frame.length, &err);
	if (complaint && !strstr(err.text, complaint))
		fail_msg("'%s' doesn't say '%s'", err.text, complaint);
	if (!complaint && rc < 0)
		fail_msg("%s: %s", message_name(type), err.text);
	return rc;
}

/* --- every type
 * ------------------------------------------------------------------------------------------ */

static Cupel__Attempt attempt = CUPEL__ATTEMPT__INIT;

/* What each message needs to be acceptable, by field: enough to make one of every type. */
static void fill(ProtobufCMessage *m);

static void fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	uint8_t *at = (uint8_t *)m + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return;
	if (f->type == PROTOBUF_C_TYPE_STRING)
		*(const char **)at = strcmp(f->name, "commit") == 0 ? COMMIT : "text";
	else if (f->type == PROTOBUF_C_TYPE_UINT64)
		*(uint64_t *)at = 1ull << 40;
	else if (f->type == PROTOBUF_C_TYPE_UINT32)
		*(uint32_t *)at = 7;
	else if (f->type == PROTOBUF_C_TYPE_ENUM)
		*(int *)at = strcmp(f->name, "state") == 0 ? CUPEL__STATE__STATE_RUNNING : 1;
	else if (f->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(f->name, "attempt") == 0)
		*(Cupel__Attempt **)at = &attempt;
	else if (f->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(f->name, "capacity") == 0) {
		static Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;

		*(Cupel__Capacity **)at = &capacity;
	}
}

static void fill(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		fill_field(m, &m->descriptor->fields[i]);
}

static const struct {
	uint8_t type;
	const ProtobufCMessageDescriptor *message;
} all[] = {
	{FRAME_HELLO, &cupel__hello__descriptor},
	{FRAME_WELCOME, &cupel__welcome__descriptor},
	{FRAME_ERROR, &cupel__error__descriptor},
	{FRAME_PING, &cupel__ping__descriptor},
	{FRAME_PONG, &cupel__ping__descriptor},
	{FRAME_EVENT, &cupel__event__descriptor},
	{FRAME_EVENT_ACK, &cupel__event_ack__descriptor},
	{FRAME_ASSIGN, &cupel__assign__descriptor},
	{FRAME_ACCEPT, &cupel__accept__descriptor},
	{FRAME_DECLINE, &cupel__decline__descriptor},
	{FRAME_HEARTBEAT, &cupel__heartbeat__descriptor},
	{FRAME_LEASE, &cupel__lease__descriptor},
	{FRAME_PHASE, &cupel__phase__descriptor},
	{FRAME_PLAN, &cupel__plan__descriptor},
	{FRAME_LOG_ACK, &cupel__log_ack__descriptor},
	{FRAME_RESULT, &cupel__result__descriptor},
	{FRAME_RESULT_ACK, &cupel__result_ack__descriptor},
	{FRAME_RELEASED, &cupel__released__descriptor},
	{FRAME_STOP, &cupel__stop__descriptor},
	{FRAME_DRAIN, &cupel__drain__descriptor},
	{FRAME_RUNNER_LIMITS, &cupel__set_limits__descriptor},
	{FRAME_SUBMIT, &cupel__submit__descriptor},
	{FRAME_SUBMITTED, &cupel__submitted__descriptor},
	{FRAME_GET, &cupel__run_request__descriptor},
	{FRAME_WATCH, &cupel__run_request__descriptor},
	{FRAME_CANCEL, &cupel__run_request__descriptor},
	{FRAME_RETRY, &cupel__run_request__descriptor},
	{FRAME_WHY, &cupel__run_request__descriptor},
	{FRAME_FOLLOW, &cupel__run_request__descriptor},
	{FRAME_RUN, &cupel__run__descriptor},
	{FRAME_LIST, &cupel__list__descriptor},
	{FRAME_RUNS, &cupel__runs__descriptor},
	{FRAME_TAIL, &cupel__tail__descriptor},
	{FRAME_TAIL_END, &cupel__tail_end__descriptor},
	{FRAME_RUNNERS, &cupel__runners_request__descriptor},
	{FRAME_RUNNER_LIST, &cupel__runner_list__descriptor},
	{FRAME_EXPLANATION, &cupel__explanation__descriptor},
	{FRAME_DRAIN_RUNNER, &cupel__drain_request__descriptor},
	{FRAME_SET_LIMITS, &cupel__set_limits__descriptor},
	{FRAME_ENROLL, &cupel__enroll__descriptor},
	{FRAME_TOKEN, &cupel__token__descriptor},
	{FRAME_DONE, &cupel__done__descriptor},
};

static void every_message_goes_round(void **state)
{
	unsigned known = 1; /* LOG, which is raw */

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		owned_str *memory = calloc(1, all[i].message->sizeof_message);
		ProtobufCMessage *m = (ProtobufCMessage *)memory;

		protobuf_c_message_init(all[i].message, m);
		fill(m);
		round_trip(all[i].type, m, NULL);
	}
	for (unsigned type = 0; type < 256; type++)
		known += unpack((uint8_t)type, NULL, 0, NULL) != -ENOTSUP;
	assert_int_equal(known, sizeof(all) / sizeof(all[0]) + 1);
}

static void unknown_and_raw_types_carry_no_message(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(unpack(200, "", 0, &err), -ENOTSUP);
	assert_string_equal(err.text, "type 200 carries no message");
	assert_int_equal(unpack(FRAME_LOG, "", 0, NULL), -ENOTSUP);
}

static void unknown_fields_are_passed_over(void **state)
{
	/* field 1000, a number; then cookie 1 */
	const struct frame frame = {FRAME_PING, (const uint8_t *)"\xc0\x3e\x05\x08\x01", 5};
	ProtobufCMessage *m = NULL;

	(void)state;
	assert_int_equal(message_unpack(&frame, &m, NULL), 0);
	assert_int_equal(((Cupel__Ping *)m)->cookie, 1);
	assert_int_equal(m->n_unknown_fields, 0);
	message_free(m);
}

static void garbage_is_told_by_the_type(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(unpack(FRAME_PING, "\xff\xff\xff", 3, &err), -EBADMSG);
	assert_string_equal(err.text, "PING is not well-formed");
}

/* --- what one payload may make of our memory
 * --------------------------------------------------------------- */

static void endless_parts_are_refused(void **state)
{
	static uint8_t bytes[FRAME_PAYLOAD_MAX];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i += 2) { /* half a million empty Progress */
		bytes[i] = 0x0a;
		bytes[i + 1] = 0;
	}
	assert_int_equal(unpack(FRAME_HEARTBEAT, bytes, sizeof(bytes), &err), -EBADMSG);
	assert_string_equal(err.text, "HEARTBEAT has too many parts");
	assert_int_equal(unpack(FRAME_HEARTBEAT, bytes, 2 * (MESSAGE_LIST_MAX + 1), &err),
			 -EBADMSG);
	assert_string_equal(err.text, "Heartbeat.attempts are more than 4096");
}

static void merging_over_and_over_is_refused(void **state)
{
	/* hello.runner again and again, each with a label: every merge copies all before it */
	static const uint8_t part[] = {0x32, 3, 0x12, 1, 'x'};
	static uint8_t bytes[FRAME_PAYLOAD_MAX / sizeof(part) * sizeof(part)];
	int64_t start = clock_boot_ms();
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i += sizeof(part))
		memcpy(bytes + i, part, sizeof(part));
	assert_int_equal(unpack(FRAME_HELLO, bytes, sizeof(bytes), &err), -EBADMSG);
	assert_string_equal(err.text, "HELLO has too many parts");
	assert_true(clock_boot_ms() - start < 5000);
}

static void a_message_over_the_limit_is_not_packed(void **state)
{
	Cupel__Done m = CUPEL__DONE__INIT;
	owned_str *text = malloc(FRAME_PAYLOAD_MAX + 1);
	owned_buffer bytes = {0};

	(void)state;
	assert_non_null(text);
	memset(text, 'x', FRAME_PAYLOAD_MAX);
	text[FRAME_PAYLOAD_MAX] = '\0';
	m.text = text;
	assert_int_equal(message_pack(FRAME_DONE, &m.base, &bytes), -EMSGSIZE);
	assert_int_equal(bytes.length, 0);
}

/* --- what fields may hold
 * ---------------------------------------------------------------------------------- */

static int submit(const char *repository, const char *name, const char *revision,
		  const char *complaint)
{
	Cupel__Submit m = CUPEL__SUBMIT__INIT;

	m.repository = (char *)repository;
	m.name = (char *)name;
	m.revision = (char *)revision;
	return round_trip(FRAME_SUBMIT, &m.base, complaint);
}

static void names_and_refs_are_plain_and_bounded(void **state)
{
	char longest[MESSAGE_NAME_MAX + 2];

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[MESSAGE_NAME_MAX + 1] = '\0';
	assert_int_equal(submit("", "n", "r", "Submit.repository is missing"), -EBADMSG);
	assert_int_equal(submit("/srv/x", longest, "r", "Submit.name is longer than 200"),
			 -EBADMSG);
	assert_int_equal(submit("/srv/x", longest + 1, "r", NULL), 0);
	assert_int_equal(submit("/srv/x", "n", "a\nb", "Submit.revision holds control"), -EBADMSG);
	assert_int_equal(submit("/srv/x", "n\x1b[1m", "r", "Submit.name holds control"), -EBADMSG);
	assert_int_equal(submit("/srv/x", "n\xc2\x9b", "r", "Submit.name holds control"), -EBADMSG);
	assert_int_equal(submit("/srv/\xff", "n", "r", "Submit.repository is not UTF-8"), -EBADMSG);
	assert_int_equal(submit("/srv/gr\xc3\xbc\xc3\x9f", "n", "r", NULL), 0);
}

static void a_commit_is_40_or_64_hex_digits(void **state)
{
	static const char *const wrong[] = {"abc", "HEAD", COMMIT "0",
					    "0123456789ABCDEF0123456789abcdef01234567"};
	Cupel__Event m = CUPEL__EVENT__INIT;

	(void)state;
	m.repository = (char *)"/srv/x";
	assert_int_equal(round_trip(FRAME_EVENT, &m.base, "Event.commit is missing"), -EBADMSG);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		m.commit = (char *)wrong[i];
		assert_int_equal(round_trip(FRAME_EVENT, &m.base, "Event.commit is not 40"),
				 -EBADMSG);
	}
	m.commit = (char *)COMMIT;
	assert_int_equal(round_trip(FRAME_EVENT, &m.base, NULL), 0);
	m.commit = (char *)(COMMIT "0123456789abcdef01234567");
	assert_int_equal(round_trip(FRAME_EVENT, &m.base, NULL), 0);
}

static void text_for_people_is_mended_not_refused(void **state)
{
	Cupel__Event m = CUPEL__EVENT__INIT;
	owned_buffer bytes = {0};
	char subject[MESSAGE_TEXT_MAX + 10];
	ProtobufCMessage *got = NULL;
	struct frame frame;

	(void)state;
	memset(subject, 's', sizeof(subject));
	subject[sizeof(subject) - 1] = '\0';
	m.repository = (char *)"/srv/x";
	m.commit = (char *)COMMIT;
	m.author = (char *)"Gr\xfc\xdf \x1b[1m";
	m.subject = subject;
	assert_int_equal(message_pack(FRAME_EVENT, &m.base, &bytes), 0);
	assert_true(frame_parse((uint8_t *)bytes.data, bytes.length, &frame) > 0);
	assert_int_equal(message_unpack(&frame, &got, NULL), 0);
	assert_string_equal(((Cupel__Event *)got)->author, "Gr??  [1m");
	assert_int_equal(strlen(((Cupel__Event *)got)->subject), MESSAGE_TEXT_MAX);
	message_free(got);
}

static void an_attempt_is_named_whole(void **state)
{
	Cupel__Released m = CUPEL__RELEASED__INIT;
	Cupel__Attempt a = CUPEL__ATTEMPT__INIT;

	(void)state;
	assert_int_equal(round_trip(FRAME_RELEASED, &m.base, "Released.attempt is missing"),
			 -EBADMSG);
	m.attempt = &a;
	assert_int_equal(round_trip(FRAME_RELEASED, &m.base, "Attempt.job is missing"), -EBADMSG);
	a.job = 1;
	assert_int_equal(round_trip(FRAME_RELEASED, &m.base, "Attempt.epoch is missing"), -EBADMSG);
	a.epoch = 1;
	assert_int_equal(round_trip(FRAME_RELEASED, &m.base, NULL), 0);
}

static void enums_stay_in_range(void **state)
{
	Cupel__Phase m = CUPEL__PHASE__INIT;

	(void)state;
	m.attempt = &attempt;
	m.state = (Cupel__State)99;
	assert_int_equal(round_trip(FRAME_PHASE, &m.base, "Phase.state has no meaning"), -EBADMSG);
	m.state = CUPEL__STATE__STATE_QUEUED;
	assert_int_equal(round_trip(FRAME_PHASE, &m.base, "Phase.state is not preparing"),
			 -EBADMSG);
}

static int plan_of(size_t count, Cupel__JobSpec *spec, const char *complaint)
{
	static Cupel__JobSpec *jobs[MESSAGE_JOBS_MAX + 1];
	Cupel__Plan m = CUPEL__PLAN__INIT;

	for (size_t i = 0; i < count; i++)
		jobs[i] = spec;
	m.attempt = &attempt;
	m.commit = (char *)COMMIT;
	m.jobs = jobs;
	m.n_jobs = count;
	return round_trip(FRAME_PLAN, &m.base, complaint);
}

static void a_plans_jobs_are_checked(void **state)
{
	Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;
	Cupel__Variable variable = CUPEL__VARIABLE__INIT, *variables[] = {&variable};

	(void)state;
	assert_int_equal(plan_of(1, &spec, "JobSpec.name is missing"), -EBADMSG);
	spec.name = (char *)"test";
	assert_int_equal(plan_of(1, &spec, "JobSpec.run is missing"), -EBADMSG);
	spec.run = (char *)"make\n\tcheck\n";
	assert_int_equal(plan_of(MESSAGE_JOBS_MAX, &spec, NULL), 0);
	assert_int_equal(plan_of(MESSAGE_JOBS_MAX + 1, &spec, "Plan.jobs are more than 512"),
			 -EBADMSG);
	spec.env = variables;
	spec.n_env = 1;
	variable.name = (char *)"A=B";
	assert_int_equal(plan_of(1, &spec, "Variable.name holds a '='"), -EBADMSG);
	variable.name = (char *)"A";
	variable.value = (char *)"several\nlines";
	assert_int_equal(plan_of(1, &spec, NULL), 0);
}

static void an_incarnation_is_16_bytes(void **state)
{
	Cupel__Hello m = CUPEL__HELLO__INIT;
	Cupel__RunnerInfo runner = CUPEL__RUNNER_INFO__INIT;

	(void)state;
	m.name = (char *)"r";
	m.runner = &runner;
	assert_int_equal(round_trip(FRAME_HELLO, &m.base, "incarnation is not 16 bytes"), -EBADMSG);
	runner.incarnation = (ProtobufCBinaryData){16, (uint8_t *)"0123456789abcdef"};
	assert_int_equal(round_trip(FRAME_HELLO, &m.base, NULL), 0);
}

static void a_name_to_enroll_fits_into_a_token(void **state)
{
	Cupel__Enroll m = CUPEL__ENROLL__INIT;

	(void)state;
	m.name = (char *)"a:b";
	m.role = CUPEL__ROLE__ROLE_RUNNER;
	assert_int_equal(round_trip(FRAME_ENROLL, &m.base, "may hold no colon"), -EBADMSG);
	m.name = (char *)"a-b";
	assert_int_equal(round_trip(FRAME_ENROLL, &m.base, NULL), 0);
	m.role = CUPEL__ROLE__ROLE_NONE;
	assert_int_equal(round_trip(FRAME_ENROLL, &m.base, "Enroll.role is missing"), -EBADMSG);
}

/* --- who may say what
 * ---------------------------------------------------------------------------------------- */

static void each_role_says_its_own(void **state)
{
	static const struct {
		uint8_t type;
		const char *roles; /* runner, observer, submitter, reader, admin */
	} table[] = {
		{FRAME_HELLO, "rosRa"},
		{FRAME_PING, "rosRa"},
		{FRAME_EVENT, "o"},
		{FRAME_ACCEPT, "r"},
		{FRAME_LOG, "r"},
		{FRAME_RESULT, "r"},
		{FRAME_RELEASED, "r"},
		{FRAME_PLAN, "r"},
		{FRAME_GET, "sRa"},
		{FRAME_TAIL, "sRa"},
		{FRAME_RUNNERS, "sRa"},
		{FRAME_SUBMIT, "sa"},
		{FRAME_CANCEL, "sa"},
		{FRAME_RETRY, "sa"},
		{FRAME_SET_LIMITS, "a"},
		{FRAME_ENROLL, "a"},
		{FRAME_DRAIN_RUNNER, "a"},
		{FRAME_WELCOME, ""},
		{FRAME_ASSIGN, ""},
		{FRAME_STOP, ""},
		{FRAME_RESULT_ACK, ""},
		{200, ""},
		{0, ""},
	};
	static const char letters[] = "-rosRa";

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (unsigned role = 0; role <= CUPEL__ROLE__ROLE_ADMIN; role++)
			assert_int_equal(message_allowed((Cupel__Role)role, table[i].type),
					 strchr(table[i].roles, letters[role]) != NULL);
	assert_false(message_allowed((Cupel__Role)99, FRAME_PING));
}

static void words_go_both_ways(void **state)
{
	(void)state;
	for (unsigned i = 0; i <= CUPEL__VERDICT__VERDICT_DECLINED; i++)
		assert_int_equal(verdict_from_word(verdict_word((Cupel__Verdict)i)), i);
	for (unsigned i = 0; i <= CUPEL__ROLE__ROLE_ADMIN; i++)
		assert_int_equal(role_from_word(role_word((Cupel__Role)i)), i);
	assert_string_equal(verdict_word(CUPEL__VERDICT__VERDICT_TIMED_OUT), "timed_out");
	assert_string_equal(state_word(CUPEL__STATE__STATE_RUNNING), "running");
	assert_string_equal(state_word((Cupel__State)77), "unknown");
	assert_int_equal(role_from_word("root"), CUPEL__ROLE__ROLE_NONE);
	assert_string_equal(message_name(FRAME_LOG_ACK), "LOG_ACK");
}

/* --- text
 * ------------------------------------------------------------------------------------------------------
 */

static void utf8_is_the_strict_one(void **state)
{
	static const char *const good[] = {"", "a", "\xc2\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {
		"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",    "\xf4\x90\x80\x80",
		"\xc3", "\xe2\x82", "\xff",         "\xf0\x80\x80\xaf"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_utf8(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_is_utf8(bad[i]));
}

static void mended_text_is_cut_between_characters(void **state)
{
	char text[] = "a\xc3\xbc\xc3\xbc";

	(void)state;
	text_mend(text, 4);
	assert_string_equal(text, "a\xc3\xbc");
	text_mend(text, 0);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_goes_round),
		cmocka_unit_test(unknown_and_raw_types_carry_no_message),
		cmocka_unit_test(unknown_fields_are_passed_over),
		cmocka_unit_test(garbage_is_told_by_the_type),
		cmocka_unit_test(endless_parts_are_refused),
		cmocka_unit_test(merging_over_and_over_is_refused),
		cmocka_unit_test(a_message_over_the_limit_is_not_packed),
		cmocka_unit_test(names_and_refs_are_plain_and_bounded),
		cmocka_unit_test(a_commit_is_40_or_64_hex_digits),
		cmocka_unit_test(text_for_people_is_mended_not_refused),
		cmocka_unit_test(an_attempt_is_named_whole),
		cmocka_unit_test(enums_stay_in_range),
		cmocka_unit_test(a_plans_jobs_are_checked),
		cmocka_unit_test(an_incarnation_is_16_bytes),
		cmocka_unit_test(a_name_to_enroll_fits_into_a_token),
		cmocka_unit_test(each_role_says_its_own),
		cmocka_unit_test(words_go_both_ways),
		cmocka_unit_test(utf8_is_the_strict_one),
		cmocka_unit_test(mended_text_is_cut_between_characters),
	};

	attempt.job = 5;
	attempt.epoch = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
