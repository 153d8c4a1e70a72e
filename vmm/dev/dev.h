/*
 * How each device is made: parameters in, a struct virtio_dev out. Called by vmm/slots.c only, in the order of the address
 * map. Descriptors in a params struct are owned by the device from success on; on failure the caller keeps them.
 */
#ifndef NACRE_VMM_DEV_DEV_H
#define NACRE_VMM_DEV_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "vmm/block/engine.h"
#include "vmm/gmem.h"
#include "vmm/virtio/virtio.h"

/* Entropy (virtio 1.2, 5.4) from getrandom(2). */
int dev_rng_create(struct gmem *mem, struct loop *loop, struct virtio_dev **out,
		   struct err *err) MUST_CHECK;

/* Block (virtio 1.2, 5.2) over one file or block device. */
struct dev_blk_params {
	int fd; /* -1: a spare slot, of capacity 0, until dev_blk_fill */
	bool readonly;
	bool direct; /* O_DIRECT, where the file system can; else a line in the log and the page cache */
	bool no_lock; /* do not keep others out of the image, nor ask whether they are in */
	enum block_aio aio;
	uint16_t queues; /* 0: one; all are served by the device's loop */
	const char
		*name; /* lent during the call: what messages call the disk; NULL: its descriptor */
	char serial[21]; /* VIRTIO_BLK_ID_BYTES + NUL */
};
int dev_blk_create(const struct dev_blk_params *p, struct gmem *mem, struct loop *loop,
		   struct virtio_dev **out, struct err *err) MUST_CHECK;

/*
 * A disk for a spare slot, by a change of configuration: the descriptor of `p` is the device's on success. The features are
 * those of the slot, so writes to a read-only disk fail one by one, and its engine: -ENOTSUP when `aio` asks for the other.
 * -EBUSY when there is a disk, or when the last one still has requests under way.
 */
int dev_blk_fill(struct virtio_dev *dev, const struct dev_blk_params *p,
		 struct err *err) MUST_CHECK;
/*
 * Takes it out again. What comes later fails at once; what is under way is waited for, for a second at most, and then
 * finishes by itself before the image is unlocked and closed. Nothing when there is none.
 */
void dev_blk_empty(struct virtio_dev *dev);

struct dev_blk_count {
	uint64_t operations, failed;
	uint64_t bytes;
	uint64_t merged;  /* went along with the one before, of the operations and the failed */
	uint64_t invalid; /* refused before anything was tried: none of either */
	uint64_t time_ns; /* of the operations, each from the ring to its answer */
};
/* Since the device was made; zeros are counted as writes. */
struct dev_blk_stats {
	struct dev_blk_count read, write, flush, unmap;
	uint64_t written_end_bytes; /* the end of the last byte on this disk that was written */
};
void dev_blk_stats(struct virtio_dev *dev, struct dev_blk_stats *out);

/*
 * Network (virtio 1.2, 5.1) over a tap: descriptors made with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, several of one tap with
 * IFF_MULTI_QUEUE too. A SOCK_SEQPACKET or SOCK_DGRAM socket does as well (one message a frame, behind a virtio_net_hdr_v1);
 * it takes any offload. They become non-blocking. With no descriptor the device is an empty spare slot: its link is down.
 */
#define DEV_NET_MAX_PAIRS 16
struct dev_net_params {
	int tap_fds[DEV_NET_MAX_PAIRS];
	unsigned ntaps;       /* descriptors in tap_fds, at most queue_pairs; 0: none */
	unsigned queue_pairs; /* offered to the guest; 0: as many as descriptors, at least 1 */
	uint8_t mac[6];       /* all zero: a random one, locally administered */
	uint16_t mtu;         /* at least 68; 0: not offered */
};
int dev_net_create(const struct dev_net_params *p, struct gmem *mem, struct loop *loop,
		   struct virtio_dev **out, struct err *err) MUST_CHECK;
/*
 * Puts a tap behind an empty device and raises its link; queue_pairs and mtu of `p` are not looked at, since a driver reads
 * them once. So does Linux with the address: a new one is in the configuration space at once, but who owns the guest sets it
 * there too. EBUSY when there is a tap. Any thread; what comes in from the return on is the guest's.
 */
int dev_net_fill(struct virtio_dev *dev, const struct dev_net_params *p,
		 struct err *err) MUST_CHECK;
/* Takes the tap away and closes it, link down; nothing reads or writes it after the return. Any thread. */
void dev_net_empty(struct virtio_dev *dev);

/* File system (virtio 1.2, 5.11): a FUSE server over one directory tree. */
struct dev_fs_params {
	int root_fd;  /* O_PATH or O_RDONLY directory: everything outside is unreachable */
	int proc_fd;  /* /proc/self/fd, O_PATH, lent; -1: opened by the device */
	char tag[37]; /* 1..36 bytes UTF-8 + NUL */
	bool readonly;
};
int dev_fs_create(const struct dev_fs_params *p, struct gmem *mem, struct loop *loop,
		  struct virtio_dev **out, struct err *err) MUST_CHECK;

/*
 * Socket (virtio 1.2, 5.10), served in user space. Host to guest: a client connects to the listening unix socket
 * listen_fd, writes "CONNECT <port>\n", gets "OK <host port>\n", and the stream follows; a refused connect closes. Guest to
 * host: refused, but for the one-shot agent_fd: the first guest connection to CID 2 port VSOCK_AGENT_PORT is joined with
 * that connected unix stream socket. The process must ignore SIGPIPE: data goes to the sockets by pwritev2(2).
 */
#define VSOCK_AGENT_PORT 1024
struct dev_vsock_params {
	uint32_t guest_cid; /* 3..0xfffffffe */
	int listen_fd;      /* -1: none */
	int agent_fd;       /* -1: none */
};
int dev_vsock_create(const struct dev_vsock_params *p, struct gmem *mem, struct loop *loop,
		     struct virtio_dev **out, struct err *err) MUST_CHECK;

/*
 * Consoles (virtio 1.2, 5.3): ports, each a tty of the guest's (/dev/hvcN). At a listening socket one client at a time is
 * served, the next one waits. Output that nobody reads, or reads too slowly, is dropped. Descriptors are duplicated.
 */
#define DEV_CONSOLE_MAX_PORTS 8
struct dev_console_port {
	bool present;
	int listen_fd; /* -1: none; then, and only then: */
	int out_fd;    /* -1: dropped */
	int in_fd;     /* -1: none */
};
struct dev_console_params {
	struct dev_console_port ports[DEV_CONSOLE_MAX_PORTS]; /* by number */
	uint16_t nports; /* up to the last one that is present, at least 1 */
};
int dev_console_create(const struct dev_console_params *p, struct gmem *mem, struct loop *loop,
		       struct virtio_dev **out, struct err *err) MUST_CHECK;
/* The ports, a bit each by number, at whose socket there is a client. */
uint32_t dev_console_clients(struct virtio_dev *dev);

#endif
