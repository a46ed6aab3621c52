/* The system call filter's programs, run by a small interpreter as the kernel runs them. */
#include "sandbox/filter.h"
#include "sandbox/filter_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

#if defined(__x86_64__)
#define HERE AUDIT_ARCH_X86_64
#else
#define HERE AUDIT_ARCH_AARCH64
#endif
#define X32    0x40000000
#define HIGH   0x100000000ULL
#define LATEST 469

#define ERROR(code) (SECCOMP_RET_ERRNO | (uint32_t)(code))

static bool holds(const struct sock_filter *at, uint32_t a)
{
	switch (BPF_OP(at->code)) {
	case BPF_JEQ:
		return a == at->k;
	case BPF_JGT:
		return a > at->k;
	case BPF_JGE:
		return a >= at->k;
	case BPF_JSET:
		return a & at->k;
	default:
		fail_msg("jump %x", at->code);
		return false;
	}
}

static uint32_t run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned pc = 0; pc < program->len; pc++) {
		const struct sock_filter *at = &program->filter[pc];

		if (BPF_CLASS(at->code) == BPF_RET)
			return at->k;
		if (at->code == (BPF_LD | BPF_W | BPF_ABS))
			memcpy(&a, (const char *)data + at->k, sizeof(a));
		else if (at->code == (BPF_JMP | BPF_JA))
			pc += at->k;
		else if (BPF_CLASS(at->code) == BPF_JMP)
			pc += holds(at, a) ? at->jt : at->jf;
		else
			fail_msg("instruction %x", at->code);
	}
	fail_msg("the program has no end");
	return 0;
}

static const struct filter *get(enum sandbox_profile profile, unsigned more)
{
	const struct filter *f = NULL;

	assert_int_equal(filter_get(profile, more, &f, NULL), 0);
	return f;
}

static uint32_t answer(enum sandbox_profile profile, unsigned more, int number, uint64_t a,
		       uint64_t b, uint64_t c, uint64_t d)
{
	const struct seccomp_data data = {.nr = number, .arch = HERE, .args = {a, b, c, d}};

	return run(&get(profile, more)->quiet, &data);
}

