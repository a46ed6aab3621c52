/* terminal.h - what the output is: a terminal has a width, colours and a line that changes in
 * place; anything else gets plain text. */
#pragma once

#include "base/buffer.h"
#include "proto/cupel.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* What a text is about; on a terminal it has a colour. */
enum style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
	STYLE_GOOD,
	STYLE_BAD,
	STYLE_LIMIT, /* a limit stopped it */
	STYLE_BROKEN,
	STYLE_LIVE,
};

enum style style_of_verdict(Cupel__Verdict verdict);

struct terminal {
	int fd;
	bool tty;
	bool colour;  /* a terminal, and neither NO_COLOR nor TERM=dumb */
	size_t width; /* columns; 0: no terminal, nothing is cut */
	bool live;    /* there is a live line to be taken back */
};

void terminal_open(struct terminal *t, int fd);

/* Appends the sequence that begins or ends a style; nothing without colours. */
int style_on(struct buffer *out, enum style style, bool colour);
int style_off(struct buffer *out, enum style style, bool colour);

/* Writes it all, after taking back the live line. A reader that went away ends the program as
 * SIGPIPE does; any other failure is returned. */
int terminal_write(struct terminal *t, const void *bytes, size_t length);

/* Shows `text` in place of the last live line; nothing where there is no terminal. */
void terminal_live(struct terminal *t, const char *text);
