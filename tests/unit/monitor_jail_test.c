/*
 * The monitor's list of system calls: entered in a child of its own, which then makes one call. What is allowed returns, what is
 * refused fails, what is not on the list ends the process by SIGSYS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "runtime/monitor_jail.h"

enum verdict { ALLOWED, REFUSED, DEADLY };

static const struct {
	const char *what;
	enum verdict verdict;
	long args[6]; /* the first is the number */
} attempts[] = {
	/* what it lives by */
	{"read", ALLOWED, {SYS_read, -1, 0, 0}},
	{"accept4", ALLOWED, {SYS_accept4, -1, 0, 0, 0}},
	{"recvmsg", ALLOWED, {SYS_recvmsg, -1, 0, 0}},
	{"pidfd_send_signal", ALLOWED, {SYS_pidfd_send_signal, -1, SIGKILL, 0, 0}},
	{"getsockopt peer", ALLOWED, {SYS_getsockopt, -1, SOL_SOCKET, SO_PEERCRED, 0, 0}},
	{"fcntl getfl", ALLOWED, {SYS_fcntl, -1, F_GETFL, 0}},
	{"fstat by path", ALLOWED, {SYS_newfstatat, -1, 0, 0, AT_EMPTY_PATH}},
	{"mmap rw",
	 ALLOWED,
	 {SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
	{"tgkill abort", ALLOWED, {SYS_tgkill, -1, -1, SIGABRT}},
	/* what the C library may try */
	{"openat", REFUSED, {SYS_openat, AT_FDCWD, 0, O_RDONLY}},
	{"stat", REFUSED, {SYS_newfstatat, AT_FDCWD, 0, 0, 0}},
	/* files and names */
	{"open", DEADLY, {SYS_open, 0, O_RDONLY}},
	{"openat2", DEADLY, {SYS_openat2, -1, 0, 0, 0}},
	{"open_by_handle_at", DEADLY, {SYS_open_by_handle_at, -1, 0, 0}},
	{"unlink", DEADLY, {SYS_unlink, 0}},
	{"rename", DEADLY, {SYS_rename, 0, 0}},
	{"chmod", DEADLY, {SYS_chmod, 0, 0}},
	{"mknod", DEADLY, {SYS_mknod, 0, 0, 0}},
	{"chdir", DEADLY, {SYS_chdir, 0}},
	{"chroot", DEADLY, {SYS_chroot, 0}},
	{"mount", DEADLY, {SYS_mount, 0, 0, 0, 0, 0}},
	{"umount2", DEADLY, {SYS_umount2, 0, 0}},
	{"open_tree", DEADLY, {SYS_open_tree, -1, 0, 0}},
	{"move_mount", DEADLY, {SYS_move_mount, -1, 0, -1, 0, 0}},
	{"fsopen", DEADLY, {SYS_fsopen, 0, 0}},
	/* sockets that nobody gave it */
	{"socket unix", DEADLY, {SYS_socket, AF_UNIX, SOCK_STREAM, 0}},
	{"socket inet", DEADLY, {SYS_socket, AF_INET, SOCK_STREAM, 0}},
	{"socket netlink", DEADLY, {SYS_socket, AF_NETLINK, SOCK_RAW, 0}},
	{"connect", DEADLY, {SYS_connect, -1, 0, 0}},
	{"bind", DEADLY, {SYS_bind, -1, 0, 0}},
	{"getsockopt else", DEADLY, {SYS_getsockopt, -1, SOL_SOCKET, SO_TYPE, 0, 0}},
	{"setsockopt", DEADLY, {SYS_setsockopt, -1, SOL_SOCKET, SO_MARK, 0, 0}},
	/* other processes */
	{"kill", DEADLY, {SYS_kill, 1, 0}},
	{"tgkill kill", DEADLY, {SYS_tgkill, -1, -1, SIGKILL}},
	{"pidfd_open", DEADLY, {SYS_pidfd_open, 1, 0}},
	{"pidfd_getfd", DEADLY, {SYS_pidfd_getfd, -1, 0, 0}},
	{"ptrace", DEADLY, {SYS_ptrace, 0, 0, 0, 0}},
	{"process_vm_writev", DEADLY, {SYS_process_vm_writev, 1, 0, 0, 0, 0}},
	{"clone", DEADLY, {SYS_clone, SIGCHLD, 0, 0, 0, 0}},
	{"clone3", DEADLY, {SYS_clone3, 0, 0}},
	{"fork", DEADLY, {SYS_fork}},
	{"execve", DEADLY, {SYS_execve, 0, 0, 0}},
	{"setns", DEADLY, {SYS_setns, -1, 0}},
	{"unshare", DEADLY, {SYS_unshare, CLONE_NEWUSER}},
	/* the kernel */
	{"ioctl TIOCSTI", DEADLY, {SYS_ioctl, -1, 0x5412, 0}},
	{"ioctl TUNSETIFF", DEADLY, {SYS_ioctl, -1, 0x400454ca, 0}},
	{"fcntl setown", DEADLY, {SYS_fcntl, -1, F_SETOWN, 0}},
	{"mmap x",
	 DEADLY,
	 {SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
	{"mprotect x", DEADLY, {SYS_mprotect, 0, 0, PROT_READ | PROT_EXEC}},
	{"bpf", DEADLY, {SYS_bpf, -1, 0, 0}},
	{"io_uring_setup", DEADLY, {SYS_io_uring_setup, 1, 0}},
	{"userfaultfd", DEADLY, {SYS_userfaultfd, 0}},
	{"perf_event_open", DEADLY, {SYS_perf_event_open, 0, 0, 0, 0, 0}},
	{"init_module", DEADLY, {SYS_init_module, 0, 0, 0}},
	{"keyctl", DEADLY, {SYS_keyctl, 0, 0, 0, 0, 0}},
	{"prctl", DEADLY, {SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0}},
	{"setuid", DEADLY, {SYS_setuid, 0}},
	{"capset", DEADLY, {SYS_capset, 0, 0}},
	{"seccomp", DEADLY, {SYS_seccomp, 0, 0, 0}},
	{"prlimit", DEADLY, {SYS_prlimit64, 0, 0, 0, 0}},
	{"reboot", DEADLY, {SYS_reboot, 0, 0, 0}},
	{"x32 write", DEADLY, {0x40000000 + SYS_write, -1, 0, 0}},
};

static enum verdict try(const long *args)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || monitor_jail_seccomp(&err))
			_exit(99);
		errno = 0;
		long rc = syscall(args[0], args[1], args[2], args[3], args[4], args[5]);

		(void)syscall(SYS_exit_group, rc < 0 && errno == EACCES ? REFUSED : ALLOWED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return DEADLY;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 99);
	return (enum verdict)WEXITSTATUS(status);
}

static void test_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		enum verdict got = try(attempts[i].args);

		if (got != attempts[i].verdict)
			fail_msg("%s: %d, not %d", attempts[i].what, got, attempts[i].verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests_name("monitor_jail", tests, NULL, NULL);
}
