/* local.h - the verbs that need no server: what would run here, and running it. */
#pragma once

/* `cupel-runner lint [--json] [DIR|FILE]`; the exit status. */
int local_lint(int argc, char **argv);

/* `cupel-runner run [--json] [--job NAME] [--rev REV] [DIR]`; the exit status. */
int local_run(int argc, char **argv);
