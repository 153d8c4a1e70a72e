/*
 * The lists of system calls: each is entered in a child of its own, which then makes one call. What is allowed returns,
 * what is refused too, what is not on the list ends the whole process by SIGSYS; a condition is tried on both sides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/seccomp.h"

#define ALL       ((1u << THREAD_KINDS) - 1)
#define BIT(kind) (1u << (kind))

struct attempt {
	const char *what;
	unsigned int allowed; /* bit n: enum thread_kind */
	long args[6];         /* the first is the number */
};

static const struct attempt attempts[] = {
	/* what every thread needs */
	{"write", ALL, {SYS_write, -1, 0, 0}},
	{"read", ALL, {SYS_read, -1, 0, 0}},
	{"futex", ALL, {SYS_futex, 0, 1, 0}},
	{"mmap rw",
	 ALL,
	 {SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
	{"mprotect r", ALL, {SYS_mprotect, 0, 0, PROT_READ}},
	{"tgkill abort", ALL, {SYS_tgkill, -1, -1, SIGABRT}},
	/* code that is not the program's */
	{"mmap x", 0, {SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
	{"mprotect x", 0, {SYS_mprotect, 0, 0, PROT_READ | PROT_EXEC}},
	{"execve", 0, {SYS_execve, 0, 0, 0}},
	{"execveat", 0, {SYS_execveat, -1, 0, 0, 0, 0}},
	/* other processes */
	{"clone", 0, {SYS_clone, SIGCHLD, 0, 0, 0, 0}},
	{"ptrace", 0, {SYS_ptrace, PTRACE_TRACEME, 0, 0, 0}},
	{"process_vm_readv", 0, {SYS_process_vm_readv, 1, 0, 0, 0, 0}},
	{"kill", 0, {SYS_kill, 0, 0}},
	{"tgkill kill", 0, {SYS_tgkill, -1, -1, SIGKILL}},
	{"tgkill kick", BIT(THREAD_MAIN), {SYS_tgkill, -1, -1, SIGUSR1}},
	{"pidfd_open", 0, {SYS_pidfd_open, -1, 0}},
	/* the host */
	{"mount", 0, {SYS_mount, 0, 0, 0, 0, 0}},
	{"pivot_root", 0, {SYS_pivot_root, 0, 0}},
	{"setns", 0, {SYS_setns, -1, 0}},
	{"unshare mounts", 0, {SYS_unshare, CLONE_NEWNS}},
	{"unshare fs", BIT(THREAD_FS), {SYS_unshare, CLONE_FS}},
	{"init_module", 0, {SYS_init_module, 0, 0, 0}},
	{"finit_module", 0, {SYS_finit_module, -1, 0, 0}},
	{"bpf", 0, {SYS_bpf, -1, 0, 0}},
	{"perf_event_open", 0, {SYS_perf_event_open, 0, 0, 0, 0, 0}},
	{"setrlimit", 0, {SYS_prlimit64, 0, RLIMIT_CORE, 0, 0}},
	{"reboot", 0, {SYS_reboot, 0, 0, 0}},
	{"prctl", 0, {SYS_prctl, PR_GET_NAME, 0, 0, 0, 0}},
	{"seccomp", 0, {SYS_seccomp, 0, 0, 0}},
	{"io_uring_setup", 0, {SYS_io_uring_setup, 1, 0}},
	{"io_uring_register", 0, {SYS_io_uring_register, -1, 0, 0, 0}},
	{"io_uring_enter",
	 BIT(THREAD_BLK) | BIT(THREAD_VCPU) | BIT(THREAD_MAIN),
	 {SYS_io_uring_enter, -1, 0, 0, 0, 0}},
	/* files */
	{"open", 0, {SYS_open, 0, O_RDONLY}},
	{"openat",
	 ALL,
	 {SYS_openat, -1, 0, O_RDONLY}}, /* test_names_are_refused says how it ends */
	{"renameat", BIT(THREAD_FS), {SYS_renameat, -1, 0, -1, 0}},
	{"renameat2", BIT(THREAD_FS), {SYS_renameat2, -1, 0, -1, 0, 0}},
	{"statx", BIT(THREAD_FS), {SYS_statx, -1, 0, 0, 0, 0}},
	{"capset", BIT(THREAD_FS), {SYS_capset, 0, 0}},
	{"mknod fifo", BIT(THREAD_FS), {SYS_mknodat, -1, 0, S_IFIFO | 0600, 0}},
	{"mknod whiteout", BIT(THREAD_FS), {SYS_mknodat, -1, 0, S_IFCHR, 0}},
	{"mknod char", 0, {SYS_mknodat, -1, 0, S_IFCHR | 0600, 0x103}},
	{"mknod block", 0, {SYS_mknodat, -1, 0, S_IFBLK | 0600, 0}},
	{"preadv2",
	 BIT(THREAD_FS) | BIT(THREAD_VSOCK) | BIT(THREAD_BLK_IO) | BIT(THREAD_MAIN),
	 {SYS_preadv2, -1, 0, 0, 0, 0}},
	{"pwritev2",
	 BIT(THREAD_FS) | BIT(THREAD_VSOCK) | BIT(THREAD_BLK_IO),
	 {SYS_pwritev2, -1, 0, 0, 0, 0}},
	/* sockets */
	{"socket", BIT(THREAD_MAIN), {SYS_socket, AF_UNIX, SOCK_STREAM, 0}},
	{"connect", 0, {SYS_connect, -1, 0, 0}},
	{"bind", 0, {SYS_bind, -1, 0, 0}},
	{"accept4", BIT(THREAD_MAIN) | BIT(THREAD_VSOCK), {SYS_accept4, -1, 0, 0, 0}},
	{"recvmsg", BIT(THREAD_MAIN), {SYS_recvmsg, -1, 0, 0}},
	{"sendto", BIT(THREAD_MAIN) | BIT(THREAD_VSOCK), {SYS_sendto, -1, 0, 0, 0, 0}},
	{"shutdown", BIT(THREAD_VSOCK), {SYS_shutdown, -1, SHUT_WR}},
	/* descriptors */
	{"fcntl getfl", BIT(THREAD_MAIN) | BIT(THREAD_VSOCK), {SYS_fcntl, -1, F_GETFL, 0}},
	{"fcntl setfl", BIT(THREAD_MAIN) | BIT(THREAD_VSOCK), {SYS_fcntl, -1, F_SETFL, 0}},
	{"fcntl setown", 0, {SYS_fcntl, -1, F_SETOWN, 0}},
	{"ioctl KVM_RUN", BIT(THREAD_VCPU), {SYS_ioctl, -1, KVM_RUN, 0}},
	{"ioctl KVM_CREATE_VM", BIT(THREAD_MAIN), {SYS_ioctl, -1, KVM_CREATE_VM, 0}},
	{"ioctl TUNSETVNETHDRSZ", BIT(THREAD_MAIN), {SYS_ioctl, -1, TUNSETVNETHDRSZ, 0}},
	{"ioctl TUNSETVNETLE", BIT(THREAD_MAIN), {SYS_ioctl, -1, TUNSETVNETLE, 0}},
	{"ioctl TUNSETOFFLOAD",
	 BIT(THREAD_NET) | BIT(THREAD_VCPU) | BIT(THREAD_MAIN),
	 {SYS_ioctl, -1, TUNSETOFFLOAD, 0}},
	{"poll", BIT(THREAD_VCPU) | BIT(THREAD_MAIN), {SYS_poll, 0, 0, 0}},
	{"ppoll", BIT(THREAD_VCPU) | BIT(THREAD_MAIN), {SYS_ppoll, 0, 0, 1, 0, 0}},
	{"ioctl TIOCSTI", 0, {SYS_ioctl, -1, 0x5412, 0}},
	{"x32 write", 0, {0x40000000 + SYS_write, -1, 0, 0}},
};

/* 0: it returned; a signal's number: it ended the process. Another thread sees that it is the whole process. */
static void *wait_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		(void)pause();
	return NULL;
}

static int try(enum thread_kind kind, const struct attempt *a)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;
		pthread_t other;

		if (pthread_create(&other, NULL, wait_for_ever, NULL) ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || seccomp_enter(kind, &err))
			_exit(99);
		(void)syscall(a->args[0], a->args[1], a->args[2], a->args[3], a->args[4],
			      a->args[5]);
		(void)syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_each_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		for (enum thread_kind kind = 0; kind < THREAD_KINDS; kind++) {
			int want = attempts[i].allowed & BIT(kind) ? 0 : SIGSYS;
			int got = try(kind, &attempts[i]);

			if (got != want)
				print_error("%s in %s: %d, expected %d\n", attempts[i].what,
					    thread_kind_name(kind), got, want);
			assert_int_equal(got, want);
		}
	}
}

/* What a client or the C library may ask for in good faith is an error, even where it could be done. */
static int open_from(enum thread_kind kind)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err err = ERR_INIT;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || seccomp_enter(kind, &err))
		return 1;
	if (open("/", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES)
		return 2;
	if ((openat(root, ".", O_RDONLY | O_DIRECTORY) >= 0) != (kind == THREAD_FS))
		return 3;
	if (kind != THREAD_MAIN)
		return 0;
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES ? 0 : 4;
}

