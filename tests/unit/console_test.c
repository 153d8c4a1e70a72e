/* Consoles: the introduction of ports, bytes both ways, clients that come and go, and drivers that break the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/fake_driver.h"
#include "vmm/dev/dev.h"

#define RX        0
#define TX        1
#define CTRL_RX   2
#define CTRL_TX   3
#define TX2       7 /* of port 2 */
#define WAIT_MS   5000
#define MULTIPORT (1ULL << VIRTIO_CONSOLE_F_MULTIPORT)

struct fixture {
	struct fake_driver d;
	struct virtio_dev *dev;
	struct sockaddr_un addr; /* port 0's, without a name in any file system */
	socklen_t addr_len;
	int listen_fd;
	int out[2], in[2]; /* port 2's: pipes */
};

static int listen_somewhere(struct fixture *f)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 8), 0);
	f->addr_len = sizeof(f->addr);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&f->addr, &f->addr_len), 0);
	return fd;
}

/* Ports 0, a socket, and 2, pipes; there is no port 1. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dev_console_params p = {.nports = 3};

	fake_init(&f->d);
	f->listen_fd = listen_somewhere(f);
	assert_int_equal(pipe2(f->out, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(f->in, O_CLOEXEC), 0);
	p.ports[0] = (struct dev_console_port){
		.present = true, .listen_fd = f->listen_fd, .out_fd = -1, .in_fd = -1};
	p.ports[2] = (struct dev_console_port){
		.present = true, .listen_fd = -1, .out_fd = f->out[1], .in_fd = f->in[0]};
	assert_int_equal(dev_console_create(&p, f->d.mem, f->d.loop, &f->dev, NULL), 0);
	fake_probe(&f->d, f->dev, UINT64_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_dev_destroy(f->dev);
	fake_done(&f->d);
	close(f->listen_fd);
	for (int i = 0; i < 2; i++) {
		close(f->out[i]);
		close(f->in[i]);
	}
	free(f);
	return 0;
}

static int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&f->addr, f->addr_len), 0);
	fake_run(&f->d, 1);
	return fd;
}

static void send_words(struct fixture *f, uint16_t queue, const char *words)
{
	uint32_t len = (uint32_t)strlen(words);

	fake_add(&f->d, queue, &(struct fake_seg){.at = fake_put(&f->d, words, len), .len = len},
		 1);
	fake_kick(&f->d, queue);
}

static void control(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control m = {.id = id, .event = event, .value = value};
	uint16_t head;
	uint32_t len;

	fake_add(&f->d, CTRL_TX,
		 &(struct fake_seg){.at = fake_put(&f->d, &m, sizeof(m)), .len = sizeof(m)}, 1);
	fake_kick(&f->d, CTRL_TX);
	assert_true(fake_used(&f->d, CTRL_TX, &head, &len));
}

static struct gpa give_buffer(struct fixture *f, uint16_t queue, uint32_t len)
{
	struct gpa at = fake_alloc(&f->d, len);

	fake_add(&f->d, queue, &(struct fake_seg){.at = at, .len = len, .writable = true}, 1);
	fake_kick(&f->d, queue);
	return at;
}

/* The next thing the driver is told, in the buffer at `at`. */
static void assert_told(struct fixture *f, struct gpa at, uint32_t id, uint16_t event)
{
	struct virtio_console_control m;
	uint16_t head;
	uint32_t len = 0;

	assert_true(fake_used_wait(&f->d, CTRL_RX, &head, &len, WAIT_MS));
	assert_int_equal(len, sizeof(m));
	fake_get(&f->d, at, &m, sizeof(m));
	assert_int_equal(m.id, id);
	assert_int_equal(m.event, event);
	assert_int_equal(m.value, 1);
}

static void assert_not_told(struct fixture *f)
{
	uint16_t head;
	uint32_t len;

	fake_run(&f->d, 1);
	assert_false(fake_used(&f->d, CTRL_RX, &head, &len));
}

