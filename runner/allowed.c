#include "runner/allowed.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Whole components: /srv/git is no start of /srv/gitolite. What ends with a colon ("git@host:",
 * "https://") is one of anything. */
static bool is_below(const char *start, const char *place)
{
	size_t length = strlen(start);

	while (length && start[length - 1] == '/')
		length--;
	if (strncmp(place, start, length) != 0)
		return false;
	return !place[length] || place[length] == '/' || (length && start[length - 1] == ':');
}

/* Would a server, or the kernel, go up from what stands before? */
static bool goes_up(const char *place)
{
	for (const char *at = place; (at = strstr(at, "..")); at += 2)
		if ((at == place || at[-1] == '/' || at[-1] == ':') && (!at[2] || at[2] == '/'))
			return true;
	return false;
}

/* Dots and slashes in disguise. */
static bool is_disguised(const char *url)
{
	return strcasestr(url, "%2e") || strcasestr(url, "%2f") || strcasestr(url, "%5c") ||
	       strchr(url, '\\');
}

static int refuse(const char *place, struct error *err)
{
	return error_say(
		err, EPERM,
		"the owner of this runner doesn't let it take the repository %.200s: it is "
		"not among the `repositories:` of its runner.yml",
		place);
}

int allowed_entry(const char *text, struct error *err)
{
	if (strncmp(text, "file://", 7) == 0 || (*text != '/' && !strchr(text, ':')))
		return error_say(
			err, EINVAL,
			"'%.100s' is no place of repositories: give an absolute path, or the "
			"start of a URL",
			text);
	if (goes_up(text))
		return error_say(err, EINVAL, "'%.100s': a place of repositories has no '..'",
				 text);
	return 0;
}

int allowed_path(const char *const *list, const char *path, char real[PATH_MAX], struct error *err)
{
	const char *found = realpath(path, real);
	int failure = found ? 0 : errno;

	/* Who may not have it is not told whether it is there. */
	for (; *list && (found || !goes_up(path)); list++) {
		char start[PATH_MAX];

		if (**list != '/')
			continue;
		if (!found && is_below(*list, path))
			return error_set(err, failure, "open repository %s", path);
		if (found && is_below(realpath(*list, start) ? start : *list, real))
			return 0;
	}
	return refuse(path, err);
}

int allowed_url(const char *const *list, const char *url, struct error *err)
{
	for (; *list && !goes_up(url) && !is_disguised(url); list++)
		if (**list != '/' && is_below(*list, url))
			return 0;
	return refuse(url, err);
}
