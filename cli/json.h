/* json.h - what is printed with --json: messages by the names of their fields in proto/cupel.proto,
 * so that the two never differ. Pure.
 *
 * Enums are words ("timed_out"; null for "none yet"), bytes are hex digits, `usage` also has
 * cpu_ms, the sum of its two, and null for a peak that wasn't measured. Text that isn't UTF-8 gets
 * U+FFFD. One line, ASCII only. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Owned by the caller; NULL: no memory. */
char *json_of_message(const ProtobufCMessage *m);

/* A check of `cupel doctor`. */
struct json_check {
	const char *name, *text;
	bool passed;
};
char *json_of_checks(const struct json_check *checks, size_t count);

/* Some bytes of a job's log. Standard output and error are one stream in it, "output". */
struct json_log {
	const char *job;
	uint32_t attempt;
	uint64_t offset; /* of `bytes` in the log */
	const void *bytes;
	size_t length;
};
char *json_of_log(const struct json_log *piece);
