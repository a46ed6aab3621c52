/* packet.h - bytes and descriptors as one packet between two processes of ours (SOCK_SEQPACKET). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The kernel's own bound (SCM_MAX_FD) is 253. */
#define PACKET_FDS_MAX 96

/* The descriptors stay the caller's. 0 or -errno; -EPIPE: the other end is closed. */
int packet_send(int socket, const void *bytes, size_t length, const int *fds, size_t count);

/* Waits for a packet until `until` (clock_boot_ms(); INT64_MAX: for ever). Its length, 0 when the
 * other end is closed, -ETIMEDOUT, -EPROTO for more than fits, or -EMFILE: the bytes are there, its
 * descriptors are lost. What came with it is close-on-exec and the caller's.
 */
ssize_t packet_receive(int socket, int64_t until, void *bytes, size_t size, int *fds,
		       size_t *count);
