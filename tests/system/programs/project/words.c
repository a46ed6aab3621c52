#include "count.h"

#include <ctype.h>
#include <stdbool.h>

size_t words(const char *text)
{
	size_t count = 0;
	bool inside = false;

	for (; *text; text++) {
		bool word = !isspace((unsigned char)*text);

		count += word && !inside;
		inside = word;
	}
	return count;
}
