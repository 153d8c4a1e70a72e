/*
 * Inside the vsock device (virtio 1.2, 5.10): what its files share. The guest sees stream connections between its ports
 * and those of CID 2; each is joined here with one unix stream socket.
 *
 *	vsock_host.c   host side: accept, "CONNECT port", deadlines
 *	vsock_tx.c     packets from the guest: checks, and what each operation does
 *	vsock_rx.c     packets to the guest: fair rounds over the connections that have something to say
 *	vsock_conn.c   one connection: its socket, its buffer, credit, shutdown, end
 *	vsock.c        the device: features, configuration, notifications, reset
 *
 * Threads: everything runs in the device's loop under the device's lock, but for start, reset and config_read, which a vCPU
 * thread calls with the lock held. A loop's sources belong to its thread, so a reset only marks (reset_pending) and wakes;
 * every entry from the loop calls vsock_sync first.
 *
 * Bounds: VSOCK_MAX_CONNS connections, all of them asked for by the host; VSOCK_BUF_BYTES of guest data a connection, which
 * is the credit the guest is given; VSOCK_MAX_RSTS refusals waiting, past which guest packets are left in their queue.
 */
#ifndef NACRE_VMM_DEV_VSOCK_H
#define NACRE_VMM_DEV_VSOCK_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/virtio/virtio.h"

#define VSOCK_HOST_CID      2u
#define VSOCK_BUF_BYTES     (256u << 10)
#define VSOCK_MAX_CONNS     1024u
#define VSOCK_MAX_WAITING   128u /* of them not yet open */
#define VSOCK_MAX_RSTS      256u
#define VSOCK_HANDSHAKE_MS  10000u /* to say CONNECT */
#define VSOCK_CONNECT_MS    30000u /* for the guest to answer, its boot included */
#define VSOCK_CLOSE_MS      10000u /* for the guest to confirm a shutdown */
#define VSOCK_FIRST_PORT    (1u << 30)
#define VSOCK_LAST_PORT     ((1u << 31) - 1)
#define VSOCK_HASH_SIZE     256u
#define VSOCK_LINE_BYTES    24u /* "CONNECT 4294967295\n" */
#define VSOCK_SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vsock_queue { VSOCK_RX = 0, VSOCK_TX = 1, VSOCK_EVENT = 2, VSOCK_NQUEUES = 3 };

_Static_assert(sizeof(struct virtio_vsock_hdr) == 44, "virtio 1.2, 5.10.6");

enum vsock_state {
	VSOCK_HANDSHAKE,  /* the host side has not said CONNECT yet; no ports */
	VSOCK_CONNECTING, /* REQUEST is to be sent or was; waits for the guest */
	VSOCK_OPEN,
	VSOCK_CLOSING, /* no socket any more; SHUTDOWN of both directions is to be sent or was; waits for the guest */
	VSOCK_RESETTING, /* no socket any more; RST is to be sent */
	VSOCK_DRAINING, /* the guest's end is gone; what it sent still goes to the socket; no ports any more */
};

/* Packets to be sent when there is a receive buffer, besides data; each at most once. */
#define VSOCK_WANT_REQUEST        (1u << 0)
#define VSOCK_WANT_RESPONSE       (1u << 1)
#define VSOCK_WANT_SHUTDOWN       (1u << 2)
#define VSOCK_WANT_CREDIT_REQUEST (1u << 3)
#define VSOCK_WANT_CREDIT_UPDATE  (1u << 4)

struct vsock_conn {
	struct vsock *v;
	TAILQ_ENTRY(vsock_conn) link;       /* in vsock.conns */
	TAILQ_ENTRY(vsock_conn) ready_link; /* in vsock.ready, while `queued` */
	LIST_ENTRY(vsock_conn) hash_link;   /* in vsock.hash, while `hashed` */
	bool queued, hashed;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	uint64_t deadline_ms; /* monotonic; 0: none */
	uint32_t want;
	bool announced; /* the guest has seen a packet of this connection */

	int fd;
	struct loop_source *source; /* NULL: the descriptor hung up, or is closed */
	uint32_t watched;           /* EPOLL* now asked for */
	char line[VSOCK_LINE_BYTES];
	uint32_t line_len;

