/*
 * The serial port between a guest and a terminal that both do what the input says: a byte that chooses the step, and its
 * operands. Property: nothing comes out that the guest did not write, and no register is wider than a byte.
 *
 *	0 1 a register written	register u8, width u8, value u8		4 both sides take their turn
 *	2 a register read	register u8, width u8			5 a reset of the machine
 *	3 the terminal sends	length u8
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 256
#define DATA_REG  0
#define DRAIN_MS  1000
#define TYPED     0xa5

struct world {
	struct loop *loop;
	struct serial *serial;
	int in[2], out[2], irq_fd;
	size_t written, printed;
};

static uint32_t width(struct cursor *c)
{
	static const uint32_t widths[] = {1, 1, 1, 1, 1, 2, 4, 8};

	return widths[cursor_u8(c) % ARRAY_SIZE(widths)];
}

static void write_register(struct world *w, struct cursor *c)
{
	uint64_t reg = cursor_u8(c) % SERIAL_WINDOW_BYTES;
	uint32_t len = width(c);

	w->written += reg == DATA_REG && len == 1;
	serial_region_ops()->write(w->serial, reg, len, cursor_u8(c));
}

static void read_register(struct world *w, struct cursor *c)
{
	uint64_t reg = cursor_u8(c) % SERIAL_WINDOW_BYTES;
	uint32_t len = width(c);
	uint64_t value = serial_region_ops()->read(w->serial, reg, len);

	BUG_ON(len == 1 ? value > UINT8_MAX : value != UINT64_MAX);
}

static void type(struct world *w, struct cursor *c)
{
	uint8_t bytes[UINT8_MAX];

	memset(bytes, TYPED, sizeof(bytes));
	(void)!write(w->in[1], bytes, cursor_u8(c));
}

static void turn(struct world *w)
{
	uint8_t bytes[4096];
	ssize_t n;

	for (int i = 0; i < 4 && !loop_idle(w->loop); i++)
		BUG_ON(loop_step(w->loop, 0, NULL) < 0);
	while ((n = read(w->out[0], bytes, sizeof(bytes))) > 0)
		w->printed += (size_t)n;
}

static void run(struct world *w, struct cursor *c)
{
	for (int i = 0; i < MAX_STEPS && c->left > 0; i++) {
		switch (cursor_u8(c) % 6) {
		case 0:
		case 1:
			write_register(w, c);
			break;
		case 2:
			read_register(w, c);
			break;
		case 3:
			type(w, c);
			break;
		case 4:
			turn(w);
			break;
		case 5:
			serial_reset(w->serial);
			break;
		}
	}
	/* What waits to be written in one piece with more comes now. */
	serial_drain(w->serial, DRAIN_MS);
	turn(w);
	BUG_ON(w->printed > w->written);
}

static void world_init(struct world *w)
{
	log_init(-1, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	BUG_ON(pipe2(w->in, O_CLOEXEC | O_NONBLOCK) < 0 ||
	       pipe2(w->out, O_CLOEXEC | O_NONBLOCK) < 0);
	w->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(w->irq_fd < 0 || loop_create(&w->loop, NULL) < 0);
	const struct serial_params p = {
		.out_fd = w->out[1], .in_fd = w->in[0], .irq_fd = w->irq_fd, .loop = w->loop};
	BUG_ON(serial_create(&p, &w->serial, NULL) < 0);
}

/* For the next input: nothing on its way, and the registers as new. */
static void rewind_world(struct world *w)
{
	uint8_t bytes[4096];

	while (read(w->in[0], bytes, sizeof(bytes)) > 0)
		;
	turn(w);
	serial_reset(w->serial);
	w->written = w->printed = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct cursor c = cursor_of(data, size);

	if (!w.serial)
		world_init(&w);
	run(&w, &c);
	rewind_world(&w);
	return 0;
}
