#include "cli/json.h"

#include "base/buffer.h"
#include "cli/utf8.h"
#include "proto/cupel.pb-c.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *bytes_text_json(const uint8_t *bytes, size_t length)
{
	owned_buffer clean = {0};
	int rc = 0;

	for (size_t at = 0; at < length && rc == 0;) {
		uint32_t c;
		int n = utf8_next(bytes + at, length - at, &c);

		rc = n > 0 ? buffer_append(&clean, bytes + at, (size_t)n)
			   : buffer_append(&clean, "\xef\xbf\xbd", 3);
		at += n > 0 ? (size_t)n : 1;
	}
	return rc == 0 ? json_stringn(clean.data ? clean.data : "", clean.length) : NULL;
}

static json_t *text_json(const char *text)
{
	return bytes_text_json((const uint8_t *)text, strlen(text));
}

static json_t *bytes_json(const ProtobufCBinaryData *bytes)
{
	owned_buffer hex = {0};

	for (size_t i = 0; i < bytes->len; i++)
		if (buffer_printf(&hex, "%02x", bytes->data[i]) < 0)
			return NULL;
	return json_stringn(hex.data ? hex.data : "", hex.length);
}

/* VERDICT_TIMED_OUT of enum Verdict is "timed_out". */
static json_t *enum_json(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
	char word[64];
	size_t i, skip = strlen(type->short_name) + 1;

	if (!v || strlen(v->name) <= skip)
		return json_null();
	for (i = 0; v->name[skip + i] && i < sizeof(word) - 1; i++)
		word[i] = (char)tolower((unsigned char)v->name[skip + i]);
	word[i] = '\0';
	return strcmp(word, "none") == 0 ? json_null() : json_string(word);
}

static json_t *message_json(const ProtobufCMessage *m);

/* The value at `at`, which is one member of a list or a field that stands once. */
static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
		return json_integer(*(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
		return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_json(f->descriptor, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING:
		return text_json(*(char *const *)at);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_json(at);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!*(ProtobufCMessage *const *)at)
			return json_null();
		return message_json(*(ProtobufCMessage *const *)at);
	default: /* proto/cupel.proto uses no other */
		return json_null();
	}
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
		return sizeof(int64_t);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	default:
		return sizeof(int32_t);
	}
}

static json_t *list_json(const ProtobufCFieldDescriptor *f, const void *m)
{
	const char *members = *(char *const *)((const char *)m + f->offset);
	size_t count = *(const size_t *)((const char *)m + f->quantifier_offset);
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(list, value_json(f, members + i * value_size(f))) < 0)
			break; /* the dump fails for want of memory, too */
	return list;
}

/* No job is without memory and tasks: such a peak was not measured. */
static void finish_usage(const Cupel__Usage *u, json_t *object)
{
	if (!u->memory_peak)
		(void)json_object_set_new(object, "memory_peak", json_null());
	if (!u->tasks_peak)
		(void)json_object_set_new(object, "tasks_peak", json_null());
	(void)json_object_set_new(
		object, "cpu_ms",
		json_integer((json_int_t)u->cpu_user_ms + (json_int_t)u->cpu_system_ms));
}

static json_t *message_json(const ProtobufCMessage *m)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		json_t *value = f->label == PROTOBUF_C_LABEL_REPEATED
					? list_json(f, m)
					: value_json(f, (const char *)m + f->offset);

		if (json_object_set_new(object, f->name, value) < 0)
			break; /* the dump fails for want of memory, too */
	}
	if (m->descriptor == &cupel__usage__descriptor)
		finish_usage((const Cupel__Usage *)m, object);
	return object;
}

static char *dump(json_t *value)
{
	char *text = value ? json_dumps(value, JSON_ENSURE_ASCII) : NULL;

	json_decref(value);
	return text;
}

char *json_of_message(const ProtobufCMessage *m)
{
	return dump(message_json(m));
}

char *json_of_checks(const struct json_check *checks, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *check = json_object();

		(void)json_object_set_new(check, "name", text_json(checks[i].name));
		(void)json_object_set_new(check, "passed", json_boolean(checks[i].passed));
		(void)json_object_set_new(check, "text", text_json(checks[i].text));
		(void)json_array_append_new(list,
					    check); /* the dump fails for want of memory, too */
	}
	return dump(json_pack("{s:o}", "checks", list));
}

char *json_of_log(const struct json_log *piece)
{
	json_t *object = json_object();

	(void)json_object_set_new(object, "job", text_json(piece->job));
	(void)json_object_set_new(object, "attempt", json_integer(piece->attempt));
	(void)json_object_set_new(object, "stream", json_string("output"));
	(void)json_object_set_new(object, "offset", json_integer((json_int_t)piece->offset));
	if (json_object_set_new(object, "text", bytes_text_json(piece->bytes, piece->length)) == 0)
		return dump(object);
	json_decref(object); /* a log must not lose a line for want of memory */
	return NULL;
}
