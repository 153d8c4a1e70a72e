/*
 * The end of a vmm in words. The test plays the vmm itself: started with -kernel, it enters a list of system calls and breaks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/vmm_process.h"
#include "vmm/seccomp.h"

static int break_the_rules(void)
{
	struct err err = ERR_INIT;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || seccomp_enter(THREAD_VCPU, &err))
		return 1;
	(void)syscall(SYS_ptrace, 0, 0, 0, 0);
	return 0;
}

struct end {
	struct loop *loop;
	char why[512];
};

static void on_end(void *arg, const char *why)
{
	struct end *end = arg;

	(void)snprintf(end->why, sizeof(end->why), "%s", why);
	loop_stop(end->loop);
}

static void test_killed_by_seccomp(void **state)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	CLEANUP(own_vmm_destroy) struct vmm_process *vmm = NULL;
	struct err err = ERR_INIT;
	struct end end = {0};
	struct vm_config vm = {
		.vcpus = 1,
		.memory_mib = 64,
		.kernel_path = (char[]){"k"},
		.initramfs_path = (char[]){"i"},
		.cmdline = (char[]){""},
	};

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(loop_create(&loop, &err), 0);
	end.loop = loop;
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct vmm_params p = {
		.loop = loop,
		.vmm_path = "/proc/self/exe",
		.vm = &vm,
		.shared_dir = "/",
		.vsock_listen_fd = null,
		.agent_fd = null,
		.on_end = on_end,
		.arg = &end,
	};
	int rc = vmm_start(&p, &vmm, &err);

	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	assert_int_equal(loop_run(loop, &err), 0);
	if (!strstr(end.why, "SIGSYS (seccomp)"))
		print_error("%s\n", end.why);
	assert_non_null(strstr(end.why, "SIGSYS (seccomp)"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_by_seccomp),
	};

	if (argc > 1 && strcmp(argv[1], "-kernel") == 0)
		return break_the_rules();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
