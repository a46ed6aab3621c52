/* resident.h - the launcher's own process, and what it and the caller's library say to each other.
 *
 * It is small and stays so: whatever memory or mounts the caller has, a job's first process is made
 * from this one. It does what it is asked in order, decides nothing, and ends when the caller does;
 * its children are killed with it. */
#pragma once

#include "sandbox/init.h"
#include "sandbox/plan.h"

#include <limits.h>

/* The descriptor that cupel-sandbox --resident finds its socket at. */
#define RESIDENT_SOCKET 3

#define RESIDENT_NETWORKS_MAX 64

/* Its first word: a program of another version doesn't understand our orders. */
struct resident_hello {
	char version[32];
	size_t order, ask; /* bytes of the structures */
};

enum resident_word {
	ASK_SETUP = 1, /* the first: `ids`, `networks`. A user's is answered with ANSWER_MAP */
	ASK_MAPPED,    /* his ids are written */
	ASK_BIRTH, /* with the job's end of the control socket; then, as told: group, network, doors
		    */
	ASK_DETACH, /* with a descriptor of the thing at `path`: a mount of it, detached */
	ASK_REAP,   /* no answer: reap who is dead */
	ASK_TIDY,   /* no answer: that, and make ahead what was used; `later`: when it is quiet */
};

struct resident_ask {
	enum resident_word word;
	uint32_t id; /* the answer has it, too */
	struct ids ids;
	unsigned networks;
	enum birth birth;
	enum sandbox_profile profile;
	unsigned deny;                          /* FILTER_*, of BIRTH_READY */
	uint64_t private_bytes, private_inodes; /* of its private directories, most likely */
	enum sandbox_network network;
	bool has_group, has_network;
	bool waits;   /* plan.waits */
	bool outside; /* birth_stay_outside() */
	bool later;   /* ASK_TIDY */
	struct fault fault;
	bool writable; /* ASK_DETACH */
	dev_t device;
	ino_t inode;
	char path[PATH_MAX]; /* the last: no more of it is sent than there is */
};

struct resident_answer {
	uint32_t id;
	int code;       /* 0, or the errno of what failed */
	bool map;       /* write my ids, and say ASK_MAPPED */
	char text[480]; /* what failed */
};

/* Until the caller is gone. An exit status. */
int resident_main(int socket);
