/* console.h - tells each verdict as it falls, through restarts of the dispatcher. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "cli/terminal.h"

#include <event2/event.h>

struct console;

/* `text` is a line, or two, ready for the terminal. */
typedef void (*console_told)(void *context, const char *text);

/* `address` is a unix socket; `terminal` is borrowed and says how to draw. */
int console_new(struct event_base *base, const char *address, const struct terminal *terminal,
		console_told told, void *context, struct console **out, struct error *err);
void console_free(struct console *c);
OWNED(console)
