/*
 * Requests to the broker and its answers as bytes, one packet of a SOCK_SEQPACKET each, in the byte order of the host's programs
 * (little-endian): the operation, the number of the container it is about, a value, and texts that end with a NUL. Descriptors
 * travel beside them. What an operation takes is told by one table; a request that is not as the table says is not looked at
 * any further.
 */
#ifndef NACRE_RUNTIME_BROKER_WIRE_H
#define NACRE_RUNTIME_BROKER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "runtime/rootfs_mount.h"

#define BROKER_MAX_BYTES 65536u
#define BROKER_MAX_TEXTS 512
#define BROKER_MAX_FDS   2

enum broker_op {
	BROKER_ADD, /* texts: id, bundle; value: the stub's pid. -> number, config.json */
	BROKER_SHARE, /* of a container; texts: its rootfs mounts. -> once sealed, a socket for the outcome */
	BROKER_UNSHARE, /* of a container */
	BROKER_FORGET,  /* a container */
	BROKER_HOOKS,   /* of a container; value: enum hooks_moment. -> a socket for the outcome */
	BROKER_CLOSE_HOOKS, /* all that run, and none any more */
	BROKER_MARK_OOM,    /* a container */
	BROKER_OPEN_STREAM, /* text: a stream's name; value: 1 for input. -> one or two descriptors */
	BROKER_CONNECT_GUEST,  /* -> a connection to the vmm's vsock socket */
	BROKER_CONNECT_EVENTS, /* -> a connection to containerd */
	BROKER_RECORD,         /* text: the record of the start */
	BROKER_NETWORK,        /* with the pod's namespace; text: its path */
	BROKER_JOIN,           /* value: a link. -> its tap's link, its tap */
	BROKER_LEAVE,          /* value: a link */
	BROKER_MTU,            /* value: a link: its tap's MTU becomes its own */
	BROKER_SEAL,           /* value: the vmm's pid */
	BROKER_END,            /* takes down all that is left, the state directory too */
	BROKER_OPS,
};

struct broker_request {
	enum broker_op op;
	uint32_t container, value;
	size_t ntexts;
	const char *texts[BROKER_MAX_TEXTS]; /* lent */
};

/* For messages. */
const char *broker_op_name(enum broker_op op);

/* -E2BIG: it does not fit into a packet. */
int broker_request_encode(const struct broker_request *r, struct strbuf *out,
			  struct err *err) MUST_CHECK;
/* The texts point into `bytes`. -EPROTO: not a request. */
int broker_request_decode(const void *bytes, size_t len, struct broker_request *out) MUST_CHECK;

#define BROKER_MAX_MOUNTS 32

/*
 * The texts of BROKER_SHARE: of each mount type, source, target, options, and "" behind the last one. -E2BIG: too many; options that
 * say nothing are left out.
 */
int broker_mounts_put(struct broker_request *r, const struct rootfs_mount *mounts,
		      size_t n) MUST_CHECK;
/* What it says points into the request. -EPROTO: no such list. */
int broker_mounts_decode(const struct broker_request *r, struct rootfs_mount out[BROKER_MAX_MOUNTS],
			 size_t *n) MUST_CHECK;

#define BROKER_REPLY_MAX_BYTES (8 + ERR_TEXT_BYTES)

/* What comes by a socket for an outcome is replies, too: EINPROGRESS ones say what is being done, the last one before the end of file is it. */
/* `status` code 0: done, with a value. At most BROKER_REPLY_MAX_BYTES; the length. */
size_t broker_reply_encode(const struct err *status, uint32_t value,
			   uint8_t out[BROKER_REPLY_MAX_BYTES]);
/* -EPROTO: not a reply, with which *status is filled, too. Else what it says of the request. */
int broker_reply_decode(const void *bytes, size_t len, uint32_t *value,
			struct err *status) MUST_CHECK;

#endif