static void open_port(struct fixture *f, uint32_t id)
{
	control(f, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* Exactly these words come out of `fd`, soon. */
static void assert_heard(struct fixture *f, int fd, const char *words)
{
	char got[64] = "";
	size_t have = 0;

	for (int i = 0; i < 100 && have < strlen(words); i++) {
		ssize_t n;

		fake_run(&f->d, 10);
		n = read(fd, got + have, sizeof(got) - 1 - have);
		have += n > 0 ? (size_t)n : 0;
	}
	assert_string_equal(got, words);
}

/* The guest's buffer at `at` on `queue` holds these words. */
static void assert_got(struct fixture *f, uint16_t queue, struct gpa at, const char *words)
{
	char got[64] = "";
	uint16_t head;
	uint32_t len = 0;

	assert_true(fake_used_wait(&f->d, queue, &head, &len, WAIT_MS));
	assert_int_equal(len, strlen(words));
	fake_get(&f->d, at, got, len);
	assert_string_equal(got, words);
}

static bool is_broken(const struct fixture *f)
{
	return virtio_status(f->dev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void test_ports_are_introduced(void **state)
{
	struct fixture *f = *state;
	struct virtio_console_config config;
	struct gpa at[6];

	virtio_config_read(f->dev, 0, &config, sizeof(config));
	assert_int_equal(config.max_nr_ports, 3);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		at[i] = give_buffer(f, CTRL_RX, 32);
	assert_not_told(f);
	control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_told(f, at[0], 0, VIRTIO_CONSOLE_PORT_ADD);
	assert_told(f, at[1], 2, VIRTIO_CONSOLE_PORT_ADD);
	assert_not_told(f);
	control(f, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_told(f, at[2], 2, VIRTIO_CONSOLE_CONSOLE_PORT);
	assert_told(f, at[3], 2, VIRTIO_CONSOLE_PORT_OPEN);
	control(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_told(f, at[4], 0, VIRTIO_CONSOLE_CONSOLE_PORT);
	assert_told(f, at[5], 0, VIRTIO_CONSOLE_PORT_OPEN);
}

/* However often it asks: a word waits for a buffer once. */
static void test_words_wait_for_buffers(void **state)
{
	struct fixture *f = *state;
	struct gpa at;

	for (int i = 0; i < 1000; i++)
		control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	at = give_buffer(f, CTRL_RX, 8);
	assert_told(f, at, 0, VIRTIO_CONSOLE_PORT_ADD);
	at = give_buffer(f, CTRL_RX, 8);
	assert_told(f, at, 2, VIRTIO_CONSOLE_PORT_ADD);
	give_buffer(f, CTRL_RX, 8);
	assert_not_told(f);
}

static void test_nonsense_is_ignored(void **state)
{
	static const struct {
		uint32_t id;
		uint16_t event, value;
	} cases[] = {
		{1, VIRTIO_CONSOLE_PORT_READY, 1}, /* a port that is not present */
		{3, VIRTIO_CONSOLE_PORT_READY, 1}, {UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1},
		{0, VIRTIO_CONSOLE_PORT_READY, 0}, {0, VIRTIO_CONSOLE_DEVICE_READY, 0},
		{0, VIRTIO_CONSOLE_PORT_NAME, 1},  {0, UINT16_MAX, 1},
	};
	struct fixture *f = *state;

	give_buffer(f, CTRL_RX, 32);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		control(f, cases[i].id, cases[i].event, cases[i].value);
		assert_not_told(f);
		assert_false(is_broken(f));
	}
}

static void test_output(void **state)
{
	struct fixture *f = *state;
	uint16_t head;
	uint32_t len;
	int client;

	send_words(f, TX, "lost"); /* nobody is there, and the guest does not wait */
	assert_true(fake_used(&f->d, TX, &head, &len));
	client = dial(f);
	send_words(f, TX, "hello");
	send_words(f, TX, " client");
	assert_heard(f, client, "hello client");
	send_words(f, TX2, "hello pipe");
	assert_heard(f, f->out[0], "hello pipe");
	close(client);
}

static void test_input_waits_for_the_guest(void **state)
{
	struct fixture *f = *state;
	int client = dial(f);
	struct gpa at = give_buffer(f, RX, 64);
	uint16_t head;
	uint32_t len;

	assert_int_equal(write(client, "typed", 5), 5);
	fake_run(&f->d, 10);
	assert_false(fake_used(&f->d, RX, &head, &len)); /* the guest has not opened the port */
	open_port(f, 0);
	assert_got(f, RX, at, "typed");
	assert_int_equal(write(client, "more", 4), 4);
	fake_run(&f->d, 10);
	assert_false(fake_used(&f->d, RX, &head, &len)); /* nor given a buffer */
	at = give_buffer(f, RX, 64);
	assert_got(f, RX, at, "more");
	control(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 0);
	at = give_buffer(f, RX, 64);
	assert_int_equal(write(client, "late", 4), 4);
	fake_run(&f->d, 10);
	assert_false(fake_used(&f->d, RX, &head, &len));
	open_port(f, 0);
	assert_got(f, RX, at, "late");
	close(client);
}

static void test_input_from_a_pipe(void **state)
{
	struct fixture *f = *state;
	struct gpa at = give_buffer(f, 6, 3);
	uint16_t head;
	uint32_t len;

	open_port(f, 2);
	assert_int_equal(write(f->in[1], "abcdef", 6), 6);
	assert_got(f, 6, at, "abc");
	at = give_buffer(f, 6, 64);
	assert_got(f, 6, at, "def");
	give_buffer(f, 6, 64);
	close(f->in[1]);
	f->in[1] = -1;
	fake_run(&f->d, 10);
	assert_false(fake_used(&f->d, 6, &head, &len));
	assert_false(is_broken(f));
}

/* The next client waits, and is served when the first one is gone for good. */
static void test_clients_take_turns(void **state)
{
	struct fixture *f = *state;
	int first = dial(f), second = dial(f);
	struct gpa at = give_buffer(f, RX, 64);

	open_port(f, 0);
	assert_int_equal(write(second, "two", 3), 3);
	assert_int_equal(write(first, "one", 3), 3);
	assert_int_equal(shutdown(first, SHUT_WR), 0);
	assert_got(f, RX, at, "one");
	send_words(f, TX, "to one"); /* it has said all, and still listens */
	assert_heard(f, first, "to one");
	at = give_buffer(f, RX, 64);
	close(first);
	assert_got(f, RX, at, "two");
	send_words(f, TX, "to two");
	assert_heard(f, second, "to two");
	close(second);
}

/* A client that leaves before the guest has a driver does not keep the next one out. */
static void test_client_leaves_early(void **state)
{
	struct fixture *f = *state;
	int client;

	virtio_set_status(f->dev, 0);
	client = dial(f);
	close(client);
	fake_run(&f->d, 10);
	client = dial(f);
	fake_probe(&f->d, f->dev, UINT64_MAX);
	send_words(f, TX, "still here");
	assert_heard(f, client, "still here");
	close(client);
}

/* What a client has said before it left is read, unless somebody else comes first. */
static void test_client_leaves_words(void **state)
{
	struct fixture *f = *state;
	struct gpa at;

	open_port(f, 0);
	for (int others = 0; others < 2; others++) {
		int client = dial(f);
		int next = -1;

		assert_int_equal(write(client, "left", 4), 4);
		fake_run(&f->d, 10);
		close(client);
		fake_run(&f->d, 10);
		assert_true(loop_idle(f->d.loop));
		if (others) {
			next = dial(f);
			send_words(f, TX, "next");
			assert_heard(f, next, "next");
			assert_int_equal(write(next, "new", 3), 3);
		}
		at = give_buffer(f, RX, 64);
		assert_got(f, RX, at, others ? "new" : "left");
		close(next);
		fake_run(&f->d, 10);
	}
}

static void test_reset_keeps_the_client(void **state)
{
	struct fixture *f = *state;
	int client = dial(f);
	struct gpa at;
	uint16_t head;
	uint32_t len;

	open_port(f, 0);
	control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	virtio_set_status(f->dev, 0);
	fake_probe(&f->d, f->dev, UINT64_MAX);
	give_buffer(f, CTRL_RX, 32);
	assert_not_told(f);
	at = give_buffer(f, RX, 64);
	assert_int_equal(write(client, "again", 5), 5);
	fake_run(&f->d, 10);
	assert_false(fake_used(&f->d, RX, &head, &len)); /* closed again */
	open_port(f, 0);
	assert_got(f, RX, at, "again");
	close(client);
}

static void test_without_multiport(void **state)
{
	struct fixture *f = *state;
	int client = dial(f);
	struct gpa at;

	virtio_set_status(f->dev, 0);
	fake_probe(&f->d, f->dev, ~MULTIPORT);
	at = give_buffer(f, RX, 64);
	assert_int_equal(write(client, "plain", 5), 5);
	assert_got(f, RX, at, "plain");
	send_words(f, TX, "words");
	assert_heard(f, client, "words");
	give_buffer(f, CTRL_RX, 32);
	control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_not_told(f);
	send_words(f, TX2, "nowhere");
	fake_run(&f->d, 10);
	assert_int_equal(read(f->out[0], &(char){0}, 1), -1);
	close(client);
}

/* A reader that does not read loses output; the guest never waits, and nothing grows. */
static void test_stuck_reader(void **state)
{
	enum { CHUNK = 65536 };
	struct fixture *f = *state;
	struct gpa at = fake_alloc(&f->d, CHUNK);
	uint16_t head;
	uint32_t len;

	for (int i = 0; i < 100; i++) {
		fake_add(&f->d, TX2, &(struct fake_seg){.at = at, .len = CHUNK}, 1);
		fake_kick(&f->d, TX2);
		assert_true(fake_used(&f->d, TX2, &head, &len));
	}
	assert_false(is_broken(f));
}

static void test_broken_drivers(void **state)
{
	static const struct {
		uint16_t queue;
		uint32_t len;
		bool writable;
	} cases[] = {
		{CTRL_TX, 7, false}, /* a short message */
		{CTRL_TX, 8, true},  /* none */
		{CTRL_RX, 7, true},  /* no room for one */
		{CTRL_RX, 8, false}, {RX, 8, false},
	};
	struct fixture *f = *state;
	int client = dial(f);

	assert_int_equal(write(client, "x", 1), 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		virtio_set_status(f->dev, 0);
		fake_probe(&f->d, f->dev, UINT64_MAX);
		open_port(f, 0);
		control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
		assert_false(is_broken(f));
		fake_add(&f->d, cases[i].queue,
			 &(struct fake_seg){.at = fake_alloc(&f->d, 16),
					    .len = cases[i].len,
					    .writable = cases[i].writable},
			 1);
		fake_kick(&f->d, cases[i].queue);
		fake_run(&f->d, 10);
		assert_true(is_broken(f));
	}
	close(client);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ports_are_introduced),
		CASE(test_words_wait_for_buffers),
		CASE(test_nonsense_is_ignored),
		CASE(test_output),
		CASE(test_input_waits_for_the_guest),
		CASE(test_input_from_a_pipe),
		CASE(test_clients_take_turns),
		CASE(test_client_leaves_early),
		CASE(test_client_leaves_words),
		CASE(test_reset_keeps_the_client),
		CASE(test_without_multiport),
		CASE(test_stuck_reader),
		CASE(test_broken_drivers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
