/*
 * Owner types: a local that is declared AUTO_X gives back what it holds when it goes out of scope. TAKE_PTR and
 * TAKE_FD move the value out and leave the local empty, so that a constructor ends with `*out = TAKE_PTR(&x);`.
 * Every destroy keeps errno and takes NULL (or -1).
 */
#ifndef NACRE_BASE_OWN_H
#define NACRE_BASE_OWN_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"

static inline void own_free(void *pp)
{
	int saved = errno;

	free(*(void **)pp);
	errno = saved;
}

static inline void own_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void own_fclose(FILE **f)
{
	int saved = errno;

	if (*f)
		(void)fclose(*f);
	errno = saved;
}

static inline void own_closedir(DIR **d)
{
	int saved = errno;

	if (*d)
		(void)closedir(*d);
	errno = saved;
}

#define AUTO_FREE CLEANUP(own_free)
#define AUTO_FD   CLEANUP(own_close)
#define AUTO_FILE CLEANUP(own_fclose)
#define AUTO_DIR  CLEANUP(own_closedir)

/* DEFINE_OWNER(x_destroy, struct x) makes `CLEANUP(own_x_destroy) struct x *x = NULL;` possible. */
#define DEFINE_OWNER(destroy, type)                                                                \
	static inline void own_##destroy(type **pp)                                                \
	{                                                                                          \
		int saved = errno;                                                                 \
		destroy(*pp);                                                                      \
		errno = saved;                                                                     \
	}

#define TAKE_PTR(pp)                                                                               \
	({                                                                                         \
		__typeof__(*(pp)) taken_ = *(pp);                                                  \
		*(pp) = NULL;                                                                      \
		taken_;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define TAKE_FD(fd) take_fd(fd)

#endif
