/*
 * A whole machine around guests of a dozen instructions: it stands still when paused, starts again from nothing when reset,
 * and shows disks that are plugged. Needs /dev/kvm (any: these guests run on one that emulates ring 0 too); without it each
 * case says that it is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "tests/unit/bzimage.h"
#include "vmm/gmem.h"
#include "vmm/machine.h"
#include "vmm/machine_state.h"

#define MIB        0x100000ULL
#define GUEST_MS   30000 /* for a guest to do what it does, on a machine that is busy */
#define COUNTER    GPA(0x200000)
#define STAIN      GPA(0x300000)
#define ORDER      GPA(0x300004)
#define LOOK_TIMES 200000

/*
 * guest_count says A when memory is as new and B when it is not, counts, and when ordered to resets itself (1) or makes a
 * triple fault of an exception without a table (2). guest_watch says how many sectors the disk of the first slot has,
 * whenever that changes. guest_status says that device's status, acknowledges it and says it again.
 */
asm(".pushsection .rodata\n"
    ".code32\n"
    "guest_count:\n"
    "	cmpl $0, 0x300000\n"
    "	movb $'A', %al\n"
    "	je 1f\n"
    "	movb $'B', %al\n"
    "1:	movl $1, 0x300000\n"
    "	movw $0x3f8, %dx\n"
    "	outb %al, %dx\n"
    "2:	incl 0x200000\n"
    "	cmpl $0, 0x300004\n"
    "	je 2b\n"
    "	cmpl $2, 0x300004\n"
    "	jne 5f\n"
    "	lidt 0x300010\n"
    "	int3\n"
    "5:	movb $0xfe, %al\n"
    "	outb %al, $0x64\n"
    "3:	jmp 3b\n"
    "guest_watch:\n"
    "	xorl %ebx, %ebx\n"
    "4:	movl 0xd0000100, %eax\n"
    "	cmpl %ebx, %eax\n"
    "	je 4b\n"
    "	movl %eax, %ebx\n"
    "	addb $'0', %al\n"
    "	movw $0x3f8, %dx\n"
    "	outb %al, %dx\n"
    "	jmp 4b\n"
    "guest_status:\n"
    "	movl 0xd0000070, %eax\n"
    "	addb $'0', %al\n"
    "	movw $0x3f8, %dx\n"
    "	outb %al, %dx\n"
    "	movl $1, 0xd0000070\n"
    "	movl 0xd0000070, %eax\n"
    "	addb $'0', %al\n"
    "	outb %al, %dx\n"
    "6:	jmp 6b\n"
    "guest_end:\n"
    ".code64\n"
    ".popsection\n");
extern const uint8_t guest_count[], guest_watch[], guest_status[], guest_end[];

struct fixture {
	struct loop *loop;
	struct machine *m;
	int console;
	char path[32];
	int kernel_fd;
	int ends;
	enum guest_end end;
};

static void on_end(void *arg, enum guest_end end, const char *detail UNUSED)
{
	struct fixture *f = arg;

	f->ends++;
	f->end = end;
}

static void make_kernel(struct fixture *f, const uint8_t *code)
{
	uint8_t bytes[BZIMAGE_KERNEL_OFF + 256] = {0};

	/* Room to name all slots, more than Linux has. */
	bzimage_head(bytes, 256, UINT32_MAX, 4095);
	memcpy(bytes + BZIMAGE_KERNEL_OFF, code, (size_t)(guest_end - code));
	f->kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	assert_int_equal(write(f->kernel_fd, bytes, sizeof(bytes)), sizeof(bytes));
	(void)snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->kernel_fd);
}

static int create(struct fixture *f, const uint8_t *code, struct machine_config *c, struct err *err)
{
	const struct machine_events events = {.on_end = on_end, .arg = f};
	int pipes[2];
	int rc;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		skip();
	*f = (struct fixture){.console = -1};
	make_kernel(f, code);
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	f->console = pipes[0];
	assert_int_equal(loop_create(&f->loop, NULL), 0);
	c->kernel_path = f->path;
	c->memory_mib = 32;
	c->vcpus = 1;
	c->kvm_fd = -1;
	c->serial = true;
	c->serial_out_fd = pipes[1];
	c->serial_in_fd = -1;
	rc = machine_create(c, f->loop, &events, &f->m, err);
	(void)close(pipes[1]);
	return rc;
}

