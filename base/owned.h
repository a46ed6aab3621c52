/* owned.h - a local variable that owns something says so in its type, and lets go by itself.
 *
 *   owned(workspace) *ws = ...;   freed by workspace_free() at the end of the scope
 *   owned_str *name = ...;        freed by free()
 *   owned_fd fd = open(...);      closed, unless negative
 *   return give(ws);              passes the thing on: the variable owns nothing any more
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

/* Once for each struct that has a NAME_free(): makes owned(NAME) work. */
#define OWNED(name)                                                                                \
	static inline void name##_release_(struct name **it)                                       \
	{                                                                                          \
		if (*it)                                                                           \
			name##_free(*it);                                                          \
	}

#define owned(name) __attribute__((cleanup(name##_release_))) struct name

static inline void owned_str_release_(char **it)
{
	free(*it);
}
#define owned_str __attribute__((cleanup(owned_str_release_))) char

static inline void owned_fd_release_(int *it)
{
	if (*it >= 0)
		(void)close(*it); /* nobody is left who could act on it */
}
#define owned_fd __attribute__((cleanup(owned_fd_release_))) int

/* The value of an owning pointer, which then holds NULL. */
#define give(it)                                                                                   \
	__extension__({                                                                            \
		__typeof__(it) given_ = (it);                                                      \
		(it) = NULL;                                                                       \
		given_;                                                                            \
	})

/* The same for a descriptor, which then holds -1. */
static inline int give_fd(int *fd)
{
	int given = *fd;

	*fd = -1;
	return given;
}
