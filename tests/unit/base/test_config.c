#include "tests/unit/base/check.h"

#include "base/buffer.h"
#include "base/config.h"

static struct config *parse(const char *text)
{
	struct config *root = NULL;
	struct error e = {0};

	if (config_parse("f", text, strlen(text), &root, &e) < 0)
		fail_msg("%s", e.text);
	return root;
}

struct refusal {
	const char *text;
	const char *complaint; /* it begins so */
};

static void refused(const void *bytes, size_t length, const char *complaint)
{
	struct config *root = NULL;
	struct error e = {0};
	int rc = config_parse("f", bytes, length, &root, &e);

	assert_null(root);
	assert_int_equal(rc, -EINVAL);
	if (strncmp(e.text, complaint, strlen(complaint)) != 0)
		fail_msg("%.*s\nsays:     %s\nexpected: %s", (int)length, (const char *)bytes,
			 e.text, complaint);
}

static void a_tree_has_kinds_texts_and_places(void **state)
{
	owned(config) *root = parse("# head\nname: \xc3\xa9t\xc3\xa9\nlist:\n  - 1\n  - \"8\"\n"
				    "map: {a: , \"b c\": x}\nblock: |\n  one\n  two\n");
	const struct config *list = config_get(root, "list"), *map = config_get(root, "map");

	(void)state;
	assert_int_equal(root->kind, CONFIG_MAP);
	assert_int_equal(root->count, 4);
	assert_null(root->key);
	assert_string_equal(config_get(root, "name")->text, "\xc3\xa9t\xc3\xa9");
	assert_int_equal(config_get(root, "name")->line, 2);
	assert_int_equal(config_get(root, "name")->column, 7);
	assert_int_equal(config_get(root, "name")->key_column, 1);
	assert_int_equal(list->kind, CONFIG_LIST);
	assert_int_equal(list->count, 2);
	assert_int_equal(list->key_line, 3);
	assert_null(list->first->key);
	assert_false(list->first->quoted);
	assert_true(list->first->next->quoted);
	assert_int_equal(list->first->next->line, 5);
	assert_string_equal(config_get(map, "a")->text, "");
	assert_string_equal(config_get(map, "b c")->text, "x");
	assert_true(config_get(root, "block")->quoted);
	assert_string_equal(config_get(root, "block")->text, "one\ntwo\n");
	assert_null(config_get(root, "none"));
	assert_null(config_get(list, "none"));
}

static void a_file_of_nothing_is_an_empty_map(void **state)
{
	static const char *const texts[] = {"",           "\n\n",         "# remark\n", "---\n",
					    "---\n...\n", "\xef\xbb\xbf", "{}"};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		owned(config) *root = parse(texts[i]);

		assert_int_equal(root->kind, CONFIG_MAP);
		assert_int_equal(root->count, 0);
	}
}

static void what_surprises_is_refused_with_its_place(void **state)
{
	static const struct refusal refusals[] = {
		{"a: &x 1\n", "f:1:4: anchors"},
		{"a: &x [1]\n", "f:1:4: anchors"},
		{"a: &x {}\n", "f:1:4: anchors"},
		{"&x a: 1\n", "f:1:1: anchors"},
		{"a: 1\nb: *a\n", "f:2:4: aliases"},
		{"<<: *a\n", "f:1:5: aliases"},
		{"*a : 1\n", "f:1:1: a name"},
		{"a: !!str 1\n", "f:1:4: tags"},
		{"a: ! 1\n", "f:1:4: tags"},
		{"a: !x [1]\n", "f:1:4: tags"},
		{"!x {}\n", "f:1:1: tags"},
		{"%YAML 1.1\n---\na: 1\n", "f:1:1: directives"},
		{"%TAG ! tag:x,2000:\n---\na: 1\n", "f:1:1: directives"},
		{"a: 1\nb: 2\na: 3\n", "f:3:1: 'a' stands here a second time, after line 1"},
		{"{a: 1, \"a\": 2}\n", "f:1:8: 'a' stands here a second time"},
		{"a: 1\n---\nb: 1\n", "f:2:1: a second document"},
		{"a: 1\n...\n---\nb: 1\n", "f:3:1: a second document"},
		{"[a]: 1\n", "f:1:1: a name"},
		{"? {a: 1}\n: 1\n", "f:1:3: a name"},
		{"\"\": 1\n", "f:1:1: a name"},
		{": 1\n", "f:1:1: "},
		{"\"a\\nb\": 1\n", "f:1:1: a name"},
		{"? |\n  a\n: 1\n", "f:1:3: a name"},
		{"a: \"x\\0y\"\n", "f:1:4: a text can't hold a NUL"},
		{"\"a\\0\": y\n", "f:1:1: a text can't hold a NUL"},
		{"a: [1, 2\n", "f:2:1: "},
		{"a: \"x\n", "f:2:1: "},
		{"a:\n\t- b\n", "f:2:1: "},
		{"a: b: c\n", "f:1:5: "},
		{"a: \x01\n", "f:1:4: a control character (0x01)"},
		{"a: b\x7f\n", "f:1:5: a control character (0x7f)"},
		{"a: 1\nb: \xc3\xa9\xff\n", "f:2:5: this is not UTF-8 text (byte 0xff)"},
		{"\xc0\xaf", "f:1:1: this is not UTF-8"},
		{"\xed\xa0\x80", "f:1:1: this is not UTF-8"},
		{"\xf4\x90\x80\x80", "f:1:1: this is not UTF-8"},
		{"ab\xe2\x82", "f:1:3: this is not UTF-8"},
		{"\xff\xfe"
		 "a",
		 "f:1:1: this is not UTF-8"},
	};
	struct config *root = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		refused(refusals[i].text, strlen(refusals[i].text), refusals[i].complaint);
	refused("a: b\0c", 6, "f:1:5: a control character (0x00)");
	assert_int_equal(config_parse("f", "a: *b", 5, &root, NULL), -EINVAL); /* nobody listens */
}

