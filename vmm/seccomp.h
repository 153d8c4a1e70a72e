/*
 * What each kind of thread may ask of the kernel (seccomp(2)). The lists are vmm/seccomp.def: a line a system call, with the
 * kinds of thread that may make it, conditions on its arguments, and who needs it. Everything else ends the process.
 */
#ifndef NACRE_VMM_SECCOMP_H
#define NACRE_VMM_SECCOMP_H

#include <linux/filter.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/syscall_list.h"

enum thread_kind {
	THREAD_MAIN,   /* the loop of the machine: QMP, console, entropy, reset, plugging */
	THREAD_VCPU,   /* KVM_RUN, registers of all devices */
	THREAD_FS,     /* the file server */
	THREAD_BLK,    /* a disk */
	THREAD_BLK_IO, /* one of those that do a disk's work where there is no io_uring */
	THREAD_VSOCK,  /* the socket device */
	THREAD_NET,    /* a network interface */
	THREAD_KINDS,
};

const char *thread_kind_name(enum thread_kind kind);

/* The list of `kind` as a program; its length. Pure. */
size_t seccomp_compile(enum thread_kind kind, struct sock_filter out[SYSCALL_MAX_INSNS]);

/* For the calling thread and all that it starts, for good. no_new_privs is set. */
int seccomp_enter(enum thread_kind kind, struct err *err) MUST_CHECK;

#endif
