#include "cli/repository.h"

#include "base/fd.h"
#include "base/owned.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX 2048 /* bytes of .git/HEAD */

bool repository_is_url(const char *text)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');

	if (strstr(text, "://"))
		return true;
	return colon && colon != text && (!slash || colon < slash);
}

static void set_name(struct repository *r)
{
	size_t length = strlen(r->place), start;

	while (length > 1 && r->place[length - 1] == '/')
		length--;
	if (length > 5 && memcmp(r->place + length - 5, "/.git", 5) == 0)
		length -= 5;
	else if (length > 4 && memcmp(r->place + length - 4, ".git", 4) == 0)
		length -= 4;
	start = length;
	while (start > 0 && r->place[start - 1] != '/' && r->place[start - 1] != ':')
		start--;
	(void)snprintf(r->name, sizeof(r->name), "%.*s", (int)(length - start), r->place + start);
}

static bool exists(const char *folder, const char *name)
{
	char path[PATH_MAX + 16];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name); /* fits: the names are short */
	return stat(path, &st) == 0;
}

/* With a work tree, or bare. */
static bool is_repository(const char *folder)
{
	return exists(folder, ".git") || (exists(folder, "HEAD") && exists(folder, "objects"));
}

static void set_ref(struct repository *r)
{
	static const char mark[] = "ref: ";
	char path[PATH_MAX + 16];
	owned_buffer head = {0};

	(void)snprintf(path, sizeof(path), "%s%s/HEAD", r->place,
		       exists(r->place, ".git") ? "/.git" : "");
	if (fd_read_file(AT_FDCWD, path, HEAD_MAX, &head) < 0)
		return; /* a linked work tree keeps it elsewhere */
	head.data[strcspn(head.data, "\n")] = '\0';
	if (strncmp(head.data, mark, sizeof(mark) - 1) == 0)
		(void)snprintf(r->ref, sizeof(r->ref), "%s", head.data + sizeof(mark) - 1);
}

static int find_around(struct repository *r, struct error *err)
{
	char start[PATH_MAX];

	if (!getcwd(r->place, sizeof(r->place)))
		return error_set(err, errno, "find the current directory");
	(void)snprintf(start, sizeof(start), "%s", r->place); /* fits */
	while (!is_repository(r->place)) {
		char *slash = strrchr(r->place, '/');

		if (!slash || slash == r->place)
			return error_say(err, ENOENT,
					 "%s is in no git repository: name one, by its path or URL",
					 start);
		*slash = '\0';
	}
	return 0;
}

static int find_path(const char *text, struct repository *r, struct error *err)
{
	if (!realpath(text, r->place))
		return error_set(err, errno, "find the repository %s", text);
	if (is_repository(r->place))
		return 0;
	if (faccessat(AT_FDCWD, r->place, R_OK | X_OK, AT_EACCESS) < 0 && errno == EACCES)
		return error_say(
			err, EACCES,
			"this user (uid %lu) may not look into %s: it needs the rights to read "
			"and search it (`chmod` r and x)",
			(unsigned long)geteuid(), r->place);
	return error_say(err, ENOENT, "%s is no git repository", r->place);
}

int repository_find(const char *text, struct repository *out, struct error *err)
{
	struct repository r = {0};
	int rc = 0;

	if (text && repository_is_url(text)) {
		if (strlen(text) >= sizeof(r.place))
			return error_say(err, EINVAL, "the repository's URL is too long");
		(void)snprintf(r.place, sizeof(r.place), "%s", text); /* fits */
	} else {
		rc = text ? find_path(text, &r, err) : find_around(&r, err);
	}
	if (rc < 0)
		return rc;
	set_name(&r);
	if (!repository_is_url(r.place))
		set_ref(&r);
	*out = r;
	return 0;
}
