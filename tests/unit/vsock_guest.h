/*
 * The socket device between a fake driver, which plays the guest packet by packet, and clients on unix sockets. Whatever is
 * not as a test expects it fails the test here.
 */
#ifndef NACRE_TESTS_VSOCK_GUEST_H
#define NACRE_TESTS_VSOCK_GUEST_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "tests/unit/fake_driver.h"
#include "vmm/virtio/virtio.h"

#define GUEST_CID 3
#define RX_BYTES  4096
#define CREDIT    (256u << 10)
#define HDR       sizeof(struct virtio_vsock_hdr)

struct guest {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct sockaddr_un addr; /* of the listening socket */
	socklen_t addr_len;
	int agent;                     /* our end of the agent's socket */
	struct gpa rx_at[VQ_MAX_SIZE]; /* by head */
	struct gpa tx_at;
	uint32_t buf_alloc; /* what our packets say */
};

/* A packet as the guest sees it, host order. */
struct packet {
	uint32_t src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	uint16_t op, type;
	uint8_t data[RX_BYTES];
};

/* cmocka's fixture: a probed device with receive buffers; *state is the struct guest. */
int guest_setup(void **state);
int guest_teardown(void **state);

#define VSOCK_TEST(fn) cmocka_unit_test_setup_teardown(fn, guest_setup, guest_teardown)

/* Moves the monotonic clock on; lets each timer that is armed from now on fire at once. Both end with the test. */
void guest_clock_ahead(int64_t seconds);
void guest_timers_short(void);

/* Runs the device until it has nothing more to do. */
void guest_run(struct guest *g);

/* Receive buffers, as after the driver's probe. */
void guest_post_buffers(struct guest *g);

/* The next packet to the guest, false when there is none. Its buffer is posted again. */
bool guest_take(struct guest *g, struct packet *p);
/* The same after a run, and it has to be this one; none at all. */
struct packet guest_expect(struct guest *g, uint16_t op);
void guest_expect_none(struct guest *g);

/* A packet to the host, one descriptor, in a place that is used again each time; `short_by` bytes are left away. */
void guest_send_raw(struct guest *g, const struct virtio_vsock_hdr *h, const void *data,
		    uint32_t len, uint32_t short_by);
struct virtio_vsock_hdr guest_header(const struct guest *g, uint32_t guest_port, uint32_t host_port,
				     uint16_t op);
void guest_send_op(struct guest *g, uint32_t guest_port, uint32_t host_port, uint16_t op,
		   uint32_t flags);
void guest_send_credit(struct guest *g, uint32_t guest_port, uint32_t host_port, uint32_t fwd);
void guest_send_data(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *data,
		     uint32_t len);

/* A client's socket, with `line` sent when there is one. */
int client_connect(struct guest *g, const char *line);
/* What lies in the client's socket: bytes, 0 at its end, -1 when there is nothing yet. */
ssize_t client_read(int fd, void *buf, size_t len);
void client_expect(int fd, const char *text);
void client_expect_end(int fd);

/* An open connection: client descriptor, and the host's port. */
int guest_open(struct guest *g, uint32_t guest_port, uint32_t *host_port);

/* The bytes of a stream from its offset `from` on. */
void pattern_fill(uint8_t *buf, size_t len, size_t from);
/* What the host says it has forwarded. */
uint32_t guest_ask_fwd(struct guest *g, uint32_t guest_port, uint32_t port);
/* Sends the stream until the credit is used up: bytes sent. */
uint32_t guest_send_all_credit(struct guest *g, uint32_t guest_port, uint32_t port);
/* Reads the stream from offset `at` on and checks it: the offset after what was there. */
size_t client_drain(struct guest *g, int fd, size_t at);

#endif