static void destroy(struct fixture *f)
{
	machine_destroy(f->m);
	loop_destroy(f->loop);
	(void)close(f->console);
	(void)close(f->kernel_fd);
}

static void start(struct fixture *f, const uint8_t *code, struct machine_config *c)
{
	struct err err = ERR_INIT;
	int rc = create(f, code, c, &err);

	if (rc < 0)
		print_message("%s\n", err.text);
	assert_int_equal(rc, 0);
	assert_int_equal(machine_start(f->m, NULL), 0);
}

/* The next byte on the console, 0 when none comes. */
static char console_byte(struct fixture *f)
{
	char byte;

	for (uint64_t end = clock_now_us() + GUEST_MS * 1000ULL; clock_now_us() < end;) {
		if (read(f->console, &byte, 1) == 1)
			return byte;
		assert_int_equal(loop_step(f->loop, 10, NULL), 0);
	}
	return 0;
}

static bool await_end(struct fixture *f, int ends)
{
	for (uint64_t end = clock_now_us() + GUEST_MS * 1000ULL; clock_now_us() < end;) {
		if (f->ends == ends)
			return true;
		assert_int_equal(loop_step(f->loop, 10, NULL), 0);
	}
	return false;
}

static uint32_t peek(struct fixture *f, struct gpa at)
{
	uint32_t value = 0;

	assert_true(gmem_read(f->m->mem, at, &value, sizeof(value)));
	return value;
}

static void poke(struct fixture *f, struct gpa at, uint32_t value)
{
	assert_true(gmem_write(f->m->mem, at, &value, sizeof(value)));
}

static bool counts(struct fixture *f)
{
	uint32_t from = peek(f, COUNTER);

	for (uint64_t end = clock_now_us() + GUEST_MS * 1000ULL; clock_now_us() < end;) {
		if (peek(f, COUNTER) != from)
			return true;
		(void)poll(NULL, 0, 1);
	}
	return false;
}

static bool stands_still(struct fixture *f)
{
	uint32_t from = peek(f, COUNTER);

	for (int i = 0; i < LOOK_TIMES; i++) {
		if (peek(f, COUNTER) != from)
			return false;
	}
	return true;
}

static void test_pause(void **state)
{
	struct machine_config c = {.max_vcpus = 3};
	struct fixture f;

	(void)state;
	start(&f, guest_count, &c);
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(f.m->nvcpus, 3);
	for (int i = 0; i < 20; i++) {
		assert_true(counts(&f));
		assert_int_equal(machine_pause(f.m, NULL), 0);
		assert_true(f.m->paused);
		assert_int_equal(machine_pause(f.m, NULL), 0);
		assert_true(stands_still(&f));
		assert_int_equal(machine_resume(f.m, NULL), 0);
		assert_int_equal(machine_resume(f.m, NULL), 0);
		assert_false(f.m->paused);
	}
	assert_int_equal(machine_pause(f.m, NULL), 0);
	destroy(&f); /* a paused one ends too */
}

static void test_paused_from_birth(void **state)
{
	struct machine_config c = {.max_vcpus = 2};
	struct fixture f;

	(void)state;
	assert_int_equal(create(&f, guest_count, &c, NULL), 0);
	assert_int_equal(machine_pause(f.m, NULL), 0);
	assert_int_equal(machine_start(f.m, NULL), 0);
	assert_true(stands_still(&f));
	assert_int_equal(peek(&f, STAIN), 0);
	assert_int_equal(machine_times(f.m).entry_us, 0);
	uint64_t before_us = clock_now_us();
	assert_int_equal(machine_resume(f.m, NULL), 0);
	uint64_t entry_us = machine_times(f.m).entry_us;
	assert_true(entry_us >= before_us && entry_us <= clock_now_us());
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(machine_pause(f.m, NULL), 0);
	assert_int_equal(machine_resume(f.m, NULL), 0);
	assert_int_equal(machine_times(f.m).entry_us, entry_us);
	destroy(&f);
}

/* In place of the C library's. */
static bool refuse_signals;

int pthread_kill(pthread_t thread, int signo)
{
	int (*real)(pthread_t, int) = NULL;

	*(void **)&real = dlsym(RTLD_NEXT, "pthread_kill");
	return refuse_signals ? EPERM : real(thread, signo);
}