	/* Host to guest. Counters wrap as those of the protocol do. */
	bool readable; /* the socket may have bytes, or its end, for the guest */
	bool in_ended; /* there will be no more of them */
	uint32_t sent, peer_fwd, peer_buf;
	bool credit_asked;

	/* Guest to host. */
	uint8_t *buf; /* ring of VSOCK_BUF_BYTES, while buf_len > 0 */
	uint32_t buf_at, buf_len;
	uint32_t fwd, fwd_told;
	bool out_dead; /* the socket takes no more: what comes is thrown away */

	uint32_t shut_sent;  /* VIRTIO_VSOCK_SHUTDOWN_* we have told or want to tell */
	uint32_t shut_guest; /* the guest's */
};

/* Whom to refuse: a packet that belongs to no connection. */
struct vsock_rst {
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct vsock {
	struct virtio_dev *dev; /* owns us */
	struct loop *loop;
	uint32_t guest_cid;
	int listen_fd, agent_fd;
	struct loop_source *listen_source, *timer, *wake;
	int wake_fd;
	bool listening;           /* EPOLLIN of listen_fd is on */
	uint64_t accept_retry_ms; /* 0, or when to try accept(2) again after it failed */
	uint64_t timer_at_ms;     /* what the timer is set to; 0: off */
	bool reset_pending;

	TAILQ_HEAD(vsock_conns, vsock_conn) conns;
	TAILQ_HEAD(, vsock_conn) ready;
	LIST_HEAD(, vsock_conn) hash[VSOCK_HASH_SIZE];
	uint32_t nconns, nwaiting;
	uint32_t next_port;

	struct vsock_rst rsts[VSOCK_MAX_RSTS];
	uint32_t rst_at, rst_len;
	bool tx_stopped; /* guest packets wait for room in rsts */

	struct log_limit limit;
	struct vq_chain tx_chain, rx_chain;
};

/* --- vsock_conn.c ------------------------------------------------------------------------------------------------ */

/* Owns fd from success on; NULL when out of memory or descriptors. */
struct vsock_conn *vsock_conn_new(struct vsock *v, int fd, enum vsock_state state) MUST_CHECK;
void vsock_conn_free(struct vsock_conn *c);
void vsock_conn_set_ports(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port);
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
void vsock_conn_set_state(struct vsock_conn *c, enum vsock_state state);
/* Puts the connection in line when it has something for the guest. */
void vsock_conn_ready(struct vsock_conn *c);
/* Asks the loop for the events the connection's state calls for. */
void vsock_conn_watch(struct vsock_conn *c);
/* Bytes the guest can take now. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);
/* `len` bytes of the chain's readable part to the socket, or to the buffer, which has room for them. May free `c`. */
void vsock_conn_put(struct vsock_conn *c, struct vq_chain *chain, uint32_t len);
/* The socket has ended: as many directions as `flags` says. May free `c`. */
void vsock_conn_shutdown(struct vsock_conn *c, uint32_t flags);
/* shut_guest has grown, or what was to be sent before a shutdown is sent. May free `c`. */
void vsock_conn_guest_shutdown(struct vsock_conn *c);
/* Drops the connection and tells the guest, if it knows of it. May free `c`. */
void vsock_conn_reset(struct vsock_conn *c);
/* The guest dropped it. May free `c`. */
void vsock_conn_guest_gone(struct vsock_conn *c);

/* --- vsock_host.c ------------------------------------------------------------------------------------------------ */

/* Reads of the line what is there. May free `c`. */
void vsock_host_handshake(struct vsock_conn *c);
/* The guest accepted: tells the client. May free `c`. */
void vsock_host_connected(struct vsock_conn *c);
void vsock_host_accept(struct vsock *v);
/* Turns accepting on or off as there is room. */
void vsock_host_listen(struct vsock *v);
void vsock_host_expire(struct vsock *v);
/* Sets the deadline `after_ms` from now; 0: none. */
void vsock_host_deadline(struct vsock_conn *c, uint32_t after_ms);

/* --- vsock_tx.c, vsock_rx.c, vsock.c ------------------------------------------------------------------------------- */

void vsock_tx(struct vsock *v);
/* Fills receive buffers while there are any and somebody has something to say. */
void vsock_rx(struct vsock *v);
/* First thing in each entry from the loop: ends what a reset left behind. */
void vsock_sync(struct vsock *v);

#endif
