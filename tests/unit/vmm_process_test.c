/*
 * A vmm's command line, and its end in words. For that the test plays the vmm itself: started with -kernel, it enters a list of
 * system calls and breaks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/vmm_command.h"
#include "vmm/seccomp.h"

#define STAY "stay" /* a kernel with which it lives until it is killed */

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

static int deny_pidfd_open(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Exit status: 0 when the start failed as it should. */
static int start_unwatched(void)
{
	CLEANUP(own_loop_destroy) struct loop *loop = NULL;
	struct vmm_process *vmm = NULL;
	struct err err = ERR_INIT;
	struct vm_config vm = {
		.vcpus = 1,
		.memory_mib = 64,
		.kernel_path = (char[]){STAY},
		.initramfs_path = (char[]){"i"},
		.cmdline = (char[]){""},
	};
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)alarm(20);
	if (loop_create(&loop, &err) || deny_pidfd_open())
		return 1;
	const struct vmm_params p = {
		.loop = loop,
		.vmm_path = "/proc/self/exe",
		.vm = &vm,
		.shared_dir = "/",
		.vsock_listen_fd = null,
		.agent_fd = null,
		.on_end = on_end,
	};

	return vmm_start(&p, &vmm, &err) == -EMFILE ? 0 : 2;
}

/* A vmm that cannot be watched is ended, not waited for. */
static void test_unwatched(void **state)
{
	int status = 0;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(start_unwatched());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The value behind the nth `option`; NULL: there are not so many. */
static const char *value_of(const struct vmm_command *c, const char *option, int nth)
{
	for (size_t i = 1; c->argv[i] && c->argv[i + 1]; i += 2) {
		if (strcmp(c->argv[i], option) == 0 && nth-- == 0)
			return c->argv[i + 1];
	}
	return NULL;
}

/* Devices in the order of their slots; what the command names by number is there under that number. */
static void test_command(void **state)
{
	const struct vmm_ends ends = {.messages_fd = 20, .monitor_fd = 21, .serial_fd = 22};
	struct vm_config vm = {
		.boot_vcpus = 1,
		.max_vcpus = 4,
		.memory_mib = 64,
		.spare_nics = 2,
		.spare_disks = 8,
		.kernel_path = (char[]){"k"},
		.initramfs_path = (char[]){"i"},
		.cmdline = (char[]){"quiet"},
	};

	(void)state;
	for (int serves = 0; serves < 2; serves++) {
		CLEANUP(vmm_command_done) struct vmm_command c = {0};
		const struct vmm_params p = {.vmm_path = "/v",
					     .vm = &vm,
					     .shared_dir = "/s",
					     .vsock_listen_fd = 23,
					     .agent_fd = 24,
					     .qmp_fd = serves ? 25 : -1};
		char text[64];

		assert_int_equal(vmm_command_make(&p, &ends, &c, NULL), 0);
		assert_string_equal(c.argv[0], "/v");
		assert_string_equal(value_of(&c, "-jail", 0), "/s");
		assert_string_equal(value_of(&c, "-smp", 0), "cpus=1,maxcpus=4");
		assert_string_equal(value_of(&c, "-machine", 0),
				    "type=microvm,pit=off,hotplug-blk=8,hotplug-net=2");
		assert_string_equal(value_of(&c, "-device", 0), "virtio-rng-device");
		assert_string_equal(value_of(&c, "-device", 1), "virtio-fs-device,tag=nacre");
		assert_non_null(value_of(&c, "-device", 2));
		assert_null(value_of(&c, "-device", 3));
		assert_int_equal(c.nfds, serves ? 6 : 5);
		assert_int_equal(!!value_of(&c, "-qmp", 0), serves);
		for (size_t i = 0; i < c.nfds; i++) {
			switch (c.fds[i].from) {
			case 21:
				(void)snprintf(text, sizeof(text), "%d", c.fds[i].to);
				assert_string_equal(value_of(&c, "-monitor-fd", 0), text);
				break;
			case 22:
				(void)snprintf(text, sizeof(text), "fd:%d", c.fds[i].to);
				assert_string_equal(value_of(&c, "-serial", 0), text);
				break;
			case 23:
				(void)snprintf(text, sizeof(text), "listen-fd=%d,", c.fds[i].to);
				assert_non_null(strstr(value_of(&c, "-device", 2), text));
				break;
			case 24:
				(void)snprintf(text, sizeof(text), "agent-fd=%d", c.fds[i].to);
				assert_non_null(strstr(value_of(&c, "-device", 2), text));
				break;
			case 25:
				(void)snprintf(text, sizeof(text), "unix:fd=%d,", c.fds[i].to);
				assert_non_null(strstr(value_of(&c, "-qmp", 0), text));
				break;
			default:
				assert_int_equal(c.fds[i].from, 20);
				assert_int_equal(c.fds[i].to, STDERR_FILENO);
			}
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_killed_by_seccomp),
		cmocka_unit_test(test_unwatched),
	};

	if (argc > 2 && strcmp(argv[1], "-kernel") == 0 && strcmp(argv[2], STAY) == 0)
		return pause();
	if (argc > 1 && strcmp(argv[1], "-kernel") == 0)
		return break_the_rules();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
