#include "cli/sibling.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

static bool find_beside(const char *program, char out[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (length <= 0)
		return false;
	out[length] = '\0';
	slash = strrchr(out, '/');
	if (!slash || (size_t)(slash + 1 - out) + strlen(program) >= PATH_MAX)
		return false;
	(void)snprintf(slash + 1, PATH_MAX - (size_t)(slash + 1 - out), "%s", program); /* fits */
	return is_program(out);
}

static bool find_on_path(const char *program, char out[PATH_MAX])
{
	const char *at = getenv("PATH");

	while (at && *at) {
		size_t length = strcspn(at, ":");
		int used = snprintf(out, PATH_MAX, "%.*s/%s", (int)length, at, program);

		if (*at == '/' && used > 0 && used < PATH_MAX && is_program(out))
			return true;
		at += length + (at[length] == ':');
	}
	return false;
}

int sibling_find(const char *program, char out[PATH_MAX], struct error *err)
{
	if (find_beside(program, out) || find_on_path(program, out))
		return 0;
	return error_say(err, ENOENT,
			 "%s is neither beside this program nor on the PATH: install all of Cupel",
			 program);
}

int sibling_become(const char *program, const char *first, int argc, char *const *argv,
		   struct error *err)
{
	char path[PATH_MAX];
	int rc = sibling_find(program, path, err), at = 0;
	char **words;

	if (rc < 0)
		return rc;
	words = calloc((size_t)argc + 3, sizeof(*words));
	if (!words)
		return error_set(err, ENOMEM, "start %s", program);
	words[at++] = (char *)program; /* execv() reads only */
	if (first)
		words[at++] = (char *)first;
	for (int i = 0; i < argc; i++)
		words[at++] = argv[i];
	(void)signal(SIGPIPE, SIG_DFL); /* we had it ignored, which exec would keep */
	(void)execv(path, words);       /* returns only if it fails */
	rc = error_set(err, errno, "start %s", path);
	free(words);
	return rc;
}
