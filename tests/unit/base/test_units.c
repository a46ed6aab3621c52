#include "tests/unit/base/check.h"

#include "base/units.h"

#include <errno.h>

struct claim {
	const char *text;
	int rc;
	uint64_t value;
};

typedef int (*parse_fn)(const char *, uint64_t *);

static void check(parse_fn parse, const struct claim *claims, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 4711;
		int rc = parse(claims[i].text, &value);

		if (rc != claims[i].rc || value != (rc ? 4711 : claims[i].value))
			fail_msg("'%s': %d, %llu", claims[i].text, rc, (unsigned long long)value);
	}
}

#define CHECK(parse, claims) check(parse, claims, sizeof(claims) / sizeof(claims[0]))

static void sizes_are_digits_and_a_power_of_1024(void **state)
{
	static const struct claim claims[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"512B", 0, 512},
		{"1K", 0, 1024},
		{"512M", 0, 512ull << 20},
		{"1GiB", 0, 1ull << 30},
		{"2TB", 0, 2ull << 40},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"16777215T", 0, 16777215ull << 40},
		{"16777216T", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"M", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 M", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
		{"512iB", -EINVAL, 0},
		{"512m", -EINVAL, 0},
		{"1MM", -EINVAL, 0},
		{"1Mi", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1P", -EINVAL, 0},
	};

	(void)state;
	CHECK(units_parse_size, claims);
}

static void times_are_parts_that_get_smaller(void **state)
{
	static const struct claim claims[] = {
		{"90", 0, 90000},
		{"90s", 0, 90000},
		{"250ms", 0, 250},
		{"1h30m", 0, 5400000},
		{"1d1h1m1s1ms", 0, 90061001},
		{"1.5h", 0, 5400000},
		{"0.5", 0, 500},
		{"1m0.25s", 0, 60250},
		{"0", 0, 0},
		{"213503982334d", 0, 213503982334ull * 86400000},
		{"213503982335d", -ERANGE, 0},
		{"213503982334d24h", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"1h30", -EINVAL, 0},
		{"30m1h", -EINVAL, 0},
		{"1h1h", -EINVAL, 0},
		{"1ms1m", -EINVAL, 0},
		{"0.0001s", -EINVAL, 0},
		{"0.5ms", -EINVAL, 0},
		{"1.s", -EINVAL, 0},
		{".5s", -EINVAL, 0},
		{"1.0000000000s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1w", -EINVAL, 0},
		{"1H", -EINVAL, 0},
		{"99999999999999999999s", -ERANGE, 0},
	};

	(void)state;
	CHECK(units_parse_time, claims);
}

static void processors_are_thousandths(void **state)
{
	static const struct claim claims[] = {
		{"1", 0, 1000},
		{"1.5", 0, 1500},
		{"0.001", 0, 1},
		{"2.500000", 0, 2500},
		{"0", 0, 0},
		{"0.0005", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"inf", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"18446744073709551", 0, 18446744073709551000ull},
		{"18446744073709552", -ERANGE, 0},
		{"18446744073709551.616", -ERANGE, 0},
	};

	(void)state;
	CHECK(units_parse_milli, claims);
}

static void sizes_are_written_exactly_or_with_three_digits(void **state)
{
	static const struct claim claims[] = {
		{"0", 0, 0},
		{"1023", 0, 1023},
		{"1K", 0, 1024},
		{"1023K", 0, 1023 << 10},
		{"512M", 0, 512 << 20},
		{"1.50G", 0, 3ull << 29},
		{"1.00K", 0, 1025},
		{"10.0M", 0, (10 << 20) + 1},
		{"100M", 0, (100 << 20) + 1},
		{"16777216T", 0, UINT64_MAX},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		units_format_size(claims[i].value, text, sizeof(text));
		assert_string_equal(text, claims[i].text);
	}
}

static void times_are_written_as_people_say_them(void **state)
{
	static const struct claim claims[] = {
		{"0s", 0, 0},          {"250ms", 0, 250},
		{"999ms", 0, 999},     {"1s", 0, 1000},
		{"1.50s", 0, 1500},    {"12.3s", 0, 12345},
		{"90s", 0, 90000},     {"2m", 0, 120000},
		{"2m5s", 0, 125900},   {"1h30m", 0, 5400000},
		{"1d1h", 0, 90000000}, {"213503982334d14h25m51s", 0, UINT64_MAX},
	};
	char text[24];

	(void)state;
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		units_format_time(claims[i].value, text, sizeof(text));
		assert_string_equal(text, claims[i].text);
	}
}

static void a_short_buffer_is_never_overrun(void **state)
{
	char text[4] = "abc";

	(void)state;
	units_format_time(UINT64_MAX, text, 3);
	assert_string_equal(text, "21");
	units_format_size(UINT64_MAX, text, 3);
	assert_string_equal(text, "16");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_digits_and_a_power_of_1024),
		cmocka_unit_test(times_are_parts_that_get_smaller),
		cmocka_unit_test(processors_are_thousandths),
		cmocka_unit_test(sizes_are_written_exactly_or_with_three_digits),
		cmocka_unit_test(times_are_written_as_people_say_them),
		cmocka_unit_test(a_short_buffer_is_never_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
