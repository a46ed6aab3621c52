#include "rig.h"

#define SECRET "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void addresses_of_both_kinds(void **state)
{
	static const struct {
		const char *text, *path, *host, *port;
	} good[] = {
		{"unix:/run/cupel.sock", "/run/cupel.sock", "", ""},
		{"unix:relative", "relative", "", ""},
		{"box", "", "box", "8888"},
		{"box:1", "", "box", "1"},
		{"10.0.0.1:65535", "", "10.0.0.1", "65535"},
		{"[::1]", "", "::1", "8888"},
		{"[fe80::1%eth0]:9", "", "fe80::1%eth0", "9"},
		{"127.0.0.1:0", "", "127.0.0.1", "0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct link_address a;
		struct error err = {0};

		if (link_address_parse(good[i].text, &a, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(a.path, good[i].path);
		assert_string_equal(a.host, good[i].host);
		assert_string_equal(a.port, good[i].port);
	}
}

static void what_is_no_address_is_told(void **state)
{
	static const char *const bad[] = {
		"",
		"unix:",
		":8888",
		"box:",
		"box:x",
		"box:65536",
		"box:123456",
		"::1",
		"a:b:c",
		"[::1",
		"[::1]x",
		"[]",
		"a b",
		"box:-1",
		"unix",
		"http://box",
		"[[x]",
		"u@box:1",
		"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct link_address a = {.port = "77"};
		struct error err = {0};

		assert_int_equal(link_address_parse(bad[i], &a, &err), -EINVAL);
		assert_true(*err.text);
		assert_string_equal(a.port, "77"); /* written on success only */
	}
}

static void addresses_are_written_as_they_are_read(void **state)
{
	static const char *const texts[] = {"unix:/a/b", "box:8888", "[::1]:1"};
	char again[64];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct link_address a;

		assert_int_equal(link_address_parse(texts[i], &a, NULL), 0);
		link_address_format(&a, again, sizeof(again));
		assert_string_equal(again, texts[i]);
	}
}

static void a_token_goes_both_ways(void **state)
{
	const char *text = "cupel1:box-1:" SECRET ":[::1]:9000";
	struct link_token token;
	char again[400];

	(void)state;
	assert_int_equal(link_token_parse(text, &token, NULL), 0);
	assert_string_equal(token.name, "box-1");
	assert_string_equal(token.address.host, "::1");
	for (unsigned i = 0; i < LINK_SECRET; i++)
		assert_int_equal(token.secret[i], i);
	assert_int_equal(link_token_format(&token, again, sizeof(again)), 0);
	assert_string_equal(again, text);
	assert_int_equal(link_token_format(&token, again, 20), -ENAMETOOLONG);
}

static void a_damaged_token_is_told_without_its_secret(void **state)
{
	static const char *const bad[] = {
		"",
		"cupel2:a:" SECRET ":h:1",
		"cupel1::" SECRET ":h:1",
		"cupel1:a",
		"cupel1:a:" SECRET,
		"cupel1:a:0" SECRET ":h:1",
		"cupel1:a:zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f:h:1",
		"cupel1:a:000102030405:h:1",
		"cupel1:a:" SECRET ":unix:/x",
		"cupel1:a:" SECRET ":h:x",
		"cupel1:a\n:" SECRET ":h:1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct link_token token;
		struct error err = {0};

		assert_int_equal(link_token_parse(bad[i], &token, &err), -EINVAL);
		assert_true(*err.text);
		assert_null(strstr(err.text, "0102030405"));
	}
}

static void write_token(struct rig *r, char *path, size_t size, mode_t mode)
{
	const char text[] = "cupel1:box-1:" SECRET ":box:1\n";
	int fd;

	(void)snprintf(path, size, "%s/token", r->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_token_file_is_its_owners_alone(void **state)
{
	struct rig *r = *state;
	struct link_token token;
	struct error err = {0};
	char path[128];

	write_token(r, path, sizeof(path), 0600);
	if (link_token_read(path, &token, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(token.name, "box-1");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(link_token_read(path, &token, &err), -EPERM);
	assert_non_null(strstr(err.text, "chmod 600"));
	unlink(path);
	assert_int_equal(link_token_read(path, &token, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_both_kinds),
		cmocka_unit_test(what_is_no_address_is_told),
		cmocka_unit_test(addresses_are_written_as_they_are_read),
		cmocka_unit_test(a_token_goes_both_ways),
		cmocka_unit_test(a_damaged_token_is_told_without_its_secret),
		cmocka_unit_test_setup_teardown(a_token_file_is_its_owners_alone, rig_setup,
						rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
