#include "sandbox/turn.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void take(void)
{
	(void)pthread_mutex_lock(&lock);
}

void turn_end(void)
{
	(void)pthread_mutex_unlock(&lock);
}

static void tell_forks(void)
{
	(void)pthread_atfork(take, turn_end, turn_end); /* without memory forks are as they were */
}

void turn_take(void)
{
	(void)pthread_once(&once, tell_forks);
	take();
}

bool turn_try(void)
{
	(void)pthread_once(&once, tell_forks);
	return pthread_mutex_trylock(&lock) == 0;
}
