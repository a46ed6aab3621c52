/* Loses 77 bytes when it is given an argument, writes behind them when it is given more. */
#include <stdio.h>
#include <stdlib.h>

static char *volatile last;

static void take(int beyond)
{
	last = malloc(77);
	if (last)
		last[76 + beyond] = 'x';
}

int main(int argc, char **argv)
{
	(void)argv;
	take(argc > 2);
	if (argc == 1)
		free(last);
	last = NULL;
	(void)puts("done");
	return 0;
}
