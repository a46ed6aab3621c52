/* spare_networks.h - network namespaces made ahead by a thread of the launcher's process, each for
 * one job. It makes one at a time, and no more than are wanted: so it is never faster than the
 * kernel, which buries them at its leisure. What was taken is made again when a job has ended, or
 * when one was missing: beside a job's start it would slow that. The same thread closes what takes
 * long to close. */
#pragma once

/* Starts the thread, which keeps `count` of them ready, one at least. 0 or -errno. */
int spare_networks_start(unsigned count);

/* One of them, the caller's; -1 when none is ready. */
int spare_networks_take(void);

/* A job has ended. */
void spare_networks_refill(void);

/* Closes `fd` when there is time for it: the last reference to a mount namespace. */
void spare_networks_bury(int fd);