static void test_names_are_refused(void **state)
{
	(void)state;
	for (enum thread_kind kind = 0; kind < THREAD_KINDS; kind++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			(void)syscall(SYS_exit_group, open_from(kind));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/*
 * As the vsock device does with its connections' buffers: after the first one was given back, the C library takes the next from
 * the thread's own heap, and cuts that down again when they are free.
 */
#define BLOCKS      16
#define BLOCK_BYTES 262144

/* Ends the process itself: what the run-time of a sanitizer does at the end of a thread is not on the lists. */
static void *take_and_give_memory(void *arg)
{
	const enum thread_kind *kind = arg;
	void *volatile blocks[BLOCKS];
	struct err err = ERR_INIT;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || seccomp_enter(*kind, &err))
		_exit(1);
	for (int round = 0; round < 3; round++) {
		size_t n = round == 0 ? 1 : BLOCKS;

		for (size_t i = 0; i < n; i++)
			blocks[i] = malloc(BLOCK_BYTES);
		for (size_t i = n; i-- > 0;)
			free(blocks[i]);
	}
	(void)syscall(SYS_exit_group, 0);
	return NULL;
}

static void take_memory_in(enum thread_kind kind)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, take_and_give_memory, &kind) == 0)
		(void)pthread_join(thread, NULL);
	_exit(2);
}

