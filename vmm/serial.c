/*
 * The 16550A's registers. There is no line, so no baud rate and no transmit FIFO: a byte written is a byte gone, and the
 * transmitter is always empty.
 */
#include "vmm/serial.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "vmm/sink.h"

/* PC16550D, 8.0: registers by offset (DLAB = 0), and their bits. */
enum reg { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX   0x01
#define IER_THRE 0x02
#define IER_MASK 0x0f

#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RX   0x04
#define IIR_FIFO 0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DATA  0x01
#define LSR_EMPTY 0x60 /* holding and shift register */

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI  0x40
#define MSR_DCD 0x80

#define RX_BYTES 64

struct serial {
	pthread_mutex_t lock;
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool fifo;
	bool thre_pending; /* the transmitter became empty and IIR has not said so yet */
	uint8_t rx[RX_BYTES];
	size_t rx_head, rx_len;
	bool rx_paused; /* the FIFO was full: input is not polled until the guest reads */

	struct loop *loop;
	int irq_fd;
	int in_fd;
	int resume_fd; /* the guest's thread asks the loop to poll input again */
	struct loop_source *input;
	struct loop_source *resume;
	struct sink *sink; /* NULL: nowhere */
};

static uint8_t iir_locked(const struct serial *s)
{
	uint8_t fifo = s->fifo ? IIR_FIFO : 0;

	if ((s->ier & IER_RX) && s->rx_len > 0)
		return fifo | IIR_RX;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return fifo | IIR_THRE;
	return fifo | IIR_NONE;
}

/* An edge for each new reason; the driver's handler loops until IIR_NONE, so none is lost. */
static void raise_locked(struct serial *s)
{
	if (!(iir_locked(s) & IIR_NONE))
		(void)eventfd_write(s->irq_fd, 1);
}

static void rx_push_locked(struct serial *s, uint8_t byte)
{
	if (s->rx_len == RX_BYTES)
		return;
	s->rx[(s->rx_head + s->rx_len++) % RX_BYTES] = byte;
}

static uint8_t rx_pop_locked(struct serial *s)
{
	uint8_t byte;

	if (s->rx_len == 0)
		return 0;
	byte = s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % RX_BYTES;
	s->rx_len--;
	if (s->rx_len == 0 && s->rx_paused) {
		s->rx_paused = false;
		(void)eventfd_write(s->resume_fd, 1);
	}
	return byte;
}

/* In loopback the modem inputs are the modem outputs: how Linux's autoconfig knows a UART. */
static uint8_t msr_locked(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	if (s->mcr & MCR_DTR)
		msr |= MSR_DSR;
	if (s->mcr & MCR_RTS)
		msr |= MSR_CTS;
	if (s->mcr & MCR_OUT1)
		msr |= MSR_RI;
	if (s->mcr & MCR_OUT2)
		msr |= MSR_DCD;
	return msr;
}

static uint8_t read_reg_locked(struct serial *s, enum reg reg)
{
	bool dlab = s->lcr & LCR_DLAB;
	uint8_t iir;

	switch (reg) {
	case REG_DATA:
		return dlab ? s->dll : rx_pop_locked(s);
	case REG_IER:
		return dlab ? s->dlm : s->ier;
	case REG_IIR_FCR:
		iir = iir_locked(s);
		if ((iir & ~IIR_FIFO) == IIR_THRE)
			s->thre_pending = false;
		return iir;
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_EMPTY | (s->rx_len > 0 ? LSR_DATA : 0);
	case REG_MSR:
		return msr_locked(s);
	case REG_SCR:
		return s->scr;
	}
	return 0;
}

static void transmit_locked(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP)
		rx_push_locked(s, byte);
	else if (s->sink)
		sink_put(s->sink, byte);
	s->thre_pending = true;
	raise_locked(s);
}

static void set_ier_locked(struct serial *s, uint8_t value)
{
	uint8_t added = value & (uint8_t)~s->ier;

	s->ier = value & IER_MASK;
	/* Enabling it while the transmitter is empty interrupts at once: Linux tests for that. */
	if (added & IER_THRE)
		s->thre_pending = true;
	if (added)
		raise_locked(s);
}

static void write_reg_locked(struct serial *s, enum reg reg, uint8_t value)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			transmit_locked(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			set_ier_locked(s, value);
		break;
	case REG_IIR_FCR:
		s->fifo = value & FCR_ENABLE;
		while ((value & FCR_CLEAR_RX) && s->rx_len > 0)
			(void)rx_pop_locked(s);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & MCR_MASK;
		break;
	case REG_LSR:
	case REG_MSR:
		break;
	case REG_SCR:
		s->scr = value;
		break;
	}
}

