#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){.max = b->max};
}

int buffer_reserve(struct buffer *b, size_t more)
{
	size_t max = b->max ? b->max : BUFFER_MAX_DEFAULT;
	size_t size = b->size ? b->size : 256;
	char *data;

	if (more > max || b->length > max - more)
		return -EFBIG;
	if (b->length + more < b->size)
		return 0;
	while (size <= b->length + more) /* `<=`: room for the terminator */
		if (__builtin_mul_overflow(size, 2, &size))
			return -ENOMEM;
	data = realloc(b->data, size);
	if (!data)
		return -ENOMEM;
	data[b->length] = '\0';
	b->data = data;
	b->size = size;
	return 0;
}

int buffer_append(struct buffer *b, const void *bytes, size_t length)
{
	int rc = buffer_reserve(b, length);

	if (rc < 0)
		return rc;
	if (length)
		memcpy(b->data + b->length, bytes, length);
	b->length += length;
	b->data[b->length] = '\0';
	return 0;
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;
	int need, rc;

	va_start(args, format);
	need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need < 0)
		return -EINVAL;
	rc = buffer_reserve(b, (size_t)need);
	if (rc < 0)
		return rc;
	va_start(args, format);
	(void)vsnprintf(b->data + b->length, (size_t)need + 1, format, args); /* measured above */
	va_end(args);
	b->length += (size_t)need;
	return 0;
}

void buffer_consume(struct buffer *b, size_t length)
{
	if (length >= b->length) {
		buffer_clear(b);
		return;
	}
	memmove(b->data, b->data + length, b->length - length + 1);
	b->length -= length;
}

void buffer_clear(struct buffer *b)
{
	b->length = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *buffer_take(struct buffer *b)
{
	char *data = b->data;

	*b = (struct buffer){.max = b->max};
	return data;
}
