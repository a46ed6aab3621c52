/* scratch.h - a directory of a test's own, gone afterwards. */
#pragma once

#include "base/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char scratch_path[64];

static int scratch_make(void **state)
{
	(void)state;
	(void)snprintf(scratch_path, sizeof(scratch_path), "/tmp/cupel-test-XXXXXX");
	return mkdtemp(scratch_path) ? 0 : -1;
}

static int scratch_remove(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = tree_remove(tmp, strrchr(scratch_path, '/') + 1, NULL);

	(void)state;
	(void)close(tmp);
	return rc;
}
