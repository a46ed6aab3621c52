#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 3, 0)))
fill(struct error *err, int code, const char *format, va_list args)
{
	char text[sizeof(err->text)]; /* for the arguments may lie in err->text */

	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	memcpy(err->text, text, strlen(text) + 1);
	err->code = code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
	if (err) {
		va_list args;
		char room[96];
		const char *reason = strerror_r(code, room, sizeof(room));
		size_t used, most = sizeof(err->text) - strlen(reason) - sizeof(": ");

		va_start(args, format);
		fill(err, code, format, args);
		va_end(args);
		used = strlen(err->text);
		if (used > most) /* rather the sentence than its reason */
			used = most;
		(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", reason);
	}
	return -code;
}

int error_say(struct error *err, int code, const char *format, ...)
{
	if (err) {
		va_list args;

		va_start(args, format);
		fill(err, code, format, args);
		va_end(args);
	}
	return -code;
}

int error_prefix(struct error *err, const char *format, ...)
{
	char old[sizeof(err->text)];
	va_list args;
	size_t used;

	if (!err)
		return -EIO;
	memcpy(old, err->text, strlen(err->text) + 1);
	va_start(args, format);
	fill(err, err->code, format, args);
	va_end(args);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
	return -err->code;
}