static struct buffer nested(int levels)
{
	struct buffer b = {0};

	for (int i = 0; i < levels; i++)
		assert_int_equal(buffer_append(&b, "[", 1), 0);
	for (int i = 0; i < levels; i++)
		assert_int_equal(buffer_append(&b, "]", 1), 0);
	return b;
}

static void depth_has_a_bound(void **state)
{
	owned_buffer most = nested(CONFIG_DEPTH_MAX), more = nested(CONFIG_DEPTH_MAX + 1);
	owned_buffer far = nested(100000);
	owned(config) *root = parse(most.data);

	(void)state;
	assert_non_null(root);
	refused(more.data, more.length, "f:1:17: more than 16 levels");
	refused(far.data, far.length, "f:1:17: more than 16 levels");
}

static void the_number_of_values_has_a_bound(void **state)
{
	owned_buffer b = {0};
	owned(config) *root = NULL;

	(void)state;
	for (int i = 1; i < CONFIG_NODES_MAX; i++)
		assert_int_equal(buffer_printf(&b, "k%d: 1\n", i), 0);
	root = parse(b.data);
	assert_int_equal(root->count, CONFIG_NODES_MAX - 1);
	assert_int_equal(buffer_append(&b, "last: 1\n", 8), 0);
	refused(b.data, b.length, "f:20000:7: more than 20000 values");
}

static void a_misspelled_key_is_told_its_neighbour(void **state)
{
	static const char *const known[] = {"timeout", "memory", NULL};
	owned(config) *good = parse("memory: 1\ntimeout: 2\n");
	owned(config) *bad = parse("memory: 1\ntimout:\n  - 2\n");
	owned(config) *far = parse("bananas\xc3\xa9: 1\n");
	owned(config) *list = parse("[a]");
	struct error e = {0};

	(void)state;
	assert_int_equal(config_check_keys("f", good, known, &e), 0);
	assert_int_equal(config_check_keys("f", bad, known, &e), -EINVAL);
	assert_string_equal(e.text, "f:2:1: unknown key 'timout'; did you mean 'timeout'?");
	assert_int_equal(config_check_keys("f", far, known, &e), -EINVAL);
	assert_string_equal(e.text,
			    "f:1:1: unknown key 'bananas\xc3\xa9'; known are: timeout, memory");
	assert_int_equal(config_check_keys("f", list, known, &e), -EINVAL);
	assert_string_equal(e.text, "f:1:1: expected a map (NAME: VALUE), not a list");
}

static void a_strangers_key_is_shown_in_part(void **state)
{
	static const char *const known[] = {"a", NULL};
	owned_buffer b = {0};
	owned(config) *root = NULL;
	struct error e = {0};

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(buffer_append(&b, "\xc3\xa9", 2), 0);
	assert_int_equal(buffer_append(&b, ": 1", 3), 0);
	root = parse(b.data);
	assert_int_equal(config_check_keys("f", root, known, &e), -EINVAL);
	assert_true(strlen(e.text) < 120);
	assert_non_null(strstr(e.text, "\xc3\xa9...'"));
}

static void values_are_read_by_their_type(void **state)
{
	owned(config) *root =
		parse("s: text\nb: true\nc: 12\nm: 512M\nt: 1h30m\np: 1.5\nn: \"\"\n");
	const char *text;
	bool flag = false;
	uint64_t n;

	(void)state;
	assert_int_equal(config_as_string("f", config_get(root, "s"), &text, NULL), 0);
	assert_string_equal(text, "text");
	assert_int_equal(config_as_string("f", config_get(root, "n"), &text, NULL), 0);
	assert_string_equal(text, "");
	assert_int_equal(config_as_bool("f", config_get(root, "b"), &flag, NULL), 0);
	assert_true(flag);
	assert_int_equal(config_as_count("f", config_get(root, "c"), 12, 12, &n, NULL), 0);
	assert_int_equal(n, 12);
	assert_int_equal(config_as_size("f", config_get(root, "m"), &n, NULL), 0);
	assert_int_equal(n, 512 << 20);
	assert_int_equal(config_as_time("f", config_get(root, "t"), &n, NULL), 0);
	assert_int_equal(n, 5400000);
	assert_int_equal(config_as_milli("f", config_get(root, "p"), &n, NULL), 0);
	assert_int_equal(n, 1500);
}

