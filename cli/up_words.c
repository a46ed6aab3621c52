#include "cli/up_words.h"

#include "cli/repository.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSED(option, what, about, member)                                                        \
	{                                                                                          \
		option, 0, OPTION_TEXT, what, about, offsetof(struct up_words, member)             \
	}

/* What is passed on is checked by who it is for. */
const struct option_row up_option_rows[UP_OPTIONS] = {
	PASSED("state", "DIR", "where everything is kept", given_state),
	{"build-head", 0, OPTION_FLAG, NULL, "test what the branches point to now, too",
	 offsetof(struct up_words, build_head)},
	PASSED("poll", "TIME", "look at all refs so often, whatever inotify says (30s)", poll),
	PASSED("slots", "N", "jobs at a time", slots),
	PASSED("cpus", "X", "processors of all jobs together", cpus),
	PASSED("memory", "SIZE", "memory of all jobs together", memory),
	PASSED("tasks", "N", "processes and threads of all jobs together", tasks),
	PASSED("job-cpus", "X", "processors of one job, at most", job_cpus),
	PASSED("job-memory", "SIZE", "memory of one job, at most", job_memory),
	PASSED("job-tasks", "N", "processes and threads of one job, at most", job_tasks),
	PASSED("job-wall", "TIME", "time of one job, at most", job_wall),
	PASSED("labels", "A,B", "of the runner, for jobs that ask for them", labels),
	PASSED("name", "NAME", "of the runner", name),
	PASSED("work", "DIR", "for worktrees: a fast disk", work),
	{"allow-network-host", 0, OPTION_FLAG, NULL,
	 "let jobs have the host's network that ask for it",
	 offsetof(struct up_words, allow_network_host)},
	{"verbose", 'v', OPTION_FLAG, NULL, "show every line that the three print",
	 offsetof(struct up_words, verbose)},
};

/* --- words
 * ------------------------------------------------------------------------------------------ */

/* They fit: UP_WORDS_MAX is more than all options and the repositories. */
static void add(struct up_argv *v, const char *word)
{
	v->at[v->count++] = (char *)word; /* execv() reads only */
}

static void add_option(struct up_argv *v, const char *option, const char *value)
{
	if (!value)
		return;
	add(v, option);
	add(v, value);
}

static void make_runner(struct up_words *w)
{
	add(&w->runner, "cupel-runner");
	add_option(&w->runner, "--state", w->folders[1]);
	add_option(&w->runner, "--dispatcher", w->address);
	add_option(&w->runner, "--name", w->name);
	add_option(&w->runner, "--slots", w->slots);
	add_option(&w->runner, "--cpus", w->cpus);
	add_option(&w->runner, "--memory", w->memory);
	add_option(&w->runner, "--tasks", w->tasks);
	add_option(&w->runner, "--job-cpus", w->job_cpus);
	add_option(&w->runner, "--job-memory", w->job_memory);
	add_option(&w->runner, "--job-tasks", w->job_tasks);
	add_option(&w->runner, "--job-wall", w->job_wall);
	add_option(&w->runner, "--labels", w->labels);
	add_option(&w->runner, "--work", w->work);
	if (w->allow_network_host)
		add(&w->runner, "--allow-network-host");
}

static void make_observer(struct up_words *w)
{
	add(&w->observer, "cupel-observer");
	add_option(&w->observer, "--state", w->folders[2]);
	add_option(&w->observer, "--dispatcher", w->address);
	add_option(&w->observer, "--poll", w->poll);
	if (w->build_head)
		add(&w->observer, "--build-head");
	add(&w->observer, "--");
	for (size_t i = 0; i < w->repositories_count; i++)
		add(&w->observer, w->repositories[i]);
}

/* --- places
 * ----------------------------------------------------------------------------------------- */

/* "NAME=PLACE" is split where `=` stands before anything that makes it a path or URL. */
static int add_repository(struct up_words *w, const char *text, struct error *err)
{
	size_t name = strcspn(text, "=/:");
	bool named = name && text[name] == '=';
	struct repository r;
	int rc = repository_find(named ? text + name + 1 : text, &r, err);
	char **out = &w->repositories[w->repositories_count];

	if (rc < 0)
		return rc;
	if ((named ? asprintf(out, "%.*s=%s", (int)name, text, r.place)
		   : asprintf(out, "%s=%s", r.name, r.place)) < 0) {
		*out = NULL;
		return error_set(err, ENOMEM, "watch %s", text);
	}
	w->repositories_count++;
	return 0;
}

/* Absolute: `to ask` tells it to people in other directories. */
static int make_state(struct up_words *w, struct error *err)
{
	char here[PATH_MAX];
	int used;

	w->default_state = !w->given_state;
	if (w->default_state)
		return cli_default_state(w->state, sizeof(w->state), err);
	if (*w->given_state == '/')
		used = snprintf(w->state, sizeof(w->state), "%s", w->given_state);
	else if (getcwd(here, sizeof(here)))
		used = snprintf(w->state, sizeof(w->state), "%s/%s", here, w->given_state);
	else
		return error_set(err, errno, "find the current directory");
	if (used < 0 || (size_t)used >= sizeof(w->state))
		return error_say(err, ENAMETOOLONG, "the path of the state directory is too long");
	return 0;
}

int up_words_make(const struct cli *cli, struct up_words *w, struct error *err)
{
	static const char *const names[] = {"dispatcher", "runner", "observer"};
	int rc = make_state(w, err);

	for (size_t i = 0; i < cli->words.count && rc == 0; i++)
		rc = add_repository(w, cli->words.at[i], err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 3; i++)
		(void)snprintf(w->folders[i], sizeof(w->folders[i]), "%s/%s", w->state,
			       names[i]); /* fits */
	(void)snprintf(w->address, sizeof(w->address), "unix:%s/dispatcher.sock",
		       w->folders[0]); /* fits */
	add(&w->dispatcher, "cupel-dispatcher");
	add_option(&w->dispatcher, "--state", w->folders[0]);
	make_runner(w);
	make_observer(w);
	return 0;
}

void up_words_done(struct up_words *w)
{
	for (size_t i = 0; i < w->repositories_count; i++)
		free(w->repositories[i]);
	w->repositories_count = 0;
}
