/* scratch.h - a directory of a test's own, gone afterwards. */
#pragma once

#include "base/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_path[64];

/* In memory where that can be had: hundreds of syncs a second are for the benches. */
static int scratch_make(void **state)
{
	const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)state;
	(void)snprintf(scratch_path, sizeof(scratch_path), "%s/cupel-test-XXXXXX", where);
	return mkdtemp(scratch_path) ? 0 : -1;
}

static int scratch_remove(void **state)
{
	char *name = strrchr(scratch_path, '/');
	int above, rc;

	(void)state;
	*name++ = '\0';
	above = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = tree_remove(above, name, NULL);
	(void)close(above);
	return rc;
}
