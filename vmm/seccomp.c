/*
 * From the lists to BPF programs. libseccomp would take a millisecond of each start for them (it sorts rules into trees, for every
 * thread anew); the lists need no more than a chain of comparisons, and for calls without conditions the kernel keeps a
 * bitmap that spares even that. One architecture only: a call by another ABI's number (x32, ia32) ends the process.
 *
 * Conditions look at the low 32 bits of an argument, which is all that the kernel takes of the int and unsigned int arguments
 * named here; of mmap's and mprotect's protection, no bit above means anything.
 */
#include "vmm/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define AUDIT_ARCH_OURS AUDIT_ARCH_RISCV64
#endif

#define MAX_CONDITIONS 2

struct condition {
	uint8_t used;
	uint8_t arg;
	uint32_t mask, value; /* (arg & mask) == value */
};

struct rule {
	uint32_t kinds; /* bit n: enum thread_kind */
	uint32_t nr;
	uint32_t verdict;
	struct condition conditions[MAX_CONDITIONS];
};

#define MAIN  (1u << THREAD_MAIN)
#define VCPU  (1u << THREAD_VCPU)
#define FS    (1u << THREAD_FS)
#define BLK   (1u << THREAD_BLK)
#define BLKIO (1u << THREAD_BLK_IO)
#define VSOCK (1u << THREAD_VSOCK)
#define NET   (1u << THREAD_NET)
#define LOOPS (MAIN | FS | BLK | BLKIO | VSOCK | NET)
#define EVERY (LOOPS | VCPU)

#define IS(n, v)                                                                                   \
	{                                                                                          \
		.used = 1, .arg = (n), .mask = UINT32_MAX, .value = (uint32_t)(v)                  \
	}
#define MASKED(n, m, v)                                                                            \
	{                                                                                          \
		.used = 1, .arg = (n), .mask = (uint32_t)(m), .value = (uint32_t)(v)               \
	}
#define WITHOUT(n, bits) MASKED(n, bits, 0)

static const struct rule rules[] = {
#define ALLOW(who, call, why)         {(who), SYS_##call, SECCOMP_RET_ALLOW, {{0}}},
#define ALLOW_IF(who, call, why, ...) {(who), SYS_##call, SECCOMP_RET_ALLOW, {__VA_ARGS__}},
#define REFUSE(who, call, why)        {(who), SYS_##call, SECCOMP_RET_ERRNO | EACCES, {{0}}},
#include "vmm/seccomp.def"
};

struct program {
	struct sock_filter *insns;
	size_t n;
};

static void emit(struct program *p, struct sock_filter insn)
{
	BUG_ON(p->n == SECCOMP_MAX_INSNS);
	p->insns[p->n++] = insn;
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void finish(struct program *p, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on when the accumulator is `value`, else past the next `skip` instructions. */
static void expect(struct program *p, uint32_t value, size_t skip)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)skip));
}

static size_t low_word_of(unsigned int arg)
{
	const size_t at = offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t);

	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? at : at + sizeof(uint32_t);
}

/* The number is in the accumulator before, and after a rule that does not fit. */
static void add_rule(struct program *p, const struct rule *r)
{
	size_t n = 0;

	while (n < MAX_CONDITIONS && r->conditions[n].used)
		n++;
	/* A condition has three instructions; behind them stand the verdict and, where any was tested, the number again. */
	expect(p, r->nr, n ? 3 * n + 2 : 1);
	for (size_t i = 0; i < n; i++) {
		const struct condition *c = &r->conditions[i];

		load(p, low_word_of(c->arg));
		emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
		expect(p, c->value, 3 * (n - 1 - i) + 1);
	}
	finish(p, r->verdict);
	if (n)
		load(p, offsetof(struct seccomp_data, nr));
}

size_t seccomp_compile(enum thread_kind kind, struct sock_filter out[SECCOMP_MAX_INSNS])
{
	struct program p = {.insns = out};

	load(&p, offsetof(struct seccomp_data, arch));
	expect(&p, AUDIT_ARCH_OURS, 1);
	emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
	finish(&p, SECCOMP_RET_KILL_PROCESS);
	load(&p, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].kinds & 1u << kind)
			add_rule(&p, &rules[i]);
	finish(&p, SECCOMP_RET_KILL_PROCESS);
	return p.n;
}

const char *thread_kind_name(enum thread_kind kind)
{
	static const char *const names[] = {
		[THREAD_MAIN] = "main", [THREAD_VCPU] = "vcpu",     [THREAD_FS] = "fs",
		[THREAD_BLK] = "blk",   [THREAD_BLK_IO] = "blk-io", [THREAD_VSOCK] = "vsock",
		[THREAD_NET] = "net",
	};

	return names[kind];
}

int seccomp_enter(enum thread_kind kind, struct err *err)
{
	struct sock_filter insns[SECCOMP_MAX_INSNS];
	const struct sock_fprog program = {
		.len = (unsigned short)seccomp_compile(kind, insns),
		.filter = insns,
	};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return err_set(err, errno, "confine a thread (%s) to its system calls",
			       thread_kind_name(kind));
	return 0;
}
