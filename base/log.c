#include "base/log.h"

#include "base/fd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"debug", "info", "warning", "error"};
static const char *program = "cupel";
static enum log_level lowest = LOG_LEVEL_INFO;

void log_open(const char *name)
{
	const char *wish = getenv("CUPEL_LOG");

	program = name;
	for (size_t i = 0; wish && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(wish, names[i]) == 0)
			lowest = (enum log_level)i;
}

/* U+0080 to U+009F, as UTF-8: terminals take some of them for the beginning of a command. */
static bool is_c1(const char *at)
{
	return (unsigned char)at[0] == 0xc2 && ((unsigned char)at[1] & 0xe0) == 0x80;
}

static size_t escape(char *to, size_t size, const char *from)
{
	size_t used = 0;

	for (; *from && used + 5 < size; from++) {
		unsigned char c = (unsigned char)*from;

		if (c < 0x20 || c == 0x7f || is_c1(from) || (used > 0 && is_c1(from - 1)))
			used += (size_t)snprintf(to + used, size - used, "\\x%02x", c);
		else
			to[used++] = (char)c;
	}
	return used;
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[2048], line[4096], when[32] = "";
	time_t now = time(NULL);
	struct tm parts;
	size_t used;
	va_list args;
	int before;

	if (level < lowest)
		return;
	before = errno;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	if (gmtime_r(&now, &parts))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
	used = (size_t)snprintf(line, 256, "%s %.64s[%d] %s: ", when, program, (int)getpid(),
				names[level]);
	used += escape(line + used, sizeof(line) - used - 1, text);
	line[used++] = '\n';
	(void)fd_write_all(STDERR_FILENO, line, used); /* there is nowhere else to complain */
	errno = before;
}
