/* A host terminal for a container: a pty whose master goes to the caller's console socket and whose slave the monitor pumps. */
#ifndef NACRE_RUNTIME_PTY_H
#define NACRE_RUNTIME_PTY_H

#include <stdint.h>
#include <termios.h>

#include "base/compiler.h"
#include "base/err.h"

#define PTY_NAME_BYTES 64

/*
 * Makes a pty, its slave raw: the line discipline that counts is the guest's. Both descriptors are the caller's. A size of 0
 * leaves it unset.
 */
int pty_open(uint16_t width, uint16_t height, int *master, int *slave, char name[PTY_NAME_BYTES],
	     struct err *err) MUST_CHECK;

/* Sends the master over the unix socket at `path`, with the slave's name as payload, as runc does. */
int pty_send(const char *path, int master, const char *name, struct err *err) MUST_CHECK;

/* Makes the terminal raw; *saved is what to restore. */
int pty_make_raw(int fd, struct termios *saved, struct err *err) MUST_CHECK;

#endif
