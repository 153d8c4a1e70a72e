/*
 * How what the command line and QMP name becomes an open descriptor of ours: files by path, descriptors by number, listening
 * sockets. `what` begins the messages ("-drive"). All results are close-on-exec, and *out is untouched on failure.
 */
#ifndef NACRE_VMM_OPEN_H
#define NACRE_VMM_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/backends.h"

/* A descriptor that came by number, as an inheritance: is it open? */
int open_adopt(int64_t number, const char *what, int *out, struct err *err) MUST_CHECK;
/* The same; a negative number gives -1. */
int open_adopt_if_given(int64_t number, const char *what, int *out, struct err *err) MUST_CHECK;

/* -EACCES, with what to do instead, when the sets are sealed. */
int open_allowed(const struct fdsets *sets, const char *name, const char *what,
		 struct err *err) MUST_CHECK;
/* `flags` as of open(2); a new file has mode 0600. /dev/fdset/N is of `sets`. */
int open_path(const struct fdsets *sets, const char *path, int flags, const char *what, int *out,
	      struct err *err) MUST_CHECK;

int open_duplicate(int fd, const char *what, int *out, struct err *err) MUST_CHECK;

/* A listening unix stream socket, not blocking. The socket file of a server that has died is replaced. */
int open_listener(const char *path, const char *what, int *out, struct err *err) MUST_CHECK;

/*
 * A drive by its file, or, with fd >= 0, by an inherited descriptor, or of another drive, which nothing else can use then, becomes
 * a back end.
 */
struct open_drive {
	const char *id;
	const char *serial; /* NULL: none */
	bool readonly;
	bool auto_readonly; /* read-only rather than not at all */
	bool direct;
	bool from_start; /* by -drive */
	enum block_aio aio;
	int64_t fd;
	struct backend *below; /* the other drive; NULL: none */
};
int open_drive(struct backends *backends, const struct open_drive *p, const char *file,
	       const char *what, struct err *err) MUST_CHECK;
/* What a disk in front of the drive is made with: a descriptor of its own, the caller's. `serial` NULL: the drive's. */
int open_blk_params(const struct backend *drive, const char *serial, struct dev_blk_params *out,
		    struct err *err) MUST_CHECK;

/* The same for a network interface: descriptors of its own in *out. */
int open_net_taps(const struct backend *netdev, struct dev_net_params *out,
		  struct err *err) MUST_CHECK;

struct open_chardev {
	const char *id;
	const char *kind; /* "null", "file", "stdio", "socket": one that listens; outlives it */
	const char *path;
	int64_t fd;  /* socket: one that listens, in place of the path; or -1 */
	bool append; /* file: to what is there */
};
int open_chardev(struct backends *backends, const struct open_chardev *p, const char *what,
		 struct err *err) MUST_CHECK;

#endif
