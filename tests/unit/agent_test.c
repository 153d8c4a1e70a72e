/* What decides in the agent and needs no root: option words, lookups, limits, filters, messages of a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup_limits.h"
#include "agent/child_channel.h"
#include "agent/device_filter.h"
#include "agent/exec_path.h"
#include "agent/guest_setup.h"
#include "agent/kernel_words.h"
#include "agent/mount_options.h"
#include "agent/vsock_guard.h"
#include "agent/vcpus.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/path.h"
#include "base/str.h"

/* --- mount options ---------------------------------------------------------------------------------------------- */

#define MAX_WORDS 4

static void test_mount_options(void **state)
{
	static const struct {
		const char *type;
		const char *words[MAX_WORDS + 1];
		int ret;
		struct mount_options want;
		const char *data;
	} cases[] = {
		{"tmpfs", {NULL}, 0, {0}, NULL},
		{"tmpfs",
		 {"ro", "nosuid"},
		 0,
		 {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID},
		 NULL},
		{"tmpfs", {"ro", "rw"}, 0, {.clear = MOUNT_ATTR_RDONLY}, NULL},
		{"tmpfs", {"rw", "ro"}, 0, {.set = MOUNT_ATTR_RDONLY}, NULL},
		{"tmpfs", {"rro"}, 0, {.set_recursive = MOUNT_ATTR_RDONLY}, NULL},
		{"tmpfs",
		 {"strictatime"},
		 0,
		 {.set = MOUNT_ATTR_STRICTATIME, .clear = MOUNT_ATTR__ATIME},
		 NULL},
		{"tmpfs",
		 {"strictatime", "noatime"},
		 0,
		 {.set = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME},
		 NULL},
		{"tmpfs", {"relatime"}, 0, {.clear = MOUNT_ATTR__ATIME}, NULL},
		{"tmpfs",
		 {"mode=755", "nodev"},
		 0,
		 {.set = MOUNT_ATTR_NODEV, .ndata = 1},
		 "mode=755"},
		{"bind", {"ro"}, 0, {.bind = true, .set = MOUNT_ATTR_RDONLY}, NULL},
		{"none", {"rbind"}, 0, {.bind = true, .bind_recursive = true}, NULL},
		{"bind",
		 {"rslave"},
		 0,
		 {.bind = true, .propagation = MS_SLAVE, .propagation_recursive = true},
		 NULL},
		{"bind", {"private"}, 0, {.bind = true, .propagation = MS_PRIVATE}, NULL},
		{"tmpfs", {"defaults", "async"}, 0, {0}, NULL},
		{"bind", {"mode=755"}, -EINVAL, {0}, NULL},
		{"bind", {"idmap"}, -EOPNOTSUPP, {0}, NULL},
		{"tmpfs", {"remount"}, -EOPNOTSUPP, {0}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *words[MAX_WORDS + 1] = {NULL};
		char type[16], destination[] = "/x", source[] = "s";
		struct oci_mount mount = {.destination = destination,
					  .type = type,
					  .source = source,
					  .options = {words, 0}};
		struct mount_options got;
		struct err err = ERR_INIT;

		(void)strcpy(type, cases[i].type);
		while (cases[i].words[mount.options.n]) {
			words[mount.options.n] = strdup(cases[i].words[mount.options.n]);
			mount.options.n++;
		}
		assert_int_equal(mount_options_parse(&mount, &got, &err), cases[i].ret);
		if (cases[i].ret == 0) {
			const struct mount_options *want = &cases[i].want;

			assert_int_equal(got.bind, want->bind);
			assert_int_equal(got.bind_recursive, want->bind_recursive);
			assert_int_equal(got.set, want->set);
			assert_int_equal(got.clear, want->clear);
			assert_int_equal(got.set_recursive, want->set_recursive);
			assert_int_equal(got.clear_recursive, want->clear_recursive);
			assert_int_equal(got.propagation, want->propagation);
			assert_int_equal(got.propagation_recursive, want->propagation_recursive);
			assert_int_equal(got.ndata, want->ndata);
			if (cases[i].data)
				assert_string_equal(got.data[0], cases[i].data);
		}
		mount_options_done(&got);
		for (size_t j = 0; j < mount.options.n; j++)
			free(words[j]);
	}
}

/* --- what is executed ------------------------------------------------------------------------------------------- */

static void test_exec_path(void **state)
{
	static const struct {
		const char *name, *path;
		int ret;
		const char *out; /* or the error */
	} cases[] = {
		{"sh", "/nowhere:/bin", 0, "/bin/sh"},
		{"sh", "/bin", 0, "/bin/sh"},
		{"/bin/sh", NULL, 0, "/bin/sh"},
		{"sh", NULL, -ENOENT, "exec: \"sh\": executable file not found in $PATH"},
		{"sh", "", -ENOENT, "exec: \"sh\": executable file not found in $PATH"},
		{"sh", "/etc:", -ENOENT, "exec: \"sh\": executable file not found in $PATH"},
		{"sh", "bin", -ENOENT, "exec: \"sh\": executable file not found in $PATH"},
		{"passwd", "/etc", -ENOENT, "exec: \"passwd\": executable file not found in $PATH"},
		{"", "/bin", -ENOENT, "exec: \"\": executable file not found in $PATH"},
		{"/etc/passwd", NULL, -EACCES, "exec: \"/etc/passwd\": permission denied"},
		{"/bin/", NULL, -EISDIR, "exec: \"/bin/\": is a directory"},
		{"/nope", NULL, -ENOENT, "exec: \"/nope\": stat /nope: no such file or directory"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *out = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(exec_path_find(cases[i].name, cases[i].path, &out, &err),
				 cases[i].ret);
		assert_string_equal(cases[i].ret ? err.text : out, cases[i].out);
	}
}

static void test_passwd(void **state)
{
	static const struct {
		const char *text;
		uint32_t uid;
		const char *home;
	} cases[] = {
		{"root:x:0:0:r:/root:/bin/sh\n", 0, "/root"},
		{"root:x:0:0:r:/root:/bin/sh\nu:x:7:7::/home/u:/bin/sh", 7, "/home/u"},
		{"root:x:0:0:r:/root:/bin/sh\n", 7, "/"},
		{"", 0, "/"},
		{"broken\nu:x:7:7::/h:\n", 7, "/h"},
		{"u:x:7:7\nv:x:8:8::/v:/bin/sh\n", 7, "/"},
		{"u:x:07x:7::/h:\n", 7, "/"},
		{"u:x:99999999999999999999999:7::/h:\n", 7, "/"},
		{"u:x:7:7:::\n", 7, "/"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *home = NULL;

		assert_int_equal(passwd_home(cases[i].text, cases[i].uid, &home), 0);
		assert_string_equal(home, cases[i].home);
	}
}

static void test_environment(void **state)
{
	static const struct {
		const char *env[3];
		const char *name, *value;
	} cases[] = {
		{{"A=1", "HOME=/h"}, "HOME", "/h"}, {{"A=1"}, "A", "1"},
		{{"A=1", "A=2"}, "A", "2"},         {{"AB=1"}, "A", NULL},
		{{"A=1"}, "HOME", "/root"},         {{"HOME="}, "HOME", "/root"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *env[3] = {NULL};
		struct oci_process process = {.env = {env, 0}};
		char **got = NULL;
		struct err err = ERR_INIT;
		const char *value;

		while (cases[i].env[process.env.n]) {
			env[process.env.n] = strdup(cases[i].env[process.env.n]);
			process.env.n++;
		}
		assert_int_equal(exec_environment(&process, &got, &err), 0);
		value = env_get(got, cases[i].name);
		if (cases[i].value)
			assert_string_equal(value, cases[i].value);
		else
			assert_null(value);
		for (size_t j = 0; got[j]; j++) {
			if (j >= process.env.n || got[j] != env[j])
				free(got[j]);
		}
		free(got);
		for (size_t j = 0; j < process.env.n; j++)
			free(env[j]);
	}
}

/* --- cgroup limits ---------------------------------------------------------------------------------------------- */

static void test_weight(void **state)
{
	static const struct {
		uint64_t shares, weight;
	} cases[] = {{0, 0}, {1, 1}, {2, 1}, {1024, 39}, {262144, 10000}, {999999, 10000}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cgroup_weight_of_shares(cases[i].shares), cases[i].weight);
}

static const char *const cgroup_files[] = {
	"memory.max", "memory.low",  "memory.swap.max", "cpu.weight",  "cpu.max",
	"pids.max",   "cpuset.cpus", "cpuset.mems",     "memory.high",
};

static char empty[] = "";

#define GIVEN(quota, pids)                                                                         \
	.memory_limit_bytes = -1, .memory_reservation_bytes = -1, .memory_swap_bytes = -1,         \
	.cpu_quota_us = (quota), .pids_limit = (pids), .cpuset_cpus = empty, .cpuset_mems = empty

static void test_limits(void **state)
{
	static char key[] = "memory.high", bad_key[] = "../x.y", value[] = "17";
	static char *keys[] = {key}, *bad_keys[] = {bad_key}, *values[] = {value};
	static const struct {
		struct oci_resources r;
		int ret;
		const char *file, *text;
	} cases[] = {
		{{GIVEN(-1, -1)}, 0, "memory.max", ""},
		{{GIVEN(-1, -1)}, 0, "cpu.max", ""},
		{{GIVEN(-1, 0)}, 0, "pids.max", ""},
		{{GIVEN(-1, 5)}, 0, "pids.max", "5"},
		{{GIVEN(-1, OCI_UNLIMITED)}, 0, "pids.max", "max"},
		{{GIVEN(OCI_UNLIMITED, -1)}, 0, "cpu.max", "max 100000"},
		{{GIVEN(-1, -1), .cpu_shares = 1024}, 0, "cpu.weight", "39"},
		{{GIVEN(5000, -1)}, 0, "cpu.max", "5000 100000"},
		{{GIVEN(-1, -1), .cpu_period_us = 7000}, 0, "cpu.max", "max 7000"},
		{{GIVEN(-1, -1), .unified_keys = {keys, 1}, .unified_values = {values, 1}},
		 0,
		 "memory.high",
		 "17"},
		{{GIVEN(-1, -1), .unified_keys = {bad_keys, 1}, .unified_values = {values, 1}},
		 -EINVAL,
		 "memory.max",
		 ""},
	};
	char dir[] = "/tmp/nacre-limits-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *got = NULL;
		struct err err = ERR_INIT;

		for (size_t j = 0; j < ARRAY_SIZE(cgroup_files); j++)
			(void)close(
				openat(fd, cgroup_files[j], O_CREAT | O_TRUNC | O_WRONLY, 0600));
		assert_int_equal(cgroup_limits_write(fd, &cases[i].r, &err), cases[i].ret);
		assert_int_equal(path_read(fd, cases[i].file, 100, &got, NULL, &err), 0);
		assert_string_equal(got, cases[i].text);
	}
	for (size_t j = 0; j < ARRAY_SIZE(cgroup_files); j++)
		(void)unlinkat(fd, cgroup_files[j], 0);
	(void)close(fd);
	(void)rmdir(dir);
}

static void test_memory_limits(void **state)
{
	static const struct {
		int64_t limit, swap;
		int ret;
		const char *swap_max;
	} cases[] = {
		{100, 150, 0, "50"},    {100, 100, 0, "0"},     {100, -1, 0, ""},
		{100, 99, -EINVAL, ""}, {-1, 100, -EINVAL, ""}, {-1, OCI_UNLIMITED, 0, "max"},
	};
	char dir[] = "/tmp/nacre-limits-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_resources r = {GIVEN(-1, -1)};
		AUTO_FREE char *got = NULL;
		struct err err = ERR_INIT;

		r.memory_limit_bytes = cases[i].limit;
		r.memory_swap_bytes = cases[i].swap;
		for (size_t j = 0; j < ARRAY_SIZE(cgroup_files); j++)
			(void)close(
				openat(fd, cgroup_files[j], O_CREAT | O_TRUNC | O_WRONLY, 0600));
		assert_int_equal(cgroup_limits_write(fd, &r, &err), cases[i].ret);
		assert_int_equal(path_read(fd, "memory.swap.max", 100, &got, NULL, &err), 0);
		assert_string_equal(got, cases[i].swap_max);
	}
	for (size_t j = 0; j < ARRAY_SIZE(cgroup_files); j++)
		(void)unlinkat(fd, cgroup_files[j], 0);
	(void)close(fd);
	(void)rmdir(dir);
}

static void put(int dir, const char *path, const char *text)
{
	AUTO_FD int fd = openat(dir, path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void test_vcpus(void **state)
{
	static const struct {
		const char *present;
		uint32_t count;
		int ret;
		const char *
			online; /* of cpu1 to cpu3 afterwards; "1", "0", "1" before, 'x' for what was not written */
	} cases[] = {
		{"0-3\n", 4, 0, "x1x"},       {"0-3\n", 2, 0, "xx0"},
		{"0-3\n", 1, 0, "0x0"},       {"0-3\n", 5, -ERANGE, "xxx"},
		{"0-3\n", 0, -ERANGE, "xxx"}, {"0\n", 1, 0, "xxx"},
		{"0-x\n", 1, -EIO, "xxx"},    {"0-3,5-4096\n", 1, -EIO, "xxx"},
	};
	char dir[] = "/tmp/nacre-vcpus-XXXXXX";
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 1; i <= 3; i++)
		assert_int_equal(path_mkdirs(fd, (const char *[]){"cpu1", "cpu2", "cpu3"}[i - 1],
					     0700, &err),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(fd, "present", cases[i].present);
		put(fd, "cpu1/online", "1\n");
		put(fd, "cpu2/online", "0\n");
		put(fd, "cpu3/online", "1\n");
		assert_int_equal(vcpus_online(dir, cases[i].count, &err), cases[i].ret);
		for (int j = 0; j < 3; j++) {
			char path[] = "cpu1/online";
			AUTO_FREE char *got = NULL;
			const char *was = j == 1 ? "0\n" : "1\n";

			path[3] = (char)('1' + j);
			assert_int_equal(path_read(fd, path, 16, &got, NULL, &err), 0);
			if (cases[i].online[j] == 'x' ? strcmp(got, was) != 0
						      : got[0] != cases[i].online[j])
				fail_msg("case %zu: %s is %s", i, path, got);
		}
	}
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
}

/* --- device rules: the program is run by a small machine ---------------------------------------------------------- */

static uint64_t run_device_program(const struct bpf_insn *insns, size_t len,
				   const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = {0};

	for (size_t pc = 0; pc < len; pc++) {
		const struct bpf_insn *in = &insns[pc];
		uint64_t *dst = &reg[in->dst_reg];
		uint64_t imm = (uint64_t)(int64_t)in->imm;

		switch (in->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			assert_int_equal(in->src_reg, BPF_REG_1);
			*dst = *(const uint32_t *)(const void *)((const char *)ctx + in->off);
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
			*dst = reg[in->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			*dst = imm;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			*dst &= imm;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			*dst >>= imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += *dst != imm ? (size_t)in->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += *dst == imm ? (size_t)in->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return reg[0];
		default:
			fail_msg("unexpected instruction %#x", in->code);
		}
	}
	fail_msg("the program ran off its end");
	return 0;
}

#define R     BPF_DEVCG_ACC_READ
#define W     BPF_DEVCG_ACC_WRITE
#define M     BPF_DEVCG_ACC_MKNOD
#define CHAR  BPF_DEVCG_DEV_CHAR
#define BLOCK BPF_DEVCG_DEV_BLOCK

static const struct oci_device_rule deny_all = {false, 'a', -1, -1, true, true, true};
static const struct oci_device_rule allow_all = {true, 'a', -1, -1, true, true, true};
static const struct oci_device_rule allow_fuse = {true, 'c', 10, 229, true, true, false};
static const struct oci_device_rule deny_fuse_write = {false, 'c', 10, 229, false, true, false};
static const struct oci_device_rule allow_disk_read = {true, 'b', 254, -1, true, false, false};

static void test_device_filter(void **state)
{
	const struct {
		struct oci_device_rule rules[3];
		size_t n;
		uint32_t type, access, major, minor;
		bool allow;
	} cases[] = {
		{{{0}}, 0, CHAR, R | W, 1, 3, true}, /* null, by default */
		{{{0}}, 0, CHAR, R | W, 136, 7, true},
		{{{0}}, 0, CHAR, R, 10, 229, false},
		{{{0}}, 0, CHAR, M, 10, 229, true}, /* made, but not used */
		{{{0}}, 0, BLOCK, M, 8, 0, true},
		{{{0}}, 0, BLOCK, R, 1, 3, false},    /* a block 1:3 is not null */
		{{deny_all}, 1, CHAR, R, 1, 3, true}, /* not even so */
		{{allow_all}, 1, BLOCK, R | W | M, 8, 1, true},
		{{deny_all, allow_fuse}, 2, CHAR, R | W, 10, 229, true},
		{{deny_all, allow_fuse}, 2, CHAR, R, 10, 228, false},
		{{deny_all, allow_fuse}, 2, CHAR, R | W | M, 10, 229, false},
		{{allow_fuse, deny_all}, 2, CHAR, R, 10, 229, false}, /* the last one counts */
		{{allow_all, deny_fuse_write}, 2, CHAR, R, 10, 229, true},
		{{allow_all, deny_fuse_write}, 2, CHAR, W, 10, 229, false},
		{{allow_all, deny_fuse_write}, 2, CHAR, R | W, 10, 229, false},
		{{deny_all, allow_disk_read}, 2, BLOCK, R, 254, 16, true},
		{{deny_all, allow_disk_read}, 2, BLOCK, W, 254, 16, false},
		{{deny_all, allow_disk_read}, 2, CHAR, R, 254, 16, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpf_cgroup_dev_ctx ctx = {cases[i].access << 16 | cases[i].type,
						 cases[i].major, cases[i].minor};
		AUTO_FREE struct bpf_insn *insns = NULL;
		struct err err = ERR_INIT;
		size_t len;

		assert_int_equal(
			device_filter_build(cases[i].rules, cases[i].n, &insns, &len, &err), 0);
		if (run_device_program(insns, len, &ctx) != cases[i].allow)
			fail_msg("device case %zu", i);
	}
}

static void test_device_filter_bound(void **state)
{
	struct bpf_insn *insns = NULL;
	struct err err = ERR_INIT;
	size_t len;

	(void)state;
	assert_int_equal(device_filter_build(&deny_all, 100000, &insns, &len, &err), -EINVAL);
}

/* --- the vsock guard ---------------------------------------------------------------------------------------------- */

static uint32_t run_guard(const struct seccomp_data *data)
{
	unsigned short len;
	const struct sock_filter *prog = vsock_guard_program(&len);
	uint32_t a = 0;

	for (size_t pc = 0; pc < len; pc++) {
		const struct sock_filter *in = &prog[pc];

		switch (in->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + in->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= in->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == in->k ? in->jt : in->jf;
			break;
		case BPF_RET | BPF_K:
			return in->k;
		default:
			fail_msg("unexpected instruction %#x", in->code);
		}
	}
	fail_msg("the filter ran off its end");
	return 0;
}

#ifdef __x86_64__
static void test_vsock_guard(void **state)
{
	const uint32_t no_family = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
	const uint32_t no_call = SECCOMP_RET_ERRNO | ENOSYS;
	const int x32 = 0x40000000;
	const struct {
		uint32_t arch;
		int nr;
		uint64_t arg0;
		uint32_t want;
	} cases[] = {
		{AUDIT_ARCH_X86_64, SYS_socket, AF_VSOCK, no_family},
		{AUDIT_ARCH_X86_64, SYS_socket, AF_INET, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, SYS_socket, AF_VSOCK | 1ull << 40,
		 no_family}, /* an int counts */
		{AUDIT_ARCH_X86_64, SYS_socket | x32, AF_VSOCK, no_family},
		{AUDIT_ARCH_X86_64, SYS_connect, AF_VSOCK, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, 425, 0, no_call},
		{AUDIT_ARCH_X86_64, 425 | x32, 0, no_call},
		{AUDIT_ARCH_X86_64, 426, 0, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_I386, 359, AF_VSOCK, no_family},
		{AUDIT_ARCH_I386, 359, AF_UNIX, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_I386, 102, 1, no_family},
		{AUDIT_ARCH_I386, 102, 3, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_I386, 425, 0, no_call},
		{AUDIT_ARCH_I386, 41, AF_VSOCK, SECCOMP_RET_ALLOW}, /* dup there */
		{AUDIT_ARCH_ARM, 0, 0, SECCOMP_RET_KILL_PROCESS},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seccomp_data data = {
			.nr = cases[i].nr, .arch = cases[i].arch, .args = {cases[i].arg0}};

		if (run_guard(&data) != cases[i].want)
			fail_msg("guard case %zu: %#x", i, run_guard(&data));
	}
}
#endif

/* --- the way to the host ------------------------------------------------------------------------------------------ */

static void test_control_socket(void **state)
{
	struct timeval timeout = {0};
	socklen_t len = sizeof(timeout);
	struct err err = ERR_INIT;
	int fd = -1;

	(void)state;
	if (guest_control_socket(&fd, &err) == -EAFNOSUPPORT)
		skip();
	assert_string_equal(err.text, "");
	assert_int_equal(getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, &len),
			 0);
	assert_int_equal(timeout.tv_sec, 30);
	(void)close(fd);
}

/* --- the kernel's words ------------------------------------------------------------------------------------------- */

/* Records as /dev/kmsg gives them, one a read. */
static void test_kernel_words(void **state)
{
	static const struct {
		const char *record;
		const char *want; /* "": nothing new is told of */
	} cases[] = {
		{"6,1,100,-;sh[7]: segfault at 0 ip 7f sp 7f error 4 in libc.so.6\n SUBSYSTEM=x\n",
		 "sh[7]: segfault at 0 ip 7f sp 7f error 4 in libc.so.6"},
		{"6,2,100,-;traps: sh[7] general protection fault ip:7f sp:7f error:0 in sh\n",
		 "traps: sh[7] general protection fault ip:7f sp:7f error:0 in sh"},
		{"3,3,100,-,caller=T1;Memory cgroup out of memory: Killed process 9 (sh)\n",
		 "Memory cgroup out of memory: Killed process 9 (sh)"},
		{"6,4,100,-;Code: 48 8b 00\n", ""},
		{"14,5,100,-;sh[7]: segfault at 0, says a program\n", ""},
		{"no record", ""},
		{"6,6,100,-;", ""},
	};
	struct kernel_words k = {.fd = -1};
	int pair[2];

	(void)state;
	assert_string_equal(kernel_words_since(&k, kernel_words_mark(&k)), "");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	k.fd = pair[0];
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint64_t mark = kernel_words_mark(&k);
		const size_t len = strlen(cases[i].record);

		assert_int_equal(send(pair[1], cases[i].record, len, 0), len);
		assert_string_equal(kernel_words_since(&k, mark), cases[i].want);
		/* Who asks again hears it again; who begins now does not. */
		assert_string_equal(kernel_words_since(&k, mark), cases[i].want);
		assert_string_equal(kernel_words_since(&k, kernel_words_mark(&k)), "");
	}
	kernel_words_close(&k);
	(void)close(pair[1]);
}

/* --- the child's words -------------------------------------------------------------------------------------------- */

struct raw_message {
	uint32_t word;
	struct err why;
};

static void test_child_channel(void **state)
{
	static const struct {
		uint32_t word;
		int code;
		size_t len;
		int ret;
		enum child_word want;
	} cases[] = {
		{CHILD_READY, 0, sizeof(struct raw_message), 0, CHILD_READY},
		{CHILD_FAILED, ENOENT, sizeof(struct raw_message), 0, CHILD_FAILED},
		{CHILD_FAILED, 0, sizeof(struct raw_message), -EBADMSG, 0},
		{CHILD_FAILED, -1, sizeof(struct raw_message), -EBADMSG, 0},
		{CHILD_FAILED, 5000, sizeof(struct raw_message), -EBADMSG, 0},
		{CHILD_GONE, 0, sizeof(struct raw_message), -EBADMSG, 0},
		{99, 0, sizeof(struct raw_message), -EBADMSG, 0},
		{CHILD_READY, 0, sizeof(struct raw_message) - 1, -EBADMSG, 0},
		{CHILD_READY, 0, 1, -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct raw_message msg = {.word = cases[i].word, .why = {.code = cases[i].code}};
		enum child_word word = CHILD_GONE;
		struct err why = ERR_INIT;
		int agent = -1, child = -1, pty = -1;

		memset(msg.why.text, 'x', sizeof(msg.why.text)); /* not terminated */
		assert_int_equal(child_channel_open(&agent, &child, &why), 0);
		assert_int_equal(child_channel_receive(agent, &word, &why, &pty), -EAGAIN);
		assert_int_equal(send(child, &msg, cases[i].len, 0), cases[i].len);
		assert_int_equal(child_channel_receive(agent, &word, &why, &pty), cases[i].ret);
		if (cases[i].ret == 0)
			assert_int_equal(word, cases[i].want);
		if (cases[i].want == CHILD_FAILED)
			assert_int_equal(strlen(why.text), ERR_TEXT_BYTES - 1);
		(void)close(child);
		assert_int_equal(child_channel_receive(agent, &word, &why, &pty), 0);
		assert_int_equal(word, CHILD_GONE);
		assert_int_equal(pty, -1);
		(void)close(agent);
	}
}

/* A child that died with the go unheard is not one that has closed the channel. */
static void test_child_died_deaf(void **state)
{
	enum child_word word = CHILD_READY;
	struct err why = ERR_INIT;
	int agent = -1, child = -1, pty = -1;

	(void)state;
	assert_int_equal(child_channel_open(&agent, &child, &why), 0);
	child_channel_go(agent);
	(void)close(child);
	assert_int_equal(child_channel_receive(agent, &word, &why, &pty), -ECONNRESET);
	assert_int_equal(word, CHILD_READY);
	(void)close(agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mount_options),  cmocka_unit_test(test_exec_path),
		cmocka_unit_test(test_passwd),         cmocka_unit_test(test_environment),
		cmocka_unit_test(test_weight),         cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory_limits),  cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_device_filter),  cmocka_unit_test(test_device_filter_bound),
#ifdef __x86_64__
		cmocka_unit_test(test_vsock_guard),
#endif
		cmocka_unit_test(test_control_socket), cmocka_unit_test(test_kernel_words),
		cmocka_unit_test(test_child_channel),  cmocka_unit_test(test_child_died_deaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
