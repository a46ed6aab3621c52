/* Two threads change one number without a lock. */
#include <pthread.h>
#include <stdio.h>

static int number;

static void *change(void *unused)
{
	number++;
	return unused;
}

int main(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, change, NULL) != 0)
		return 1;
	number++;
	(void)pthread_join(thread, NULL);
	return puts("done") < 0;
}
