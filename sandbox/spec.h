/* spec.h - is what was asked for sensible at all? Pure: looks at the spec and at nothing else. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

/* Bounds of what a spec may hold, so that no size computed from it can overflow. */
#define SPEC_STRINGS_MAX     65536 /* arguments, and variables */
#define SPEC_BINDS_MAX       64    /* each costs a mount per launch */
#define SPEC_NAME_MAX        128   /* a cgroup's name is a file name */
#define SPEC_TIME_MAX_MS     ((uint64_t)366 * 24 * 3600 * 1000)
#define SPEC_MEMORY_MIN      ((uint64_t)1 << 20) /* below, not even exec works */
#define SPEC_BYTES_MAX       ((uint64_t)1 << 60)
#define SPEC_INODES_MAX      ((uint64_t)1 << 50) /* tmpfs counts each as a kilobyte */
#define SPEC_CPU_MILLI_MIN   10 /* the kernel's least quota is 1 ms in a period of 100 ms */
#define SPEC_CPU_MILLI_MAX   (4096 * 1000)
#define SPEC_TASKS_MIN       2       /* the job's first process, and the program */
#define SPEC_TASKS_MAX       4194304 /* the kernel's own largest pid_max */
#define SPEC_FILES_MIN       4       /* 0, 1, 2 and one to load the program with */
#define SPEC_CPU_TIME_MIN_MS 10
#define SPEC_IO_MIN          4096      /* a page a second */
#define SPEC_IO_OPS_MAX      (1 << 30) /* the kernel counts them in 32 bits */

/* -EINVAL and one sentence about the first thing that is wrong. */
int spec_check(const struct sandbox_spec *spec, struct error *err);
int spec_check_limits(const struct sandbox_limits *limits, struct error *err);

/* Absolute, without "." or ".." or empty components, and not the root itself. */
bool spec_path_is_plain(const char *path);