void serial_reset(struct serial *s)
{
	(void)pthread_mutex_lock(&s->lock);
	while (s->rx_len > 0)
		(void)rx_pop_locked(s);
	s->ier = s->lcr = s->mcr = s->scr = s->dll = s->dlm = 0;
	s->fifo = false;
	s->thre_pending = false;
	(void)pthread_mutex_unlock(&s->lock);
}

static uint64_t serial_read(void *self, uint64_t off, uint32_t len)
{
	struct serial *s = self;
	uint64_t value;

	/* The registers are bytes; a wider access has no meaning on this bus. */
	if (len != 1)
		return UINT64_MAX;
	(void)pthread_mutex_lock(&s->lock);
	value = read_reg_locked(s, (enum reg)off);
	(void)pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_write(void *self, uint64_t off, uint32_t len, uint64_t value)
{
	struct serial *s = self;

	if (len != 1)
		return;
	(void)pthread_mutex_lock(&s->lock);
	write_reg_locked(s, (enum reg)off, (uint8_t)value);
	(void)pthread_mutex_unlock(&s->lock);
}

const struct region_ops *serial_region_ops(void)
{
	static const struct region_ops ops = {.read = serial_read, .write = serial_write};

	return &ops;
}

static void drop_input(struct serial *s)
{
	loop_remove(s->input);
	s->input = NULL;
}

static void on_input(void *arg, int fd, uint32_t events UNUSED)
{
	struct serial *s = arg;
	uint8_t buf[RX_BYTES];
	size_t room;
	ssize_t n;

	(void)pthread_mutex_lock(&s->lock);
	room = RX_BYTES - s->rx_len;
	s->rx_paused = room == 0;
	(void)pthread_mutex_unlock(&s->lock);
	if (room == 0) {
		/* Out of the loop, not only asked for nothing: epoll reports a hang-up all the same, for ever. */
		drop_input(s);
		return;
	}
	n = read(fd, buf, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop_input(s);
		return;
	}
	(void)pthread_mutex_lock(&s->lock);
	for (ssize_t i = 0; i < n; i++)
		rx_push_locked(s, buf[i]);
	raise_locked(s);
	(void)pthread_mutex_unlock(&s->lock);
}

static int watch_input(struct serial *s, struct err *err)
{
	return loop_add_fd(s->loop, s->in_fd, EPOLLIN, on_input, s, &s->input, err);
}

static void on_resume(void *arg, int fd, uint32_t events UNUSED)
{
	struct serial *s = arg;
	struct err err = ERR_INIT;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) && watch_input(s, &err) < 0)
		log_warn("serial port: no more input: %s", err.text);
}

static int add_input(struct serial *s, int in_fd, struct err *err)
{
	int rc;

	s->in_fd = fcntl(in_fd, F_DUPFD_CLOEXEC, 0);
	if (s->in_fd < 0)
		return err_set(err, errno, "console input descriptor %d", in_fd);
	s->resume_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->resume_fd < 0)
		return err_set(err, errno, "serial eventfd");
	rc = loop_add_fd(s->loop, s->resume_fd, EPOLLIN, on_resume, s, &s->resume, err);
	if (rc < 0)
		return rc;
	rc = watch_input(s, err);
	/* A file or /dev/null as input: nobody types there. */
	return rc == -EPERM ? 0 : rc;
}

int serial_create(const struct serial_params *p, struct serial **out, struct err *err)
{
	CLEANUP(own_serial_destroy) struct serial *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return err_set(err, ENOMEM, "serial port");
	(void)pthread_mutex_init(&s->lock, NULL);
	s->loop = p->loop;
	s->resume_fd = -1;
	s->irq_fd = p->irq_fd;
	s->in_fd = -1;
	if (p->in_fd >= 0)
		rc = add_input(s, p->in_fd, err);
	if (rc == 0 && p->out_fd >= 0)
		rc = sink_create(p->out_fd, p->loop, &s->sink, err);
	if (rc < 0)
		return rc;
	*out = TAKE_PTR(&s);
	return 0;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	loop_remove(s->input);
	loop_remove(s->resume);
	own_close(&s->resume_fd);
	own_close(&s->in_fd);
	sink_destroy(s->sink);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void serial_drain(struct serial *s, int timeout_ms)
{
	uint64_t dropped;

	if (!s->sink)
		return;
	sink_drain(s->sink, timeout_ms);
	dropped = sink_dropped_bytes(s->sink);
	if (dropped > 0)
		log_warn("serial port: %llu bytes of output were dropped: nobody read them",
			 (unsigned long long)dropped);
}
