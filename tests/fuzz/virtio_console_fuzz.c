/*
 * A console's driver, good and bad, and a client that types. The input is a list of steps, each begun by a byte: 0 a chain (a
 * queue, a number of segments, and for each of them flags, 1 writable, 2 outside of RAM, a le16 of its length, and its
 * bytes), 1 the client writes, 2 it hangs up, 3 a reset, 4 a proper control message (port, event, value).
 */
#include <linux/virtio_console.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/log.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 64
#define MAX_SEGS  4
#define MAX_SEG   512
#define QUEUES    6 /* of two ports */
#define CTRL_TX   3

struct world {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int listen_fd, client_fd;
};

static void one_chain(struct world *w, struct cursor *c)
{
	uint16_t queue = cursor_u8(c) % QUEUES;
	size_t n = 1 + cursor_u8(c) % MAX_SEGS;
	struct fake_seg segs[MAX_SEGS];

	for (size_t i = 0; i < n; i++) {
		uint8_t flags = cursor_u8(c);
		uint32_t len = cursor_u16(c) % (MAX_SEG + 1);
		uint8_t bytes[MAX_SEG] = {0};
		size_t have = len < c->left ? len : c->left;

		cursor_copy(c, bytes, have);
		segs[i] = (struct fake_seg){.at = flags & 2 ? GPA(0) : fake_put(&w->d, bytes, len),
					    .len = len,
					    .writable = flags & 1};
	}
	fake_add_indirect(&w->d, queue, segs, n);
	fake_kick(&w->d, queue);
}

static void control(struct world *w, struct cursor *c)
{
	const struct virtio_console_control m = {
		.id = cursor_u8(c) % 4, .event = cursor_u8(c) % 10, .value = cursor_u8(c) & 1};

	fake_add(&w->d, CTRL_TX,
		 &(struct fake_seg){.at = fake_put(&w->d, &m, sizeof(m)), .len = sizeof(m)}, 1);
	fake_kick(&w->d, CTRL_TX);
}

static void type(struct world *w, struct cursor *c)
{
	char words[64] = {0};
	size_t n = cursor_u8(c) % sizeof(words);

	if (w->client_fd < 0) {
		w->client_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(w->client_fd, (const struct sockaddr *)&w->addr, w->addr_len);
	}
	(void)!send(w->client_fd, words, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	fake_run(&w->d, 0);
}

static void hang_up(struct world *w)
{
	if (w->client_fd >= 0)
		close(w->client_fd);
	w->client_fd = -1;
	fake_run(&w->d, 0);
}

static void begin_anew(struct world *w)
{
	virtio_set_status(w->dev, 0);
	fake_rewind(&w->d);
	fake_probe(&w->d, w->dev, UINT64_MAX);
}

static void step(struct world *w, struct cursor *c)
{
	switch (cursor_u8(c) % 5) {
	case 0:
		one_chain(w, c);
		break;
	case 1:
		type(w, c);
		break;
	case 2:
		hang_up(w);
		break;
	case 3:
		begin_anew(w);
		break;
	case 4:
		control(w, c);
		break;
	}
}

static void listen_somewhere(struct world *w)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};

	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_ON(bind(w->listen_fd, (const struct sockaddr *)&any, sizeof(sa_family_t)) < 0);
	BUG_ON(listen(w->listen_fd, 4) < 0);
	w->addr_len = sizeof(w->addr);
	BUG_ON(getsockname(w->listen_fd, (struct sockaddr *)&w->addr, &w->addr_len) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct dev_console_params p = {.nports = 2};
	struct world w = {.client_fd = -1};

	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	fake_init(&w.d);
	listen_somewhere(&w);
	p.ports[0] = (struct dev_console_port){
		.present = true, .listen_fd = w.listen_fd, .out_fd = -1, .in_fd = -1};
	p.ports[1] = (struct dev_console_port){
		.present = true, .listen_fd = -1, .out_fd = -1, .in_fd = -1};
	BUG_ON(dev_console_create(&p, w.d.mem, w.d.loop, &w.dev, NULL) < 0);
	fake_probe(&w.d, w.dev, UINT64_MAX);
	for (int i = 0; i < MAX_STEPS && c.left > 0; i++)
		step(&w, &c);
	virtio_dev_destroy(w.dev);
	hang_up(&w);
	close(w.listen_fd);
	fake_done(&w.d);
	return 0;
}
