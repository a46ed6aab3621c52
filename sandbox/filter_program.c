#include "sandbox/filter_program.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "sandbox/filter_program.c: name this architecture's AUDIT_ARCH"
#endif

/* The last number that was looked at when this list was written (file_setattr); the kernel's
 * numbers have been the same on all architectures since 424. Anything newer is ENOSYS, so that
 * software falls back. */
#define LAST_KNOWN 469

#define NUMBER offsetof(struct seccomp_data, nr)
#define ARCH   offsetof(struct seccomp_data, arch)
/* Little-endian, as the architectures above are. */
#define ARGUMENT(n)                                                                                \
	(offsetof(struct seccomp_data, args) + sizeof(uint64_t) * ((n) % UPPER(0)) +               \
	 sizeof(uint32_t) * ((n) / UPPER(0)))
#define NOT_HERE     (SECCOMP_RET_ERRNO | ENOSYS)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* clone3 is answered by the kernel always: a C library tries it at each thread. */
static const struct sock_filter prologue[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_KNOWN, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, NOT_HERE),
};

/* Places that are jumped to before it is known where they are. */
#define LABELS_MAX PROGRAM_MAX
#define ERRNO_MAX  EHWPOISON

enum { NEXT, ALLOW, FIRST_FREE };

/* Numbers that are answered alike: in one place. */
struct item {
	uint32_t first, last;
	int label;
};

struct assembly {
	struct program *out;
	int jt[PROGRAM_MAX], jf[PROGRAM_MAX]; /* labels */
	size_t place[LABELS_MAX];
	int labels;
	int refusal[ERRNO_MAX + 1]; /* label of the answer with that errno; 0: none yet */
	struct item items[PROGRAM_MAX];
	size_t item_count;
};

static int new_label(struct assembly *a)
{
	assert(a->labels < LABELS_MAX);
	return a->labels++;
}

static void put_label(struct assembly *a, int label)
{
	a->place[label] = a->out->count;
}

static void put(struct assembly *a, uint16_t code, uint32_t k, int jt, int jf)
{
	size_t at = a->out->count++;

	assert(at < PROGRAM_MAX);
	a->out->code[at] = (struct sock_filter)BPF_STMT(code, k);
	a->jt[at] = jt;
	a->jf[at] = jf;
}

static int refusal(struct assembly *a, uint16_t code)
{
	assert(code <= ERRNO_MAX);
	if (!a->refusal[code])
		a->refusal[code] = new_label(a);
	return a->refusal[code];
}

/* The items are in order: who is none of the first and less than this one is nobody's. */
static void put_leaf(struct assembly *a, const struct item *item, size_t count)
{
	for (; count > 0; count--, item++) {
		int other = count > 1 ? NEXT : ALLOW;

		if (item->first == item->last) {
			put(a, BPF_JMP | BPF_JEQ | BPF_K, item->first, item->label, other);
		} else {
			put(a, BPF_JMP | BPF_JGE | BPF_K, item->first, NEXT, ALLOW);
			put(a, BPF_JMP | BPF_JGT | BPF_K, item->last, other, item->label);
		}
	}
}

/* More than that are halved: a comparison to halve them costs as much as one to find one. */
#define LEAF_MAX 3

static void put_tree(struct assembly *a, const struct item *item, size_t count)
{
	size_t half = count / 2;
	int upper;

	if (count <= LEAF_MAX) {
		put_leaf(a, item, count);
		return;
	}
	upper = new_label(a);
	put(a, BPF_JMP | BPF_JGE | BPF_K, item[half].first, upper, NEXT);
	put_tree(a, item, half);
	put_label(a, upper);
	put_tree(a, item + half, count - half);
}

/* What stands in the accumulator wherever a rule is left for the next one; -1: that differs. */
static int left_loaded(const struct condition *when)
{
	const struct condition *c = when;

	while (c < when + CONDITIONS_MAX && c->is != ALWAYS && c->argument == when->argument)
		c++;
	return c == when + CONDITIONS_MAX || c->is == ALWAYS ? (int)when->argument : -1;
}

