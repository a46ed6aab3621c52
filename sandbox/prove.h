/* prove.h - shipped attacks, run on the owner's own host. */
#pragma once

enum prove_finding {
	PROVE_CONTAINED,
	PROVE_ESCAPED,
	PROVE_REFUSED, /* without the limit that holds it here, nothing is started */
	PROVE_UNTRIED, /* nothing was shown: a tool is missing, a preparation failed */
};

typedef void prove_line(void *context, enum prove_finding finding, const char *attack,
			const char *detail);

/* Calls `line` for each attack. What the command exits with: 1 when one got through, else 125 when
 * one could not be tried, else 0. */
int prove(prove_line *line, void *context);
