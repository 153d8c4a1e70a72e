/*
 * Classic BPF written by hand: libseccomp has no rule that covers socket(2), its x32 twin and i386's socketcall(2) alike,
 * and a few instructions on each system call cost less than its tree.
 */
#include "agent/vsock_guard.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_EQ(k, t, f)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, t, f)
#define RETURN(action)    BPF_STMT(BPF_RET | BPF_K, action)
#define RETURN_ERRNO(num) RETURN(SECCOMP_RET_ERRNO | (num))

/* arg0's low word: socket(2) and socketcall(2) take an int there. */
#define LOAD_ARG0 LOAD(args[0])

#if defined(__x86_64__)
#define X32_BIT         0x40000000u /* asm/unistd.h, __X32_SYSCALL_BIT */
#define SOCKET_I386     359         /* asm/unistd_32.h */
#define SOCKETCALL_I386 102
#define IO_URING_SETUP  425 /* the same number everywhere */

static const struct sock_filter program[] = {
	/* 0 */ LOAD(arch),
	/* 1 */ JUMP_EQ(AUDIT_ARCH_X86_64, 0, 5),
	/* 2 */ LOAD(nr),
	/* 3 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~X32_BIT),
	/* 4 */ JUMP_EQ(SYS_socket, 8, 0),
	/* 5 */ JUMP_EQ(IO_URING_SETUP, 11, 0),
	/* 6 */ RETURN(SECCOMP_RET_ALLOW),
	/* 7 */ JUMP_EQ(AUDIT_ARCH_I386, 0, 14),
	/* 8 */ LOAD(nr),
	/* 9 */ JUMP_EQ(SOCKET_I386, 3, 0),
	/* 10 */ JUMP_EQ(SOCKETCALL_I386, 7, 0),
	/* 11 */ JUMP_EQ(IO_URING_SETUP, 5, 0),
	/* 12 */ RETURN(SECCOMP_RET_ALLOW),
	/* 13: socket */ LOAD_ARG0,
	/* 14 */ JUMP_EQ(AF_VSOCK, 1, 0),
	/* 15 */ RETURN(SECCOMP_RET_ALLOW),
	/* 16 */ RETURN_ERRNO(EAFNOSUPPORT),
	/* 17 */ RETURN_ERRNO(ENOSYS),
	/* 18: socketcall, whose family lies in memory: no socket() through it at all */ LOAD_ARG0,
	/* 19 */ JUMP_EQ(SYS_SOCKET, 0, 1),
	/* 20 */ RETURN_ERRNO(EAFNOSUPPORT),
	/* 21 */ RETURN(SECCOMP_RET_ALLOW),
	/* 22 */ RETURN(SECCOMP_RET_KILL_PROCESS),
};
#else
#if defined(__aarch64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_RISCV64
#else
#error "no system call filter for this architecture"
#endif

static const struct sock_filter program[] = {
	/* 0 */ LOAD(arch),
	/* 1 */ JUMP_EQ(AUDIT_ARCH_NATIVE, 1, 0),
	/* 2 */ RETURN(SECCOMP_RET_KILL_PROCESS),
	/* 3 */ LOAD(nr),
	/* 4 */ JUMP_EQ(SYS_socket, 2, 0),
	/* 5 */ JUMP_EQ(SYS_io_uring_setup, 5, 0),
	/* 6 */ RETURN(SECCOMP_RET_ALLOW),
	/* 7 */ LOAD_ARG0,
	/* 8 */ JUMP_EQ(AF_VSOCK, 1, 0),
	/* 9 */ RETURN(SECCOMP_RET_ALLOW),
	/* 10 */ RETURN_ERRNO(EAFNOSUPPORT),
	/* 11 */ RETURN_ERRNO(ENOSYS),
};
#endif

const struct sock_filter *vsock_guard_program(unsigned short *len)
{
	*len = (unsigned short)ARRAY_SIZE(program);
	return program;
}

int vsock_guard_load(struct err *err)
{
	struct sock_filter copy[ARRAY_SIZE(program)]; /* struct sock_fprog is not const */
	struct sock_fprog prog = {.len = (unsigned short)ARRAY_SIZE(program), .filter = copy};

	for (size_t i = 0; i < ARRAY_SIZE(program); i++)
		copy[i] = program[i];
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_set(err, errno, "deny vsock to the container");
	return 0;
}
