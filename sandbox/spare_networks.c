#include "sandbox/spare_networks.h"

#include "base/owned.h"
#include "sandbox/network.h"
#include "sandbox/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

#define GRAVES_MAX 128

/* After a failure (no memory, the sysctl's bound reached) it waits: jobs make their own meanwhile.
 */
#define RETRY_S 1

/* The thread allocates no memory: the process's children are made while it runs, and find the
 * allocator as it was that moment. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed, made;
	unsigned wanted, ready;
	int network[RESIDENT_NETWORKS_MAX];
	unsigned buried;
	int grave[GRAVES_MAX];
	bool making;  /* one is to come at once */
	bool resting; /* jobs are being started: making one now would slow them */
	bool failed;  /* until `again` */
	struct timespec again;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER,
	   .made = PTHREAD_COND_INITIALIZER};

static bool shall_make(void)
{
	return spare.ready < spare.wanted && !spare.resting && !spare.failed;
}

/* With the lock held; waits until there is something to do. */
static void wait_for_work(void)
{
	while (!spare.buried && !shall_make()) {
		if (!spare.failed)
			(void)pthread_cond_wait(&spare.changed, &spare.lock);
		else if (pthread_cond_timedwait(&spare.changed, &spare.lock, &spare.again) ==
			 ETIMEDOUT)
			spare.failed = false;
	}
}

/* One that was made, or -1. */
static void take_in(int fd)
{
	if (fd >= 0)
		spare.network[spare.ready++] = fd;
	spare.failed = fd < 0;
	(void)clock_gettime(CLOCK_REALTIME, &spare.again);
	spare.again.tv_sec += RETRY_S;
}

static void *work(void *home)
{
	(void)pthread_mutex_lock(&spare.lock);
	for (;;) {
		bool make;
		int fd = -1;

		wait_for_work();
		make = shall_make(); /* a job waits for that */
		if (!make)
			fd = spare.grave[--spare.buried];
		spare.making = make;
		(void)pthread_mutex_unlock(&spare.lock);
		if (make) {
			fd = network_unshare();
			(void)setns(*(int *)home, CLONE_NEWNET); /* holds it no longer */
		} else {
			(void)close(fd);
		}
		(void)pthread_mutex_lock(&spare.lock);
		if (make)
			take_in(fd);
		spare.making = false;
		(void)pthread_cond_signal(&spare.made);
	}
	return NULL;
}

int spare_networks_start(unsigned count)
{
	static int home;
	pthread_t thread;

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -errno;
	spare.wanted = count < RESIDENT_NETWORKS_MAX ? count : RESIDENT_NETWORKS_MAX;
	if (!spare.wanted)
		spare.wanted = 1;
	return -pthread_create(&thread, NULL, work, &home);
}

int spare_networks_take(void)
{
	int fd = -1;

	(void)pthread_mutex_lock(&spare.lock);
	while (!spare.ready && spare.making) /* sooner than another one */
		(void)pthread_cond_wait(&spare.made, &spare.lock);
	if (spare.ready) {
		fd = spare.network[--spare.ready];
		spare.resting = true;
	} else {
		spare.resting = false;
		(void)pthread_cond_signal(&spare.changed);
	}
	(void)pthread_mutex_unlock(&spare.lock);
	return fd;
}

void spare_networks_refill(void)
{
	(void)pthread_mutex_lock(&spare.lock);
	spare.resting = false;
	(void)pthread_cond_signal(&spare.changed);
	(void)pthread_mutex_unlock(&spare.lock);
}

void spare_networks_bury(int fd)
{
	bool taken = false;

	(void)pthread_mutex_lock(&spare.lock);
	if (spare.buried < GRAVES_MAX) {
		spare.grave[spare.buried++] = fd;
		taken = true;
		(void)pthread_cond_signal(&spare.changed);
	}
	(void)pthread_mutex_unlock(&spare.lock);
	if (!taken)
		(void)close(fd);
}
