#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *err, int code, const char *format, va_list args)
{
	err->code = code;
	(void)vsnprintf(err->text, sizeof(err->text), format, args); /* cut when too long */
}

int error_set(struct error *err, int code, const char *format, ...)
{
	if (err) {
		va_list args;
		size_t used;
		char reason[96];

		va_start(args, format);
		fill(err, code, format, args);
		va_end(args);
		used = strlen(err->text);
		(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			       strerror_r(code, reason, sizeof(reason)));
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
	memcpy(old, err->text, sizeof(old));
	va_start(args, format);
	fill(err, err->code, format, args);
	va_end(args);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
	return -err->code;
}
