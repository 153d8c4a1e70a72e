/*
 * See device_filter.h. The program's context is struct bpf_cgroup_dev_ctx: access_type holds the device type in its low
 * and the wanted access in its high half. Registers: r1 context, r2 type, r3 access, r4 major, r5 minor, r6 scratch.
 */
#include "agent/device_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define MAX_RULES 1024

#define PROLOGUE_INSNS 6
#define RULE_INSNS     8 /* at most: two a criterion, and the answer */
#define EPILOGUE_INSNS 2

/* As runc's: devices may be made but not used, and the harmless ones may be used. */
static const struct oci_device_rule default_rules[] = {
	{true, 'c', -1, -1, false, false, true}, {true, 'b', -1, -1, false, false, true},
	{true, 'c', 1, 3, true, true, true},    /* null */
	{true, 'c', 1, 5, true, true, true},    /* zero */
	{true, 'c', 1, 7, true, true, true},    /* full */
	{true, 'c', 1, 8, true, true, true},    /* random */
	{true, 'c', 1, 9, true, true, true},    /* urandom */
	{true, 'c', 5, 0, true, true, true},    /* tty */
	{true, 'c', 5, 2, true, true, true},    /* ptmx */
	{true, 'c', 136, -1, true, true, true}, /* pts */
};

struct program {
	struct bpf_insn *insns;
	size_t len;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		 int32_t imm)
{
	p->insns[p->len++] = (struct bpf_insn){
		.code = code,
		.dst_reg = dst & 0xfu,
		.src_reg = src & 0xfu,
		.off = off,
		.imm = imm,
	};
}

static void emit_answer(struct program *p, bool allow)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_prologue(struct program *p)
{
	const uint8_t load = BPF_LDX | BPF_MEM | BPF_W;

	emit(p, load, BPF_REG_2, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit(p, load, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(p, load, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static int32_t access_bits(const struct oci_device_rule *rule)
{
	return (rule->mknod ? BPF_DEVCG_ACC_MKNOD : 0) | (rule->read ? BPF_DEVCG_ACC_READ : 0) |
	       (rule->write ? BPF_DEVCG_ACC_WRITE : 0);
}

/*
 * An allowing rule answers when it covers all the wanted access, a denying one when it touches any of it. A criterion that
 * does not hold jumps behind the rule; the jumps are filled in once that place is known. Returns whether the rule answers
 * always: what would follow is unreachable then, which the kernel's verifier refuses.
 */
static bool emit_rule(struct program *p, const struct oci_device_rule *rule)
{
	const uint8_t jne = BPF_JMP | BPF_JNE | BPF_K, jeq = BPF_JMP | BPF_JEQ | BPF_K;
	const int32_t bits = access_bits(rule);
	size_t start = p->len;

	if (rule->type != 'a')
		emit(p, jne, BPF_REG_2, 0, 0,
		     rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (rule->major >= 0)
		emit(p, jne, BPF_REG_4, 0, 0, (int32_t)rule->major);
	if (rule->minor >= 0)
		emit(p, jne, BPF_REG_5, 0, 0, (int32_t)rule->minor);
	if (bits != (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)) {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_3, 0, 0);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_6, 0, 0, rule->allow ? ~bits : bits);
		emit(p, rule->allow ? jne : jeq, BPF_REG_6, 0, 0, 0);
	}
	bool always = p->len == start;

	emit_answer(p, rule->allow);
	for (size_t i = start; i < p->len - 2; i++) {
		if (BPF_CLASS(p->insns[i].code) == BPF_JMP)
			p->insns[i].off = (int16_t)(p->len - i - 1);
	}
	return always;
}

int device_filter_build(const struct oci_device_rule *rules, size_t n, struct bpf_insn **out,
			size_t *len, struct err *err)
{
	const size_t all = n + ARRAY_SIZE(default_rules);
	struct program p = {.len = 0};

	if (n > MAX_RULES)
		return err_say(err, EINVAL, "%zu device rules are too many (at most %d)", n,
			       MAX_RULES);
	p.insns = calloc(PROLOGUE_INSNS + all * RULE_INSNS + EPILOGUE_INSNS, sizeof(*p.insns));
	if (!p.insns)
		return err_set(err, ENOMEM, "make the device rules");
	emit_prologue(&p);
	for (size_t i = ARRAY_SIZE(default_rules); i-- > 0;)
		(void)emit_rule(&p, &default_rules[i]);
	bool answered = false;
	for (size_t i = n; i-- > 0 && !answered;)
		answered = emit_rule(&p, &rules[i]);
	if (!answered)
		emit_answer(&p, false);
	*len = p.len;
	*out = p.insns;
	return 0;
}

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

int device_filter_attach(int cgroup_fd, const struct oci_device_rule *rules, size_t n,
			 struct err *err)
{
	AUTO_FREE struct bpf_insn *insns = NULL;
	AUTO_FD int prog = -1;
	union bpf_attr attr;
	size_t len;
	int ret = device_filter_build(rules, n, &insns, &len, err);

	if (ret < 0)
		return ret;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)len;
	attr.license = (uintptr_t) "Apache-2.0";
	prog = bpf(BPF_PROG_LOAD, &attr);
	if (prog < 0)
		return err_set(err, errno, "load the device rules");
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return err_set(err, errno, "attach the device rules");
	return 0;
}
