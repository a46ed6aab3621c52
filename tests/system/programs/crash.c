/* Falls over, two calls deep. */
#include <stddef.h>

static int fall(const int *step)
{
	return *step;
}

int main(void)
{
	return fall(NULL);
}
