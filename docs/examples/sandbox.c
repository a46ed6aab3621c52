/* Runs its arguments behind walls and tells how that ended:
 *     cc sandbox.c $(pkg-config --cflags --libs cupel-sandbox) && ./a.out make check */
#include <sandbox/sandbox.h>

#include <stdio.h>
#include <unistd.h>

static void print(void *context, int stream, const void *bytes, size_t length)
{
	(void)context;
	fwrite(bytes, 1, length, stream == 1 ? stdout : stderr);
}

int main(int argc, char **argv)
{
	char here[4096];
	struct sandbox_spec spec = {
		.argv = (const char *const *)argv + 1,
		.worktree = getcwd(here, sizeof(here)),
		.profile = SANDBOX_CI,
		.limits = {.wall_ms = 600000, .output = 64 << 20, .tasks = 512},
		.output = print,
	};
	struct sandbox_outcome outcome;

	if (argc < 2)
		return 125;
	sandbox_run(&spec, &outcome, NULL); /* a refusal is an outcome, too */
	fprintf(stderr, "%s\npeak memory %llu bytes, %llu ms\n", outcome.reason,
		(unsigned long long)outcome.usage.memory_peak,
		(unsigned long long)outcome.usage.wall_ms);
	return outcome.shell_status;
}