/* A vCPU that cannot be brought out of its guest would be waited for, for good at the end: that is said at once. */
static void test_signal_refused(void **state)
{
	struct machine_config c = {0};
	struct fixture f;
	int status = 0;
	pid_t pid;

	(void)state;
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		skip();
	pid = fork();
	if (pid == 0) {
		start(&f, guest_count, &c);
		refuse_signals = true;
		(void)alarm(GUEST_MS / 1000);
		machine_destroy(f.m);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* What goes wrong while the images load beside the making of the VM is said all the same, and nothing is left running. */
static void test_image_that_cannot_be_loaded(void **state)
{
	AUTO_FD int empty = memfd_create("initramfs", MFD_CLOEXEC);
	char path[32];
	struct machine_config c = {.initrd_path = path};
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", empty);
	assert_int_equal(create(&f, guest_count, &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is empty"));
	assert_null(f.m);
	destroy(&f);
}

static bool has_pit(const struct fixture *f)
{
	struct kvm_pit_state2 pit;

	return ioctl(f->m->kvm->vm_fd, KVM_GET_PIT2, &pit) == 0;
}

static void test_pit(void **state)
{
	static const bool without[] = {false, true};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		struct machine_config c = {.no_pit = without[i]};
		struct fixture f;

		start(&f, guest_count, &c);
		assert_int_equal(has_pit(&f), !without[i]);
		assert_int_equal(machine_reset(f.m, NULL), 0);
		assert_int_equal(has_pit(&f), !without[i]);
		destroy(&f);
	}
}

/* A word of device memory, written by a vCPU and looked at by the test. */
static uint64_t word_read(void *self, uint64_t off UNUSED, uint32_t len UNUSED)
{
	return atomic_load((_Atomic uint32_t *)self);
}

static void word_write(void *self, uint64_t off UNUSED, uint32_t len UNUSED, uint64_t value)
{
	atomic_store((_Atomic uint32_t *)self, (uint32_t)value);
}

static bool word_grows(_Atomic uint32_t *word)
{
	for (uint64_t end = clock_now_us() + GUEST_MS * 1000ULL; clock_now_us() < end;) {
		if (atomic_load(word) > 2)
			return true;
		(void)poll(NULL, 0, 1);
	}
	return false;
}

/* Over the page in which the guest counts a device appears and goes again, under the guest's hands. */
static void test_device_over_ram(void **state)
{
	static const struct region_ops ops = {.read = word_read, .write = word_write};
	_Atomic uint32_t word = 0;
	const struct region device = {.name = "word",
				      .base = 0x200000,
				      .len_bytes = 0x1000,
				      .priority = 1,
				      .ops = &ops,
				      .self = &word};
	const struct region crumb = {.name = "crumb",
				     .base = 0x400010,
				     .len_bytes = 8,
				     .priority = 1,
				     .ops = &ops,
				     .self = &word};
	struct machine_config c = {0};
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	start(&f, guest_count, &c);
	assert_int_equal(console_byte(&f), 'A');
	for (int i = 0; i < 5; i++) {
		assert_true(counts(&f));
		atomic_store(&word, 0);
		assert_int_equal(address_space_add(&f.m->memory, &device, NULL), 0);
		assert_true(word_grows(&word));
		assert_true(stands_still(&f)); /* the page below, that is */
		/* KVM maps whole pages: this is refused, and all is as it was. */
		assert_int_equal(address_space_add(&f.m->memory, &crumb, &err), -EINVAL);
		assert_non_null(strstr(err.text, "part of a page"));
		if (i == 2) { /* a fresh VM gets the same picture */
			assert_int_equal(machine_reset(f.m, NULL), 0);
			assert_int_equal(console_byte(&f), 'A');
			assert_true(word_grows(&word));
		}
		assert_int_equal(address_space_remove(&f.m->memory, &device, NULL), 0);
	}
	assert_true(counts(&f));
	destroy(&f);
}

static void test_reset(void **state)
{
	/* With a device that has a thread and one that has none. */
	struct machine_config c = {.max_vcpus = 2,
				   .spare_blk = 1,
				   .spare_net = 1,
				   .devices = {{.kind = DEVICE_RNG}},
				   .ndevices = 1};
	struct fixture f;

	(void)state;
	start(&f, guest_count, &c);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(console_byte(&f), 'A');
		assert_true(counts(&f));
		assert_int_equal(machine_reset(f.m, NULL), 0);
	}
	assert_int_equal(console_byte(&f), 'A');
	/* Paused: it waits at its first instruction. */
	assert_int_equal(machine_pause(f.m, NULL), 0);
	assert_int_equal(machine_reset(f.m, NULL), 0);
	assert_true(f.m->paused);
	assert_true(stands_still(&f));
	assert_int_equal(peek(&f, STAIN), 0);
	assert_int_equal(machine_resume(f.m, NULL), 0);
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(f.ends, 0);
	destroy(&f);
}

static void test_reset_devices(void **state)
{
	struct machine_config c = {.spare_blk = 1};
	struct fixture f;

	(void)state;
	start(&f, guest_status, &c);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(console_byte(&f), '0');
		assert_int_equal(console_byte(&f), '1');
		assert_int_equal(machine_reset(f.m, NULL), 0);
	}
	destroy(&f);
}

static void test_life_after_end(void **state)
{
	struct machine_config c = {0};
	struct fixture f;

	(void)state;
	start(&f, guest_count, &c);
	for (int life = 1; life <= 4; life++) {
		assert_int_equal(console_byte(&f), 'A');
		poke(&f, ORDER, life % 2 ? 1 : 2);
		assert_true(await_end(&f, life));
		if (life % 2)
			assert_int_equal(f.end, GUEST_RESET);
		else /* a KVM that emulates the guest gives up a little earlier */
			assert_true(f.end == GUEST_TRIPLE_FAULT || f.end == GUEST_INTERNAL_ERROR);
		/* To go on is not to live again. */
		assert_int_equal(machine_pause(f.m, NULL), 0);
		assert_int_equal(machine_resume(f.m, NULL), 0);
		assert_int_equal(machine_reset(f.m, NULL), 0);
	}
	assert_int_equal(console_byte(&f), 'A');
	/* An end that the loop has not seen when the reset comes belongs to the old life. */
	machine_end(f.m, GUEST_SHUTDOWN, "");
	assert_int_equal(machine_reset(f.m, NULL), 0);
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(loop_step(f.loop, 0, NULL), 0);
	assert_int_equal(f.ends, 4);
	destroy(&f);
}

/* The fresh VM cannot be given its memory: the guest has ended, and lives again by a reset that can. */
static void test_reset_without_memory(void **state)
{
	struct machine_config c = {0};
	struct fixture f;
	uint8_t *host;

	(void)state;
	start(&f, guest_count, &c);
	assert_int_equal(console_byte(&f), 'A');
	host = f.m->ram[0].host;
	f.m->ram[0].host = host + 1; /* not aligned to a page */
	assert_true(machine_reset(f.m, NULL) < 0);
	assert_true(await_end(&f, 1));
	assert_int_equal(f.end, GUEST_INTERNAL_ERROR);
	assert_true(machine_reset(f.m, NULL) < 0);
	f.m->ram[0].host = host;
	assert_int_equal(machine_reset(f.m, NULL), 0);
	assert_int_equal(console_byte(&f), 'A');
	assert_true(counts(&f));
	destroy(&f);
}

/* A kernel that cannot be read any more leaves nothing to go on with. */
static void test_reset_without_kernel(void **state)
{
	struct machine_config c = {0};
	struct fixture f;

	(void)state;
	start(&f, guest_count, &c);
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(ftruncate(f.kernel_fd, 600), 0);
	assert_true(machine_reset(f.m, NULL) < 0);
	assert_true(await_end(&f, 1));
	assert_int_equal(f.end, GUEST_INTERNAL_ERROR);
	destroy(&f);
}

static struct machine_device disk(const char *id, uint32_t sectors)
{
	struct machine_device d = {.kind = DEVICE_BLK, .id = id};

	d.blk.fd = memfd_create("disk", MFD_CLOEXEC);
	assert_int_equal(ftruncate(d.blk.fd, (off_t)sectors * 512), 0);
	return d;
}

static void test_plug(void **state)
{
	struct machine_config c = {.spare_blk = 2};
	struct fixture f;

	(void)state;
	start(&f, guest_watch, &c);
	for (uint32_t sectors = 1; sectors < 6; sectors++) {
		struct machine_device d = disk("d", sectors);

		assert_int_equal(machine_plug(f.m, &d, -1, NULL), 0);
		assert_int_equal(d.blk.fd, -1);
		assert_int_equal(console_byte(&f), '0' + (int)sectors);
		if (sectors == 3) { /* what is plugged stays so */
			assert_int_equal(machine_reset(f.m, NULL), 0);
			assert_int_equal(console_byte(&f), '3');
		}
		assert_int_equal(machine_unplug(f.m, "d", NULL), 0);
		assert_int_equal(console_byte(&f), '0');
	}
	destroy(&f);
}

static void test_plug_refused(void **state)
{
	static char long_id[MACHINE_ID_BYTES + 1];
	static const struct {
		const char *name;
		const char *id;
		int addr;
		int ret;
		const char *error;
	} cases[] = {
		{"first free", "a", -1, 0, ""},
		{"same id", "a", -1, -EEXIST, "'a' is taken"},
		{"no id", "", -1, -EINVAL, "must have 1 to 127 bytes"},
		{"long id", long_id, -1, -EINVAL, "must have 1 to 127 bytes"},
		{"the id of what was there at the start", "root", -1, -EEXIST, "'root' is taken"},
		{"no such slot", "b", 4, -EINVAL, "slots are 0 to 3"},
		{"the slot of what was there at the start", "b", 0, -EBUSY, "taken by 'root'"},
		{"taken slot", "b", 1, -EBUSY, "taken by 'a'"},
		{"the last slot", "b", 3, 0, ""},
		{"first free between", "c", -1, 0, ""},
		{"none free", "d", -1, -ENOSPC, "all 3 spare slots"},
		{"taken slot, none free", "d", 2, -EBUSY, "taken by 'c'"},
	};
	struct machine_config c = {
		.spare_blk = 3, .devices = {{.kind = DEVICE_RNG}, disk("root", 1)}, .ndevices = 2};
	struct machine_config none = {.devices = {disk(NULL, 1)}, .ndevices = 1};
	struct machine_device d = disk("c", 1);
	struct fixture f;

	(void)state;
	memset(long_id, 'x', MACHINE_ID_BYTES);
	start(&f, guest_count, &c);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine_device one = disk(cases[i].id, 1);
		struct err err = ERR_INIT;

		print_message("%s\n", cases[i].name);
		assert_int_equal(machine_plug(f.m, &one, cases[i].addr, &err), cases[i].ret);
		assert_non_null(strstr(err.text, cases[i].error));
		/* Refused, it stays the caller's. */
		assert_int_equal(one.blk.fd < 0, cases[i].ret == 0);
		own_close(&one.blk.fd);
	}
	assert_int_equal(machine_unplug(f.m, "d", NULL), -ENODEV);
	assert_int_equal(machine_unplug(f.m, "", NULL), -ENODEV);
	assert_int_equal(machine_unplug(f.m, "c", NULL), 0);
	assert_int_equal(machine_unplug(f.m, "c", NULL), -ENODEV);
	assert_int_equal(machine_unplug(f.m, "root", NULL), -ENODEV);
	assert_int_equal(machine_plug(f.m, &d, 2, NULL), 0);
	destroy(&f);
	d = disk("a", 1);
	start(&f, guest_count, &none);
	assert_int_equal(machine_plug(f.m, &d, -1, NULL), -ENOTSUP);
	assert_int_equal(machine_plug(f.m, &d, 0, NULL), -EBUSY);
	assert_int_equal(machine_plug(f.m, &d, 1, NULL), -ENOTSUP);
	own_close(&d.blk.fd);
	destroy(&f);
}

