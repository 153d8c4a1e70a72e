/* The vmm's lists of system calls, from vmm/seccomp.def; base/syscall_list makes programs of them. */
#include "vmm/seccomp.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/syscall_list.h"

#define MAIN  (1u << THREAD_MAIN)
#define VCPU  (1u << THREAD_VCPU)
#define FS    (1u << THREAD_FS)
#define BLK   (1u << THREAD_BLK)
#define BLKIO (1u << THREAD_BLK_IO)
#define VSOCK (1u << THREAD_VSOCK)
#define NET   (1u << THREAD_NET)
#define LOOPS (MAIN | FS | BLK | BLKIO | VSOCK | NET)
#define EVERY (LOOPS | VCPU)

static const struct syscall_rule rules[] = {
#define ALLOW(who, call, why)          RULE_ALLOW(who, call)
#define ALLOW_IF(who, call, why, ...)  RULE_ALLOW_IF(who, call, __VA_ARGS__)
#define REFUSE(who, call, why)         RULE_REFUSE(who, call)
#define REFUSE_IF(who, call, why, ...) RULE_REFUSE_IF(who, call, __VA_ARGS__)
#include "vmm/seccomp.def"
};

size_t seccomp_compile(enum thread_kind kind, struct sock_filter out[SYSCALL_MAX_INSNS])
{
	return syscall_list_compile(rules, ARRAY_SIZE(rules), kind, out);
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
	char who[32];

	(void)snprintf(who, sizeof(who), "a thread (%s)", thread_kind_name(kind));
	return syscall_list_enter(rules, ARRAY_SIZE(rules), kind, who, err);
}
