/* filter_program.h - from rules to a program of the kernel's filter machine. Pure.
 *
 * The kernel runs it for each number when it takes it over, to know which calls are allowed
 * whatever their arguments (seccomp_cache_prepare()), and translates it each time it is loaded: so
 * it is short, and the way through it is. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define CONDITIONS_MAX 5

/* On the low half of an argument: where one matters here, the kernel looks at that half alone. But
 * of a pointer at both: UPPER(n) is the other one. */
#define UPPER(n) ((n) + 8)
struct condition {
	enum { ALWAYS, HAS_ANY_OF, IS, IS_NOT } is;
	unsigned argument;
	uint32_t value;
};

/* A call of that number is answered with that errno, when all conditions hold (none: always); 0: as
 * if it had been done. */
struct program_rule {
	uint32_t number;
	uint16_t code;
	const struct condition *when; /* CONDITIONS_MAX of them; borrowed */
};

/* Jumps reach no further: an instruction tells the distance in a byte. */
#define PROGRAM_MAX 256

struct program {
	struct sock_filter code[PROGRAM_MAX];
	size_t count;
};

/* Sorts the rules. What none of them refuses is allowed; numbers that nobody knew when the rules
 * were written, clone3 and foreign architectures are ENOSYS. */
void program_make(struct program_rule *rules, size_t count, struct program *out);

/* Makes a copy of a program's code ask the listener for what it would refuse; not about those that
 * are ENOSYS by their number alone: software tries these and falls back. Nor about what is answered
 * with 0. */
void program_ask(struct sock_filter *code, size_t count);
