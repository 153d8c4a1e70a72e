/*
 * Lists of the system calls that a thread or process may make (seccomp(2)), as tables: a rule is one call, the kinds of thread that
 * may make it, and conditions on its arguments. The first rule that fits decides; what fits none ends the process.
 *
 * Who has a list writes it in a .def file of these words and makes the table of it by RULE_...:
 *
 *	ALLOW(kinds, system call, user)
 *	REFUSE(kinds, system call, user): it fails with EACCES, for what may be asked in good faith
 *	ALLOW_IF, REFUSE_IF(kinds, system call, user, condition, condition)
 *	  IS(n, v): argument n is v   WITHOUT(n, bits): none of them   MASKED(n, mask, v): (argument & mask) is v
 *
 * Conditions look at the low 32 bits of an argument, which is all that the kernel takes of the int and unsigned int arguments
 * they are used on; of mmap's and mprotect's protection, no bit above means anything.
 */
#ifndef NACRE_BASE_SYSCALL_LIST_H
#define NACRE_BASE_SYSCALL_LIST_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "base/compiler.h"
#include "base/err.h"

#define SYSCALL_MAX_CONDITIONS 2
#define SYSCALL_MAX_INSNS      1024

struct syscall_condition {
	uint8_t used;
	uint8_t arg;
	uint32_t mask, value; /* (arg & mask) == value */
};

struct syscall_rule {
	uint32_t kinds; /* a mask: bit n is the list's n-th kind of thread */
	uint32_t nr;
	uint32_t verdict;
	struct syscall_condition conditions[SYSCALL_MAX_CONDITIONS];
};

#define IS(n, v)                                                                                   \
	{                                                                                          \
		.used = 1, .arg = (n), .mask = UINT32_MAX, .value = (uint32_t)(v)                  \
	}
#define MASKED(n, m, v)                                                                            \
	{                                                                                          \
		.used = 1, .arg = (n), .mask = (uint32_t)(m), .value = (uint32_t)(v)               \
	}
#define WITHOUT(n, bits) MASKED(n, bits, 0)

#define RULE_ALLOW(kinds, call)         {(kinds), SYS_##call, SECCOMP_RET_ALLOW, {{0}}},
#define RULE_ALLOW_IF(kinds, call, ...) {(kinds), SYS_##call, SECCOMP_RET_ALLOW, {__VA_ARGS__}},
#define RULE_REFUSE(kinds, call)        RULE_REFUSE_IF(kinds, call, {0})
#define RULE_REFUSE_IF(kinds, call, ...)                                                           \
	{(kinds), SYS_##call, SECCOMP_RET_ERRNO | EACCES, {__VA_ARGS__}},

/* The rules of a kind as a program; its length. Pure. */
size_t syscall_list_compile(const struct syscall_rule *rules, size_t n, unsigned int kind,
			    struct sock_filter out[SYSCALL_MAX_INSNS]);

/* For the calling thread and all that it starts, for good. no_new_privs is set. `who` is for the error. */
int syscall_list_enter(const struct syscall_rule *rules, size_t n, unsigned int kind,
		       const char *who, struct err *err) MUST_CHECK;

#endif