/* As many slots as the address map has, three or four on each interrupt line; not one more. */
static void test_all_slots(void **state)
{
	struct machine_config all = {.spare_blk = MACHINE_MAX_DEVICES};
	struct machine_config more = {.spare_blk = MACHINE_MAX_DEVICES + 1};
	struct machine_device d = disk("last", 1);
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	start(&f, guest_count, &all);
	assert_int_equal(console_byte(&f), 'A');
	assert_int_equal(machine_plug(f.m, &d, MACHINE_MAX_DEVICES - 1, NULL), 0);
	assert_int_equal(machine_reset(f.m, NULL), 0);
	assert_int_equal(console_byte(&f), 'A');
	destroy(&f);
	assert_int_equal(create(&f, guest_count, &more, &err), -E2BIG);
	assert_non_null(strstr(err.text, "64 slots"));
	destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_paused_from_birth),
		cmocka_unit_test(test_signal_refused),
		cmocka_unit_test(test_image_that_cannot_be_loaded),
		cmocka_unit_test(test_pit),
		cmocka_unit_test(test_device_over_ram),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_devices),
		cmocka_unit_test(test_life_after_end),
		cmocka_unit_test(test_reset_without_memory),
		cmocka_unit_test(test_reset_without_kernel),
		cmocka_unit_test(test_plug),
		cmocka_unit_test(test_plug_refused),
		cmocka_unit_test(test_all_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
