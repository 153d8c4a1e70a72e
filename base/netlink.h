/*
 * Netlink (RFC 3549; Documentation/userspace-api/netlink): messages as bytes, and the socket that carries them. A message is a
 * header, a fixed struct, and attributes: type, length, value, padded to four bytes. Both sides of a pod use it: the monitor
 * in the pod's network namespace, the agent in the guest. It is done here since the agent is linked statically and Debian has
 * libmnl as a shared library only.
 *
 * What is parsed comes from a kernel; lengths are checked all the same. One thread a socket.
 */
#ifndef NACRE_BASE_NETLINK_H
#define NACRE_BASE_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* --- building ---------------------------------------------------------------------------------------------------- */

#define NL_MSG_BYTES 1024

/* More than fits is remembered in `overflow`, and such a message is not sent. */
struct nl_msg {
	size_t len;
	bool overflow;
	_Alignas(4) uint8_t data[NL_MSG_BYTES];
};

/* NLM_F_REQUEST and NLM_F_ACK, or NLM_F_DUMP, are added by who sends it. */
void nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, const void *body, size_t len);
void nl_put(struct nl_msg *m, uint16_t type, const void *value, size_t len);
void nl_put_u8(struct nl_msg *m, uint16_t type, uint8_t value);
void nl_put_u32(struct nl_msg *m, uint16_t type, uint32_t value);
/* With its NUL. */
void nl_put_str(struct nl_msg *m, uint16_t type, const char *value);
/* What is put between is inside the attribute. */
size_t nl_nest_begin(struct nl_msg *m, uint16_t type);
void nl_nest_end(struct nl_msg *m, size_t nest);

/* --- parsing ----------------------------------------------------------------------------------------------------- */

/* An attribute's value, lent; data is NULL where there is none. */
struct nl_attr {
	const uint8_t *data;
	size_t len;
};

/*
 * Sorts attributes into table[type]; types from ntypes on are left out, the last of a type counts. False: a length that does
 * not fit, and the table is not to be used.
 */
bool nl_parse(const void *data, size_t len, struct nl_attr *table, size_t ntypes) MUST_CHECK;

/* `otherwise` when it is not there or has another length. */
uint32_t nl_u32(const struct nl_attr *a, uint32_t otherwise);
/* Copies a text that ends within the attribute and fits; "" otherwise. */
void nl_text(const struct nl_attr *a, char *out, size_t size);

/* A message's body is what follows its header. Non-zero ends the walk and is what it returns. */
typedef int (*nl_fn)(void *arg, uint16_t type, const void *body, size_t len);

/*
 * Walks the messages of one datagram that answer the request `seq`. *done: the answer ends here (NLMSG_DONE, or an
 * acknowledgement); *interrupted: what a dump listed has changed meanwhile. -EBADMSG for lengths that do not fit; a refusal is
 * -errno with the kernel's own words in `err`, if it has any.
 */
int nl_walk(const void *data, size_t len, uint32_t seq, nl_fn fn, void *arg, bool *done,
	    bool *interrupted, struct err *err) MUST_CHECK;

/* --- talking to the kernel ----------------------------------------------------------------------------------------- */

struct nl_socket {
	int fd; /* -1: closed */
	uint32_t seq;
};

#define NL_SOCKET_INIT                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* In the caller's network namespace, where the socket stays. `groups`: a mask of RTMGRP_*, 0: for requests only. */
int nl_open(struct nl_socket *s, uint32_t groups, struct err *err) MUST_CHECK;
void nl_close(struct nl_socket *s);
#define AUTO_NL CLEANUP(nl_close)

/* Sends and waits for the acknowledgement. The kernel answers at once, or within a deadline: -ETIMEDOUT. */
int nl_request(struct nl_socket *s, struct nl_msg *m, struct err *err) MUST_CHECK;
/* Of a request for one thing: calls fn for it first. */
int nl_ask(struct nl_socket *s, struct nl_msg *m, nl_fn fn, void *arg, struct err *err) MUST_CHECK;

/* Calls fn for every message listed. -EINTR: it changed while it was listed; ask again. */
int nl_dump(struct nl_socket *s, struct nl_msg *m, nl_fn fn, void *arg, struct err *err) MUST_CHECK;

/* Of a socket with groups: takes everything that waits. False: it is of no more use. */
bool nl_drain(struct nl_socket *s) MUST_CHECK;

#endif