/* On to the next condition while they hold, and from the last one to the refusal. */
static void put_rule(struct assembly *a, const struct program_rule *rule, int loaded, int otherwise)
{
	const struct condition *c = rule->when, *end = c;

	while (end < c + CONDITIONS_MAX && end->is != ALWAYS)
		end++;
	for (; c < end; c++) {
		int holds = c + 1 < end ? NEXT : refusal(a, rule->code);
		uint16_t test = c->is == HAS_ANY_OF ? BPF_JSET : BPF_JEQ;

		if (loaded != (int)c->argument)
			put(a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)ARGUMENT(c->argument), NEXT,
			    NEXT);
		loaded = (int)c->argument;
		put(a, BPF_JMP | test | BPF_K, c->value, c->is == IS_NOT ? otherwise : holds,
		    c->is == IS_NOT ? holds : otherwise);
	}
}

/* All rules of one call. */
static void put_block(struct assembly *a, const struct program_rule *rule, size_t count)
{
	int loaded = -1;

	for (; count > 0; count--, rule++) {
		int otherwise = count > 1 ? new_label(a) : ALLOW;

		put_rule(a, rule, loaded, otherwise);
		if (count > 1)
			put_label(a, otherwise);
		loaded = left_loaded(rule->when);
	}
}

static size_t count_same(const struct program_rule *rule, size_t count)
{
	size_t same = 1;

	while (same < count && rule[same].number == rule->number)
		same++;
	return same;
}

/* One that always refuses decides. NULL: it depends on the arguments. */
static const struct program_rule *unconditional(const struct program_rule *rule, size_t count)
{
	for (; count > 0; count--, rule++)
		if (rule->when->is == ALWAYS)
			return rule;
	return NULL;
}

static void add_item(struct assembly *a, uint32_t number, int label)
{
	struct item *last = a->item_count ? &a->items[a->item_count - 1] : NULL;

	if (last && last->last + 1 == number && last->label == label)
		last->last = number;
	else
		a->items[a->item_count++] = (struct item){number, number, label};
}

/* The label of each call's block, in order. */
static void find_items(struct assembly *a, const struct program_rule *rules, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t same = count_same(&rules[i], count - i);
		const struct program_rule *always = unconditional(&rules[i], same);

		add_item(a, rules[i].number, always ? refusal(a, always->code) : new_label(a));
		i += same;
	}
}

static void put_blocks(struct assembly *a, const struct program_rule *rules, size_t count)
{
	const struct item *item = a->items;

	for (size_t i = 0; i < count;) {
		size_t same = count_same(&rules[i], count - i);

		while (item->last < rules[i].number)
			item++;
		if (!unconditional(&rules[i], same)) {
			put_label(a, item->label);
			put_block(a, &rules[i], same);
		}
		i += same;
	}
}

static void put_answers(struct assembly *a)
{
	put_label(a, ALLOW);
	put(a, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, NEXT, NEXT);
	for (size_t code = 0; code < COUNT(a->refusal); code++) {
		if (!a->refusal[code])
			continue;
		put_label(a, a->refusal[code]);
		put(a, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code, NEXT, NEXT);
	}
}

static uint8_t distance(const struct assembly *a, size_t from, int label)
{
	size_t far = label == NEXT ? 0 : a->place[label] - from - 1;

	assert(far <= UINT8_MAX);
	return (uint8_t)far;
}

static void resolve(struct assembly *a)
{
	for (size_t i = COUNT(prologue); i < a->out->count; i++) {
		a->out->code[i].jt = distance(a, i, a->jt[i]);
		a->out->code[i].jf = distance(a, i, a->jf[i]);
	}
}

/* By number; those of one call keep their order. */
static void sort(struct program_rule *rules, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct program_rule rule = rules[i];
		size_t at = i;

		for (; at > 0 && rules[at - 1].number > rule.number; at--)
			rules[at] = rules[at - 1];
		rules[at] = rule;
	}
}

void program_make(struct program_rule *rules, size_t count, struct program *out)
{
	struct assembly a = {.out = out, .labels = FIRST_FREE};

	out->count = COUNT(prologue);
	memcpy(out->code, prologue, sizeof(prologue));
	sort(rules, count);
	find_items(&a, rules, count);
	put_tree(&a, a.items, a.item_count);
	put_blocks(&a, rules, count);
	put_answers(&a);
	resolve(&a);
}

void program_ask(struct sock_filter *code, size_t count)
{
	for (size_t i = COUNT(prologue); i < count; i++)
		if (code[i].code == (BPF_RET | BPF_K) &&
		    (code[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
		    (code[i].k & SECCOMP_RET_DATA))
			code[i].k = SECCOMP_RET_USER_NOTIF;
}
