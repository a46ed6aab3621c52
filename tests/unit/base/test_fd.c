#include "tests/unit/base/check.h"

#include "base/fd.h"
#include "base/owned.h"

#include <dirent.h>

static int count_entries(int dir)
{
	DIR *list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int count = 0;

	while (readdir(list))
		count++;
	(void)closedir(list);
	return count - 2;
}

static void a_file_is_replaced_whole(void **state)
{
	const struct scratch *s = *state;
	owned_buffer now = {0};
	struct stat before, after;

	assert_int_equal(fd_replace_file(s->fd, "a", "old", 3, 0644), 0);
	assert_int_equal(fstatat(s->fd, "a", &before, 0), 0);
	assert_int_equal(fd_replace_file(s->fd, "a", "new!", 4, 0600), 0);
	assert_int_equal(fstatat(s->fd, "a", &after, 0), 0);
	assert_int_not_equal(before.st_ino, after.st_ino); /* nobody can read half of it */
	assert_int_equal(after.st_mode & 07777, 0600);
	assert_int_equal(fd_read_file(s->fd, "a", 100, &now), 0);
	assert_string_equal(now.data, "new!");
	assert_int_equal(count_entries(s->fd), 1);
}

static void an_open_reader_keeps_the_old_content(void **state)
{
	const struct scratch *s = *state;
	owned_fd reader = -1;
	char text[8] = "";

	assert_int_equal(fd_replace_file(s->fd, "a", "old", 3, 0644), 0);
	reader = openat(s->fd, "a", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_replace_file(s->fd, "a", "newer", 5, 0644), 0);
	assert_int_equal(fd_read_all(reader, text, sizeof(text)), 3);
	assert_string_equal(text, "old");
}

static void a_left_over_lends_a_secret_neither_mode_nor_name(void **state)
{
	const struct scratch *s = *state;
	owned_buffer other = {0};
	struct stat st;

	put_file(s->fd, "other", "mine");
	assert_int_equal(linkat(s->fd, "other", s->fd, ".key.new", 0), 0);
	assert_int_equal(fd_replace_file(s->fd, "key", "secret", 6, 0600), 0);
	assert_int_equal(fstatat(s->fd, "key", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fd_read_file(s->fd, "other", 100, &other), 0);
	assert_string_equal(other.data, "mine");
}

static void a_failed_replacement_leaves_the_old_file_alone(void **state)
{
	const struct scratch *s = *state;

	assert_int_equal(mkdirat(s->fd, "a", 0755), 0);
	assert_int_equal(fd_replace_file(s->fd, "a", "x", 1, 0644), -EISDIR);
	assert_int_equal(count_entries(s->fd), 1);
}

static void reading_keeps_to_its_bound(void **state)
{
	const struct scratch *s = *state;
	owned_buffer b = {0};

	put_file(s->fd, "five", "12345");
	assert_int_equal(buffer_append(&b, "0", 1), 0);
	assert_int_equal(fd_read_file(s->fd, "five", 4, &b), -EFBIG);
	assert_string_equal(b.data, "0");
	assert_int_equal(fd_read_file(s->fd, "five", 5, &b), 0);
	assert_string_equal(b.data, "012345");
}

static void only_regular_files_are_read(void **state)
{
	const struct scratch *s = *state;
	owned_buffer b = {0};

	put_file(s->fd, "real", "x");
	assert_int_equal(symlinkat("real", s->fd, "link"), 0);
	assert_int_equal(mkfifoat(s->fd, "pipe", 0644), 0);
	assert_int_equal(fd_read_file(s->fd, "link", 9, &b), -ELOOP);
	assert_int_equal(fd_read_file(s->fd, "pipe", 9, &b),
			 -EINVAL); /* and doesn't wait for a writer */
	assert_int_equal(fd_read_file(s->fd, ".", 9, &b), -EINVAL);
	assert_int_equal(fd_read_file(s->fd, "none", 9, &b), -ENOENT);
	assert_null(b.data);
}

static void an_empty_file_is_an_empty_string(void **state)
{
	const struct scratch *s = *state;
	owned_buffer b = {0};

	put_file(s->fd, "empty", "");
	assert_int_equal(fd_read_file(s->fd, "empty", 0, &b), 0);
	assert_string_equal(b.data, "");
}

static void a_path_is_made_with_the_mode_of_its_last_part(void **state)
{
	const struct scratch *s = *state;
	char path[128];
	struct error e = {0};
	struct stat st;
	owned_fd fd = -1, again = -1;

	(void)snprintf(path, sizeof(path), "%s/a//b/c//", s->path);
	fd = fd_make_path(path, 0700, &e);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(s->fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	again = fd_make_path(path, 0700, &e);
	assert_true(again >= 0);
}

static void a_path_through_a_file_is_an_error_that_names_it(void **state)
{
	const struct scratch *s = *state;
	struct error e = {0};
	char path[128];

	put_file(s->fd, "file", "");
	(void)snprintf(path, sizeof(path), "%s/file/x", s->path);
	assert_int_equal(fd_make_path(path, 0700, &e), -ENOTDIR);
	assert_non_null(strstr(e.text, "/file/x: Not a directory"));
	assert_int_equal(fd_make_path("", 0700, &e), -ENOENT);
}

static int try_lock(void *with)
{
	int fd = fd_lock(((struct scratch *)with)->fd, "lock");

	return fd == -EWOULDBLOCK ? 1 : fd < 0 ? 2 : 0;
}

static void a_lock_excludes_others_until_it_is_closed(void **state)
{
	struct scratch *s = *state;
	int fd = fd_lock(s->fd, "lock");

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fd_lock(s->fd, "lock"), -EWOULDBLOCK); /* this process included */
	assert_int_equal(in_child(try_lock, s), 1);
	(void)close(fd);
	assert_int_equal(in_child(try_lock, s), 0);
	assert_int_equal(in_child(try_lock, s), 0); /* the dead child holds nothing */
}

static void a_full_pipe_tells_instead_of_blocking(void **state)
{
	static char bytes[1 << 20];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fd_set_nonblocking(ends[1]), 0);
	assert_int_equal(fd_write_all(ends[1], bytes, sizeof(bytes)), -EAGAIN);
	(void)close(ends[1]);
	(void)close(ends[0]);
	assert_int_equal(fd_set_nonblocking(-1), -EBADF);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scratch_start, scratch_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_file_is_replaced_whole),
		CASE(an_open_reader_keeps_the_old_content),
		CASE(a_left_over_lends_a_secret_neither_mode_nor_name),
		CASE(a_failed_replacement_leaves_the_old_file_alone),
		CASE(reading_keeps_to_its_bound),
		CASE(only_regular_files_are_read),
		CASE(an_empty_file_is_an_empty_string),
		CASE(a_path_is_made_with_the_mode_of_its_last_part),
		CASE(a_path_through_a_file_is_an_error_that_names_it),
		CASE(a_lock_excludes_others_until_it_is_closed),
		cmocka_unit_test(a_full_pipe_tells_instead_of_blocking),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