/* `how` reads v; the sentence behind the place is `complaint`. */
static void unreadable(const char *text, char how, const char *complaint)
{
	owned(config) *root = parse(text);
	const struct config *v = config_get(root, "v");
	struct error e = {0};
	const char *s;
	uint64_t n = 4711;
	bool flag = true;
	int rc = how == 's'   ? config_as_string("f", v, &s, &e)
		 : how == 'b' ? config_as_bool("f", v, &flag, &e)
		 : how == 'c' ? config_as_count("f", v, 1, 99, &n, &e)
		 : how == 'm' ? config_as_size("f", v, &n, &e)
		 : how == 't' ? config_as_time("f", v, &n, &e)
			      : config_as_milli("f", v, &n, &e);

	assert_int_equal(rc, -EINVAL);
	assert_int_equal(n, 4711);
	assert_string_equal(e.text, complaint);
}

static void a_wrong_value_is_told_what_was_expected(void **state)
{
	(void)state;
	unreadable("v:", 's', "f:1:3: 'v': expected a text, not nothing");
	unreadable("v: [1]", 's', "f:1:4: 'v': expected a text, not a list");
	unreadable("v: yes", 'b', "f:1:4: 'v': expected true or false, not 'yes'");
	unreadable("v: 'true'", 'b', "f:1:4: 'v': expected true or false, not the quoted 'true'");
	unreadable("v: 0", 'c', "f:1:4: 'v': expected a whole number from 1 to 99, not '0'");
	unreadable("v: 100", 'c', "f:1:4: 'v': expected a whole number from 1 to 99, not '100'");
	unreadable("v: 010", 'c', "f:1:4: 'v': expected a whole number from 1 to 99, not '010'");
	unreadable("v: -1", 'c', "f:1:4: 'v': expected a whole number from 1 to 99, not '-1'");
	unreadable("v: 18446744073709551617", 'c',
		   "f:1:4: 'v': expected a whole number from 1 to 99, not '18446744073709551617'");
	unreadable("v: \"8\"", 'c',
		   "f:1:4: 'v': expected a whole number from 1 to 99, not the quoted '8'");
	unreadable("v: {}", 'm', "f:1:4: 'v': expected a size such as 512M, not a map");
	unreadable("v: 16777216T", 'm', "f:1:4: 'v': '16777216T' is too much");
	unreadable("v: soon", 't', "f:1:4: 'v': expected a time such as 90s or 1h30m, not 'soon'");
	unreadable("v: ''", 't', "f:1:4: 'v': expected a time such as 90s or 1h30m, not a text");
	unreadable("v: 0.0001", 'p',
		   "f:1:4: 'v': expected a number such as 2 or 1.5, not '0.0001'");
}

static void a_file_is_read_up_to_a_megabyte(void **state)
{
	const struct scratch *s = *state;
	owned_buffer big = {0};
	char path[96];
	struct config *root = NULL;
	struct error e = {0};

	put_file(s->fd, "good", "a: 1\n");
	(void)snprintf(path, sizeof(path), "%s/good", s->path);
	assert_int_equal(config_read(path, &root, &e), 0);
	config_free(root);
	root = NULL;

	assert_int_equal(buffer_printf(&big, "#%*s", 1 << 20, ""), 0);
	put_file(s->fd, "big", big.data);
	(void)snprintf(path, sizeof(path), "%s/big", s->path);
	assert_int_equal(config_read(path, &root, &e), -EFBIG);
	(void)snprintf(path, sizeof(path), "%s/none", s->path);
	assert_int_equal(config_read(path, &root, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/none: No such file"));
	assert_int_equal(config_read(s->path, &root, &e), -EISDIR);
	assert_null(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_has_kinds_texts_and_places),
		cmocka_unit_test(a_file_of_nothing_is_an_empty_map),
		cmocka_unit_test(what_surprises_is_refused_with_its_place),
		cmocka_unit_test(depth_has_a_bound),
		cmocka_unit_test(the_number_of_values_has_a_bound),
		cmocka_unit_test(a_misspelled_key_is_told_its_neighbour),
		cmocka_unit_test(a_strangers_key_is_shown_in_part),
		cmocka_unit_test(values_are_read_by_their_type),
		cmocka_unit_test(a_wrong_value_is_told_what_was_expected),
		cmocka_unit_test_setup_teardown(a_file_is_read_up_to_a_megabyte, scratch_start,
						scratch_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