static void arguments_decide(void **state)
{
	static const struct {
		enum sandbox_profile profile;
		unsigned more;
		int number;
		uint64_t args[4];
		uint32_t answer;
	} calls[] = {
		{SANDBOX_CI, 0, SYS_clone, {SIGCHLD}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_clone, {SIGCHLD | CLONE_NEWUSER}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_clone, {CLONE_NEWCGROUP | CLONE_VM}, ERROR(EPERM)},
		{SANDBOX_NESTED, 0, SYS_clone, {CLONE_NEWUSER}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, 0, SYS_unshare, {CLONE_NEWCGROUP}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, FILTER_CGROUPS, SYS_unshare, {CLONE_NEWCGROUP}, ERROR(EPERM)},
		{SANDBOX_NESTED, FILTER_CGROUPS, SYS_unshare, {CLONE_NEWUSER}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED,
		 FILTER_CGROUPS | FILTER_SETID,
		 SYS_clone,
		 {CLONE_NEWCGROUP | CLONE_NEWUSER},
		 ERROR(EPERM)},
		{SANDBOX_CI, FILTER_CGROUPS, SYS_clone, {CLONE_NEWUSER}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_setrlimit, {RLIMIT_CORE}, ERROR(0)},
		{SANDBOX_CI, 0, SYS_setrlimit, {RLIMIT_NOFILE}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, 0, SYS_prlimit64, {0, RLIMIT_CORE, 0, 1}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, 0, SYS_prlimit64, {0, RLIMIT_CORE, 1, 0}, ERROR(0)},
		{SANDBOX_STRICT, 0, SYS_prlimit64, {0, RLIMIT_CORE, HIGH, 1}, ERROR(0)},
		{SANDBOX_CI, 0, SYS_prlimit64, {0, RLIMIT_AS, HIGH + 1, 1}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_FIRST, SYS_prlimit64, {1, RLIMIT_AS, 1}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_FIRST, SYS_prlimit64, {2, RLIMIT_CORE, 1}, ERROR(0)},
		{SANDBOX_CI, 0, SYS_unshare, {CLONE_FILES}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_unshare, {0x80}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_seccomp, {1, 0}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_seccomp, {1, 1 | 8}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_socket, {AF_INET6, SOCK_STREAM, 0}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_socket, {AF_NETLINK, SOCK_RAW, 9}, SECCOMP_RET_ALLOW},
		{SANDBOX_STRICT, 0, SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, SECCOMP_RET_ALLOW},
		{SANDBOX_STRICT, 0, SYS_socket, {AF_NETLINK, SOCK_RAW, 9}, ERROR(EAFNOSUPPORT)},
		{SANDBOX_NESTED, 0, SYS_socket, {AF_PACKET}, ERROR(EAFNOSUPPORT)},
		{SANDBOX_NESTED, 0, SYS_socket, {AF_VSOCK}, ERROR(EAFNOSUPPORT)},
		{SANDBOX_CI, 0, SYS_socket, {AF_ALG | HIGH}, ERROR(EAFNOSUPPORT)},
		{SANDBOX_CI, 0, SYS_ioctl, {0, TCGETS}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, 0, SYS_ioctl, {0, TIOCSTI}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_ioctl, {0, TIOCSTI | HIGH}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_ioctl, {0, TIOCLINUX}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_personality, {0xffffffff}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_personality, {ADDR_NO_RANDOMIZE}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_personality, {READ_IMPLIES_EXEC}, ERROR(EPERM)},
		{SANDBOX_CI, 0, SYS_fchmodat, {0, 0, 04755}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_SETID, SYS_fchmodat, {0, 0, 0755}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_SETID, SYS_fchmodat, {0, 0, 02755}, ERROR(EPERM)},
		/* Without O_CREAT the mode is whatever stood in the register. */
		{SANDBOX_CI, FILTER_SETID, SYS_openat, {0, 0, O_WRONLY, 06777}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_SETID, SYS_openat, {0, 0, O_CREAT, 0644}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_SETID, SYS_openat, {0, 0, O_CREAT, 04644}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_SETID, SYS_openat, {0, 0, O_TMPFILE, 02644}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_SETID, SYS_openat2, {0}, ERROR(ENOSYS)},
		{SANDBOX_CI, 0, SYS_openat2, {0}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, FILTER_SETID, SYS_setxattr, {0}, ERROR(EOPNOTSUPP)},
		{SANDBOX_NESTED, FILTER_SETID, SYS_fsetxattr, {0}, ERROR(EOPNOTSUPP)},
		{SANDBOX_NESTED, FILTER_SETID, 463, {0}, ERROR(ENOSYS)},
		{SANDBOX_NESTED, 0, SYS_setxattr, {0}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_FIRST, SYS_prlimit64, {1}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_FIRST, SYS_prlimit64, {0}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, FILTER_FIRST, SYS_setpriority, {0, 1}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_ALL, SYS_setpriority, {0, 12}, SECCOMP_RET_ALLOW},
		{SANDBOX_CI, 0, SYS_prlimit64, {1}, SECCOMP_RET_ALLOW},
		{SANDBOX_NESTED, FILTER_ALL, SYS_prlimit64, {1}, ERROR(EPERM)},
		{SANDBOX_CI, FILTER_SETID, SYS_setxattr, {0}, SECCOMP_RET_ALLOW},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		uint32_t got =
			answer(calls[i].profile, calls[i].more, calls[i].number, calls[i].args[0],
			       calls[i].args[1], calls[i].args[2], calls[i].args[3]);

		if (got != calls[i].answer)
			fail_msg("call %zu of the table: %#x", i, got);
	}
}

static void profiles_widen(void **state)
{
	unsigned denied[SANDBOX_NESTED + 1] = {0};

	(void)state;
	for (int number = 0; number <= LATEST; number++) {
		bool before = false;

		for (int profile = SANDBOX_STRICT; profile <= SANDBOX_NESTED; profile++) {
			bool allowed = answer((enum sandbox_profile)profile, 0, number, 0, 0, 0,
					      0) == SECCOMP_RET_ALLOW;

			denied[profile] += !allowed;
			assert_true(allowed || !before);
			before = allowed;
		}
	}
	assert_true(denied[SANDBOX_STRICT] > denied[SANDBOX_CI]);
	assert_true(denied[SANDBOX_CI] > denied[SANDBOX_NESTED]);
	assert_true(denied[SANDBOX_NESTED] > 20);
}