static void test_every_thread_may_give_memory_back(void **state)
{
	(void)state;
	for (enum thread_kind kind = 0; kind < THREAD_KINDS; kind++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			take_memory_in(kind);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			print_error("%s: status 0x%x\n", thread_kind_name(kind), (unsigned)status);
		assert_int_equal(status, 0);
	}
}

/* A guest that makes a vCPU's thread say something must not end the process by it. */
static int log_from(enum thread_kind kind)
{
	struct err err = ERR_INIT;

	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_prepare();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || seccomp_enter(kind, &err))
		return 1;
	log_error("a first line");
	return 0;
}

static void test_every_thread_may_log(void **state)
{
	(void)state;
	for (enum thread_kind kind = 0; kind < THREAD_KINDS; kind++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			(void)syscall(SYS_exit_group, log_from(kind));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* Every jump stays inside the program, and the last word is no. */
static void test_programs_are_well_formed(void **state)
{
	(void)state;
	for (enum thread_kind kind = 0; kind < THREAD_KINDS; kind++) {
		struct sock_filter insns[SYSCALL_MAX_INSNS];
		size_t n = seccomp_compile(kind, insns);

		assert_in_range(n, 10, SYSCALL_MAX_INSNS / 2);
		assert_int_equal(insns[n - 1].code, BPF_RET | BPF_K);
		assert_int_equal(insns[n - 1].k, 0x80000000U); /* SECCOMP_RET_KILL_PROCESS */
		for (size_t i = 0; i < n; i++)
			if (BPF_CLASS(insns[i].code) == BPF_JMP)
				assert_true(i + 1 + insns[i].jt < n && i + 1 + insns[i].jf < n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs_are_well_formed),
		cmocka_unit_test(test_each_list),
		cmocka_unit_test(test_names_are_refused),
		cmocka_unit_test(test_every_thread_may_log),
		cmocka_unit_test(test_every_thread_may_give_memory_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
