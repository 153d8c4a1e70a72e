/*
 * From the lists to BPF programs. libseccomp would take a millisecond of each start for them (it sorts rules into trees, for every
 * thread anew); the lists need no more than a chain of comparisons, and for calls without conditions the kernel keeps a
 * bitmap that spares even that. One architecture only: a call by another ABI's number (x32, ia32) ends the process.
 */
#include "base/syscall_list.h"

#include <linux/audit.h>
#include <unistd.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define AUDIT_ARCH_OURS AUDIT_ARCH_RISCV64
#endif

struct program {
	struct sock_filter *insns;
	size_t n;
};

static void emit(struct program *p, struct sock_filter insn)
{
	BUG_ON(p->n == SYSCALL_MAX_INSNS);
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
static void add_rule(struct program *p, const struct syscall_rule *r)
{
	size_t n = 0;

	while (n < SYSCALL_MAX_CONDITIONS && r->conditions[n].used)
		n++;
	/* A condition has three instructions; behind them stand the verdict and, where any was tested, the number again. */
	expect(p, r->nr, n ? 3 * n + 2 : 1);
	for (size_t i = 0; i < n; i++) {
		const struct syscall_condition *c = &r->conditions[i];

		load(p, low_word_of(c->arg));
		emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
		expect(p, c->value, 3 * (n - 1 - i) + 1);
	}
	finish(p, r->verdict);
	if (n)
		load(p, offsetof(struct seccomp_data, nr));
}

size_t syscall_list_compile(const struct syscall_rule *rules, size_t n, unsigned int kind,
			    struct sock_filter out[SYSCALL_MAX_INSNS])
{
	struct program p = {.insns = out};

	load(&p, offsetof(struct seccomp_data, arch));
	expect(&p, AUDIT_ARCH_OURS, 1);
	emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
	finish(&p, SECCOMP_RET_KILL_PROCESS);
	load(&p, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++)
		if (rules[i].kinds & 1u << kind)
			add_rule(&p, &rules[i]);
	finish(&p, SECCOMP_RET_KILL_PROCESS);
	return p.n;
}

int syscall_list_enter(const struct syscall_rule *rules, size_t n, unsigned int kind,
		       const char *who, struct err *err)
{
	struct sock_filter insns[SYSCALL_MAX_INSNS];
	const struct sock_fprog program = {
		.len = (unsigned short)syscall_list_compile(rules, n, kind, insns),
		.filter = insns,
	};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return err_set(err, errno, "confine %s to its system calls", who);
	return 0;
}