static void what_the_list_does_not_know_is_not_there(void **state)
{
	const struct seccomp_data strangers[] = {
		{.nr = LATEST + 1, .arch = HERE},       {.nr = -1, .arch = HERE},
		{.nr = SYS_getpid | X32, .arch = HERE}, {.nr = 20, .arch = AUDIT_ARCH_I386},
		{.nr = SYS_clone3, .arch = HERE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		for (int profile = SANDBOX_STRICT; profile <= SANDBOX_NESTED; profile++) {
			const struct filter *f = get((enum sandbox_profile)profile, 0);

			assert_int_equal(run(&f->quiet, &strangers[i]), ERROR(ENOSYS));
			assert_int_equal(run(&f->loud, &strangers[i]), ERROR(ENOSYS));
		}
}

/* The caller is asked, answers with the same errno, and can name the call. */
static void the_loud_program_asks_where_the_quiet_one_refuses(void **state)
{
	const struct filter *f = get(SANDBOX_STRICT, FILTER_ALL);
	char name[64];

	(void)state;
	for (int number = 0; number <= LATEST; number++) {
		const struct seccomp_data data = {
			.nr = number, .arch = HERE, .args = {0x7fffffff, 06000, 06000, 06000}};
		uint32_t quiet = run(&f->quiet, &data);

		if (quiet == SECCOMP_RET_ALLOW || number == SYS_clone3) {
			assert_int_equal(run(&f->loud, &data), quiet);
			continue;
		}
		assert_int_equal(run(&f->loud, &data), SECCOMP_RET_USER_NOTIF);
		assert_int_equal(ERROR(filter_errno(number)), quiet);
		filter_name(number, name, sizeof(name));
		assert_null(strstr(name, "syscall "));
		assert_non_null(filter_hint(number));
	}
}

static bool applies(const struct program_rule *rule, const struct seccomp_data *data)
{
	for (const struct condition *c = rule->when; c < rule->when + CONDITIONS_MAX; c++) {
		uint32_t value = (uint32_t)data->args[c->argument];

		if (c->is == ALWAYS)
			break;
		if ((c->is == IS && value != c->value) || (c->is == IS_NOT && value == c->value) ||
		    (c->is == HAS_ANY_OF && !(value & c->value)))
			return false;
	}
	return rule->number == (uint32_t)data->nr;
}

#define RULES 40

struct drawn {
	struct condition when[RULES][CONDITIONS_MAX];
	struct program_rule rules[RULES], sorted[RULES];
};

/* Few numbers, so that calls have several rules, and runs of them one answer. */
static void draw(struct drawn *d)
{
	memset(d, 0, sizeof(*d));
	for (int i = 0; i < RULES; i++) {
		uint32_t number = (uint32_t)rand() % 40;

		for (int c = rand() % (CONDITIONS_MAX + 1); number % 3 == 0 && c-- > 0;) {
			d->when[i][c].is = HAS_ANY_OF + (unsigned)rand() % 3;
			d->when[i][c].argument = (unsigned)rand() % 3;
			d->when[i][c].value = (uint32_t)rand() % 4;
		}
		d->rules[i] = (struct program_rule){number, EPERM, d->when[i]};
		if (number % 3)
			d->rules[i].code = number % 4 ? ENOSYS : EACCES;
	}
	memcpy(d->sorted, d->rules, sizeof(d->rules));
}

static void a_program_does_what_its_rules_say(void **state)
{
	static struct drawn d;
	static struct program p;

	(void)state;
	srand(1);
	for (int round = 0; round < 200; round++) {
		draw(&d);
		program_make(d.sorted, RULES, &p);
		for (int i = 0; i < 2000; i++) {
			const struct seccomp_data data = {
				.nr = rand() % 44,
				.arch = HERE,
				.args = {(uint64_t)rand() % 5, (uint64_t)rand() % 5, 1}};
			const struct sock_fprog program = {.len = (unsigned short)p.count,
							   .filter = p.code};
			uint32_t wanted = SECCOMP_RET_ALLOW;

			for (int r = 0; r < RULES; r++)
				if (applies(&d.rules[r], &data))
					wanted = ERROR(d.rules[r].code);
			assert_int_equal(run(&program, &data), wanted);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_decide),
		cmocka_unit_test(profiles_widen),
		cmocka_unit_test(what_the_list_does_not_know_is_not_there),
		cmocka_unit_test(a_program_does_what_its_rules_say),
		cmocka_unit_test(the_loud_program_asks_where_the_quiet_one_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
