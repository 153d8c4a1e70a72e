/* The vmm's own command line (vmm/options), and the one it makes for the guest's kernel (vmm/cmdline). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "vmm/arch/arch.h"
#include "vmm/cmdline.h"
#include "vmm/options.h"

#define MAX_ARGS 52
#define K        "-kernel", "vmlinux"
#define CONSOLE                                                                                    \
	"-chardev", "null,id=c", "-device", "virtio-serial-device,id=v,max_ports=2", "-device"

static int parse(const char *const *args, struct options *o, struct err *err)
{
	char *argv[MAX_ARGS + 2] = {0};
	/* Strings without properties stay in argv, which outlives the options. */
	static char kept[MAX_ARGS + 1][256];
	int argc = 1;

	argv[0] = kept[0];
	for (; args[argc - 1]; argc++) {
		(void)snprintf(kept[argc], sizeof(kept[argc]), "%s", args[argc - 1]);
		argv[argc] = kept[argc];
	}
	return options_parse(argc, argv, o, err);
}

static void test_refused(void **state)
{
	static const struct {
		const char *args[MAX_ARGS];
		const char *text; /* somewhere in the error */
	} cases[] = {
		{{NULL}, "-kernel is missing"},
		{{"-m", "64"}, "-kernel is missing"},
		{{"-kernel"}, "-kernel: FILE is missing"},
		{{K, "-krenel", "x"}, "'-krenel' is no option"},
		{{K, "vmlinux"}, "'vmlinux' is no option"},
		{{K, "---m", "64"}, "'---m' is no option"},
		{{K, "-m", "31"}, "at least 32 MiB"},
		{{K, "-m", "0"}, "at least 32 MiB"},
		{{K, "-m", "-1"}, "-m -1:"},
		{{K, "-m", "12x"}, "-m 12x:"},
		{{K, "-m", "G"}, "-m G:"},
		{{K, "-m", ""}, "-m :"},
		{{K, "-m", "16385G"}, "at most 16384G"},
		{{K, "-m", "18446744073709551615G"}, "at most"},
		{{K, "-m", "0000000000000000000000000000064"}, "not a size"},
		{{K, "-smp", "0"}, "from 1 to"},
		{{K, "-smp", "255"}, "can have 254"},
		{{K, "-smp", "two"}, "from 1 to"},
		{{K, "-serial", "tty"}, "-serial tty:"},
		{{K, "-serial", "fd:-1"}, "open descriptor"},
		{{K, "-serial", "file:"}, "-serial file:"},
		{{K, "-monitor-fd", "x"}, "-monitor-fd x:"},
		{{K, "-kvm-fd", "4294967296"}, "-kvm-fd"},
		{{K, "-device", "virtio-gpu-device"}, "there is no device"},
		{{K, "-device", "vhost-vsock-device,guest-cid=3"},
		 "virtio-vsock-device,guest-cid="},
		{{K, "-device", "vhost-user-fs-device,tag=t"}, "virtio-fs-device,tag="},
		{{K, "-device", "virtio-rng-device,rng=r"}, "no -object rng-random has the id 'r'"},
		{{K, "-drive", "id=d,file=x", "-object", "rng-random,id=i", "-device",
		  "virtio-blk-device,drive=d,iothread=i"},
		 "no -object iothread has the id 'i'"},
		{{K, "-device", "virtio-rng-device,id=r", "-device", "virtio-rng-device,id=r"},
		 "the id 'r' is used twice"},
		{{K, "-object", "memory-backend-file,id=m"}, "rng-random and iothread"},
		{{K, "-object", "rng-random"}, "id= is missing"},
		{{K, "-drive", "id=d,file=x,if=virtio"}, "if=none"},
		{{K, "-add-fd", "fd=3"}, "fd= and set= are needed"},
		{{K, "-add-fd", "set=3"}, "fd= and set= are needed"},
		{{K, "-machine", "q35"}, "microvm is all there is"},
		{{K, "-machine", "microvm,accel=tcg"}, "accel=kvm"},
		{{K, "-machine", "microvm,dump-guest-core=on"}, "dump-guest-core=off"},
		{{K, "-machine", "microvm,hotplug-blk=65"}, "from 0 to 64"},
		{{K, "-machine", "microvm,pit=no"}, "on or off"},
		{{K, "-cpu", "max"}, "host's model"},
		{{K, "-accel", "tcg"}, "kvm is all"},
		{{K, "-action", "panic=shutdown"}, "reboot=reset or"},
		{{K, "-uuid", "1"}, "a UUID like"},
		{{K, "-uuid", "01234567-89ab-cdef-0123-456789abcdeg"}, "a UUID like"},
		{{K, "-uuid", "01234567-89ab-cdef-0123-456789abcdef0"}, "a UUID like"},
		{{K, "-smp", "2,maxcpus=1"}, "maxcpus= is less"},
		{{K, "-smp", "2,maxcpus=255"}, "can have 254"},
		{{K, "-smp", "6,cores=2,threads=2"}, "make 4 vCPUs, not 6"},
		{{K, "-qmp", "tcp:localhost:1,server,nowait"}, "unix:PATH,server,nowait"},
		{{K, "-qmp", "unix:p"}, "server=on,wait=off"},
		{{K, "-qmp", "unix:p,server"}, "server=on,wait=off"},
		{{K, "-qmp", "unix:p,nowait"}, "server=on,wait=off"},
		{{K, "-qmp", "unix:,server,nowait"}, "something not empty"},
		{{K, "-qmp", "unix:p,server,nowait,fd=3"}, "either path= or fd="},
		{{K, "-mon", "chardev=c,mode=readline"}, "mode=control"},
		{{K, "-mon", "chardev=c,mode=control"}, "no -chardev socket has the id 'c'"},
		{{K, "-chardev", "null,id=c", "-mon", "c,mode=control"}, "no -chardev socket"},
		{{K, "-chardev", "pty,id=c"}, "null, file, stdio and socket"},
		{{K, "-chardev", "file,id=c"}, "path= is missing"},
		{{K, "-chardev", "null"}, "a kind and id="},
		{{K, "-chardev", "null,id=c", "-chardev", "null,id=c"}, "is taken"},
		{{K, "-daemonize", "-jail", "/x"}, "not in a jail"},
		{{K, "-daemonize", "-serial", "stdio"}, "left behind"},
		{{K, "-daemonize", "-chardev", "stdio,id=c"}, "left behind"},
		{{K, CONSOLE, "virtconsole"}, "chardev= is missing"},
		{{K, CONSOLE, "virtconsole,chardev=x"}, "no -chardev has the id 'x'"},
		{{K, CONSOLE, "virtconsole,chardev=c,nr=2"}, "there are 2 ports, from 0"},
		{{K, CONSOLE, "virtconsole,chardev=c,bus=v.1"}, "bus=v.1 is not 'v.0'"},
		{{K, CONSOLE, "virtconsole,chardev=c,id=v"}, "the id 'v' is used twice"},
		{{K, CONSOLE, "virtconsole,chardev=c,nr=1", "-device",
		  "virtconsole,chardev=c,nr=1"},
		 "nr=1 is taken"},
		{{K, CONSOLE, "virtio-serial-device"}, "one is enough"},
		{{K, "-device", "virtconsole,chardev=c"}, "has to come before it"},
		{{K, "-device", "virtio-serial-device,max_ports=9"}, "max_ports"},
		{{K, "-device", "virtserialport"}, "a port is a console, virtconsole"},
		{{K, "-serial", "chardev:c"}, "no -chardev of kind file, stdio or null"},
		{{K, "-device", "virtio-rng-device,bus=1"}, "no property 'bus'"},
		{{K, "-device", "virtio-rng-device,id"}, "key=value"},
		{{K, "-device", "virtio-blk-device"}, "drive= is missing"},
		{{K, "-device", "virtio-blk-device,drive=d"}, "no -drive has the id 'd'"},
		{{K, "-drive", "file=x"}, "id= is missing"},
		{{K, "-drive", "id=d"}, "either file= or fd="},
		{{K, "-drive", "id=d,file=x,fd=3"}, "either file= or fd="},
		{{K, "-drive", "id=d,file=x,readonly=yes"}, "on or off"},
		{{K, "-drive", "id=d,file=x,aio=posix"}, "io_uring, threads or native"},
		{{K, "-drive", "id=d,file=x,format=qcow2"}, "format=raw"},
		{{K, "-drive", "id=d,file=x,serial=123456789012345678901"}, "20 bytes"},
		{{K, "-drive", "id=,file=x"}, "something not empty"},
		{{K, "-drive", "id=d,file=x", "-drive", "id=d,file=y"}, "id is taken"},
		{{K, "-drive", "id=d,file=x", "-device", "virtio-blk-device,drive=d", "-device",
		  "virtio-blk-device,drive=d"},
		 "used twice"},
		{{K, "-device", "virtio-fs-device,dir=/"}, "tag="},
		{{K, "-device", "virtio-fs-device,tag=1234567890123456789012345678901234567,dir=/"},
		 "tag="},
		{{K, "-device", "virtio-fs-device,tag=t"}, "either dir= or fd="},
		{{K, "-netdev", "user,id=n"}, "tap is all there is"},
		{{K, "-netdev", "tap,ifname=t"}, "id= is missing"},
		{{K, "-netdev", "tap,id=n"}, "one of ifname=, fd= and fds="},
		{{K, "-netdev", "tap,id=n,ifname=t,fd=3"}, "one of ifname=, fd= and fds="},
		{{K, "-netdev", "tap,id=n,fds=3:x"}, "fds= is N:N"},
		{{K, "-netdev", "tap,id=n,fds=3:"}, "fds= is N:N"},
		{{K, "-netdev", "tap,id=n,fds=3:-4"}, "fds= is N:N"},
		{{K, "-netdev", "tap,id=n,fds=1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17"},
		 "at most 16"},
		{{K, "-netdev", "tap,id=n,fds=3:4,queues=3"}, "does not fit"},
		{{K, "-netdev", "tap,id=n,fd=3,queues=2"}, "does not fit"},
		{{K, "-netdev", "tap,id=n,ifname=t,queues=17"}, "from 1 to 16"},
		{{K, "-netdev", "tap,id=n,fd=3,vhost=on"}, "vhost=off"},
		{{K, "-netdev", "tap,id=n,fd=3,script=/etc/up"}, "script=no"},
		{{K, "-netdev", "tap,id=n,fd=3", "-netdev", "tap,id=n,fd=4"}, "the id is taken"},
		{{K, "-device", "virtio-net-device"}, "netdev= is missing"},
		{{K, "-device", "virtio-net-device,netdev=n"}, "no -netdev has the id 'n'"},
		{{K, "-device", "virtio-net-device,netdev=n,mac=02:00:00:00:00"}, "of the form"},
		{{K, "-device", "virtio-net-device,netdev=n,mac=02:00:00:00:00:0g"}, "of the form"},
		{{K, "-device", "virtio-net-device,netdev=n,mac=02-00-00-00-00-01"}, "of the form"},
		{{K, "-device", "virtio-net-device,netdev=n,mtu=67"}, "from 68 to 65535"},
		{{K, "-netdev", "tap,id=n,fd=3", "-device", "virtio-net-device,netdev=n", "-device",
		  "virtio-net-device,netdev=n"},
		 "the netdev 'n' is used twice"},
		{{K, "-device", "virtio-fs-device,tag=t,dir=/,fd=3"}, "exclude each other"},
		{{K, "-jail", "/j", "-device", "virtio-fs-device,tag=t,dir=/"}, "beside -jail"},
		{{K, "-jail", "/j", "-device", "virtio-fs-device,tag=t,fd=3"}, "beside -jail"},
		{{K, "-jail", "j"}, "absolute path"},
		{{K, "-device", "virtio-vsock-device"}, "guest-cid= is missing"},
		{{K, "-device", "virtio-vsock-device,guest-cid=2"}, "from 3 to"},
		{{K, "-device", "virtio-vsock-device,guest-cid=4294967295"}, "from 3 to"},
		{{K, "-device", "virtio-vsock-device,guest-cid=3,path=p,listen-fd=4"},
		 "exclude each other"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_OPTIONS struct options o = {0};
		struct err err = ERR_INIT;

		print_message("%s\n", cases[i].text);
		assert_true(parse(cases[i].args, &o, &err) < 0);
		assert_non_null(strstr(err.text, cases[i].text));
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *arg;
		uint64_t mib;
	} cases[] = {{"32", 32},
		     {"512M", 512},
		     {"2G", 2048},
		     {"size=1G", 1024},
		     {"16384G", 16ULL << 20}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const args[] = {K, "-m", cases[i].arg, NULL};
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(args, &o, NULL), 0);
		assert_int_equal(o.memory_mib, cases[i].mib);
	}
}

static void test_pit(void **state)
{
	static const struct {
		const char *machine;
		bool no_pit;
	} cases[] = {{"microvm", false},
		     {"microvm,pit=on", false},
		     {"microvm,pit=off", true},
		     {"type=microvm,pit=off,hotplug-blk=8,hotplug-net=2", true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const args[] = {K, "-machine", cases[i].machine, NULL};
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(args, &o, NULL), 0);
		assert_int_equal(o.no_pit, cases[i].no_pit);
	}
}

#define QMP  "-qmp", "unix:p,server,nowait"
#define DISK "-drive", "id=d,file=x", "-device", "virtio-blk-device,drive=d"

/* As StratoVirt's clients expect it, unless somebody has counted or it is our own monitor who asks. */
static void test_slots_that_nobody_counted(void **state)
{
	static const struct {
		const char *args[MAX_ARGS];
		unsigned blk, net;
	} cases[] = {
		{{K, QMP}, 4, 2},
		{{K, "-chardev", "socket,id=c,path=p,server,nowait", "-mon",
		  "chardev=c,mode=control"},
		 4,
		 2},
		{{K, QMP, DISK}, 3, 2},
		{{K, DISK, "-device", "virtio-rng-device", QMP, "-netdev", "tap,id=n,fd=3",
		  "-device", "virtio-net-device,netdev=n"},
		 3,
		 1},
		{{K, QMP, "-machine", "microvm"}, 4, 2},
		{{K, QMP, "-machine", "microvm,hotplug-blk=0"}, 0, 0},
		{{K, QMP, "-machine", "microvm,hotplug-net=3"}, 0, 3},
		{{K, QMP, "-monitor-fd", "3"}, 0, 0},
		{{K, "-monitor-fd", "3"}, 0, 0},
		{{K}, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(cases[i].args, &o, NULL), 0);
		assert_int_equal(o.hotplug_blk, cases[i].blk);
		assert_int_equal(o.hotplug_net, cases[i].net);
	}
}

static void test_more_disks_than_slots(void **state)
{
	static const char *const args[] = {K,         QMP,
					   "-drive",  "id=a,file=x",
					   "-device", "virtio-blk-device,drive=a",
					   "-drive",  "id=b,file=x",
					   "-device", "virtio-blk-device,drive=b",
					   "-drive",  "id=c,file=x",
					   "-device", "virtio-blk-device,drive=c",
					   "-drive",  "id=d,file=x",
					   "-device", "virtio-blk-device,drive=d",
					   "-drive",  "id=e,file=x",
					   "-device", "virtio-blk-device,drive=e",
					   NULL};
	AUTO_OPTIONS struct options o = {0};

	(void)state;
	assert_int_equal(parse(args, &o, NULL), 0);
	assert_int_equal(o.hotplug_blk, 0);
}

static void test_where_messages_go(void **state)
{
	static const struct {
		const char *args[MAX_ARGS];
		const char *path;
		bool to_stdout;
	} cases[] = {
		{{K}, NULL, false},
		{{K, "-D"}, NULL, true},
		{{K, "-D", "-disable-seccomp"}, NULL, true},
		{{K, "-D", "f"}, "f", false},
		{{K, "-D", "-D", "f"}, "f", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(cases[i].args, &o, NULL), 0);
		assert_int_equal(o.log_stdout, cases[i].to_stdout);
		assert_int_equal(!!o.log_path, !!cases[i].path);
	}
}

static void test_devices(void **state)
{
	const char *const args[] = {
		"--kernel", "k",
		"-smp",     "cpus=254",
		"-device",  "virtio-blk-device,drive=root,id=b",
		"-device",  "virtio-vsock-device,guest-cid=3,listen-fd=5,agent-fd=6",
		"-device",  "virtio-fs-device,tag=t,dir=/a,,b,readonly=on",
		NULL,
	};
	/* The drive may come after the device that names it. */
	const char *const drive[] = {"-kernel", "k",
				     "-device", "virtio-blk-device,drive=root",
				     "-drive",  "id=root,fd=7,readonly=on,format=raw",
				     NULL};
	AUTO_OPTIONS struct options o = {0};
	AUTO_OPTIONS struct options p = {0};

	(void)state;
	assert_int_equal(parse(drive, &p, NULL), 0);
	assert_int_equal(options_drive(&p, "root")->fd, 7);
	assert_true(options_drive(&p, "root")->readonly);
	assert_null(options_drive(&p, "roo"));

	assert_true(parse(args, &o, NULL) < 0); /* no such drive */
	assert_int_equal(o.vcpus, 254);
	assert_int_equal(o.ndevices, 3);
	assert_int_equal(o.devices[0].kind, OPTION_DEVICE_BLK);
	assert_string_equal(o.devices[0].id, "b");
	assert_int_equal(o.devices[1].kind, OPTION_DEVICE_VSOCK);
	assert_int_equal(o.devices[1].guest_cid, 3);
	assert_int_equal(o.devices[1].listen_fd, 5);
	assert_int_equal(o.devices[1].agent_fd, 6);
	assert_int_equal(o.devices[2].kind, OPTION_DEVICE_FS);
	assert_string_equal(o.devices[2].dir, "/a,b");
	assert_int_equal(o.devices[2].fd, -1);
	assert_true(o.devices[2].readonly);
}

static void test_consoles(void **state)
{
	/* clang-format off */
	static const char *const args[] = {K,
		"-chardev", "null,id=a",
		"-chardev", "stdio,id=b",
		"-device", "virtio-serial-device,id=vs,max_ports=4",
		"-device", "virtconsole,chardev=a,nr=1,id=one,bus=vs.0",
		"-device", "virtconsole,chardev=b",
		NULL};
	/* clang-format on */
	AUTO_OPTIONS struct options o = {0};
	struct err err = ERR_INIT;

	(void)state;
	if (parse(args, &o, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(o.ndevices, 1);
	assert_int_equal(o.devices[0].kind, OPTION_DEVICE_CONSOLE);
	assert_int_equal(o.nports, 2);
	assert_string_equal(o.ports[0].id, "one");
	assert_int_equal(o.ports[0].nr, 1);
	assert_string_equal(o.ports[1].id, "virtconsole0");
	assert_int_equal(o.ports[1].nr, 0);
}

static void test_net(void **state)
{
	static const uint8_t mac[] = {0x02, 0xab, 0xcd, 0xef, 0x01, 0x9f};
	const char *const args[] = {
		K,
		"-netdev",
		"tap,id=n0,fds=7:8:9,queues=3,vhost=off",
		"-netdev",
		"tap,id=n1,ifname=tap0,script=no,downscript=no",
		"-device",
		"virtio-net-device,netdev=n0,id=e,mac=02:ab:CD:ef:01:9f,mtu=9000",
		NULL,
	};
	AUTO_OPTIONS struct options o = {0};

	(void)state;
	assert_int_equal(parse(args, &o, NULL), 0);
	assert_string_equal(options_netdev(&o, "n0")->fds, "7:8:9");
	assert_string_equal(options_netdev(&o, "n1")->ifname, "tap0");
	assert_int_equal(options_netdev(&o, "n1")->fd, -1);
	assert_null(options_netdev(&o, "n"));
	assert_int_equal(o.ndevices, 1);
	assert_int_equal(o.devices[0].kind, OPTION_DEVICE_NET);
	assert_memory_equal(o.devices[0].mac, mac, sizeof(mac));
	assert_int_equal(o.devices[0].mtu, 9000);
}

static void test_defaults(void **state)
{
	const char *const args[] = {K, NULL};
	AUTO_OPTIONS struct options o = {0};

	(void)state;
	assert_int_equal(parse(args, &o, NULL), 0);
	assert_int_equal(o.memory_mib, 256);
	assert_int_equal(o.vcpus, 1);
	assert_int_equal(o.serial, SERIAL_NONE);
	assert_int_equal(o.monitor_fd, -1);
	assert_int_equal(o.kvm_fd, -1);
}

static void test_too_many(void **state)
{
	static const struct {
		const char *name;
		int drives, devices;
		const char *error; /* NULL: accepted */
	} cases[] = {
		{"as many as can be", OPTIONS_MAX_DRIVES, OPTIONS_MAX_DEVICES, NULL},
		{"a drive more", OPTIONS_MAX_DRIVES + 1, 0, "too many drives"},
		{"a device more", 0, OPTIONS_MAX_DEVICES + 1, "too many devices"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static char drives[OPTIONS_MAX_DRIVES + 1][32];
		char *argv[3 + 2 * (OPTIONS_MAX_DRIVES + OPTIONS_MAX_DEVICES + 2)];
		static char name[] = "vmm", kernel[] = "-kernel", drive[] = "-drive";
		static char device[] = "-device", rng[] = "virtio-rng-device";
		AUTO_OPTIONS struct options o = {0};
		struct err err = ERR_INIT;
		int argc = 0;
		int rc;

		print_message("%s\n", cases[i].name);
		argv[argc++] = name;
		argv[argc++] = kernel;
		argv[argc++] = name;
		for (int d = 0; d < cases[i].drives; d++) {
			(void)snprintf(drives[d], sizeof(drives[d]), "id=%d,file=x", d);
			argv[argc++] = drive;
			argv[argc++] = drives[d];
		}
		for (int d = 0; d < cases[i].devices; d++) {
			argv[argc++] = device;
			argv[argc++] = rng;
		}
		rc = options_parse(argc, argv, &o, &err);
		assert_int_equal(rc < 0, cases[i].error != NULL);
		if (cases[i].error)
			assert_non_null(strstr(err.text, cases[i].error));
	}
}

/* What Kata's Go driver starts a light machine with, its two vhost devices replaced. */
static void test_kata(void **state)
{
	/* clang-format off */
	static const char *const args[] = {
		"-name", "sandbox-7",
		"-uuid", "01234567-89ab-CDEF-0123-456789abcdef",
		"-smp", "1,maxcpus=4",
		"-m", "2048",
		"-kernel", "k",
		"-append", "quiet 8250.nr_uarts=0",
		"-qmp", "unix:/run/vc/vm/7/qmp.socket,server,nowait",
		"-D", "-disable-seccomp",
		"-machine", "type=microvm,dump-guest-core=off,mem-share=on",
		"-initrd", "i",
		"-object", "rng-random,id=objrng0,filename=/dev/urandom",
		"-device", "virtio-rng-device,rng=objrng0,id=virtio-rng0",
		"-drive", "id=rootfs,file=F,readonly=on,direct=off",
		"-device", "virtio-blk-device,drive=rootfs,id=virtio-blk0",
		"-netdev", "tap,id=net0,fds=3:4",
		"-device", "virtio-net-device,netdev=net0,id=net0,mac=02:00:ca:fe:00:01",
		"-device", "virtio-serial-device,id=virtio-serial0",
		"-chardev", "socket,id=charconsole0,path=/run/vc/vm/7/console.sock,server,nowait",
		"-device", "virtconsole,chardev=charconsole0,id=virtio-console0,nr=0",
		"-device", "virtio-vsock-device,id=vsock-id,guest-cid=5,path=v",
		"-chardev", "socket,id=m,fd=7,server=on,wait=off",
		"-mon", "chardev=m,mode=control",
		NULL};
	/* clang-format on */
	AUTO_OPTIONS struct options o = {0};
	struct err err = ERR_INIT;

	(void)state;
	if (parse(args, &o, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(o.name, "sandbox-7");
	assert_int_equal(o.vcpus, 1);
	assert_int_equal(o.max_vcpus, 4);
	assert_true(o.log_stdout);
	assert_int_equal(o.hotplug_blk, 3);
	assert_int_equal(o.hotplug_net, 1);
	assert_true(o.no_seccomp);
	assert_int_equal(o.ndevices, 5);
	assert_int_equal(o.nports, 1);
	assert_int_equal(o.nmonitors, 2);
	assert_string_equal(options_chardev(&o, o.monitors[0])->path, "/run/vc/vm/7/qmp.socket");
	assert_int_equal(options_chardev(&o, o.monitors[1])->fd, 7);
	assert_true(options_drive(&o, "rootfs")->readonly);
	assert_string_equal(options_netdev(&o, "net0")->fds, "3:4");
}

static void test_a_property_may_be_given_by_its_key_alone(void **state)
{
	static const struct {
		const char *args[MAX_ARGS];
		bool server, wait, append;
	} cases[] = {
		{{K, "-chardev", "socket,id=c,path=p,server,nowait"}, true, false, false},
		{{K, "-chardev", "socket,id=c,path=p,server=on,wait=off"}, true, false, false},
		{{K, "-chardev", "file,id=c,path=p,append"}, false, true, true},
		{{K, "-chardev", "file,id=c,path=p,append,noappend"}, false, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(cases[i].args, &o, NULL), 0);
		assert_int_equal(o.chardevs[0].server, cases[i].server);
		assert_int_equal(o.chardevs[0].wait, cases[i].wait);
		assert_int_equal(o.chardevs[0].append, cases[i].append);
	}
}

static void test_what_a_reset_does(void **state)
{
	static const struct {
		const char *args[MAX_ARGS];
		bool reboot, no_reset;
	} cases[] = {
		{{K}, false, false},
		{{K, "-action", "reboot=reset"}, true, false},
		{{K, "-action", "reboot=reset", "-action", "reboot=shutdown"}, false, true},
		{{K, "-action", "reboot=reset", "-no-reboot"}, false, true},
		{{K, "-no-reboot", "-action", "reboot=reset"}, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_OPTIONS struct options o = {0};

		assert_int_equal(parse(cases[i].args, &o, NULL), 0);
		assert_int_equal(o.reboot, cases[i].reboot);
		assert_int_equal(o.no_reset, cases[i].no_reset);
	}
}

static void test_kernel_cmdline(void **state)
{
	struct arch_slot slots[] = {arch_virtio_slot(0), arch_virtio_slot(1)};
	static const struct {
		const char *console;
		size_t nslots;
		uint32_t vcpus;
		const char *user;
		const char *line;
	} cases[] = {
		{"ttyS0", 0, 0, NULL, "console=ttyS0 reboot=k,force panic=-1 noreplace-smp"},
		{NULL, 0, 0, "", "8250.nr_uarts=0 reboot=k,force panic=-1 noreplace-smp"},
		{"ttyS0", 0, 2, NULL,
		 "console=ttyS0 reboot=k,force panic=-1 noreplace-smp maxcpus=2"},
		{"ttyS0", 2, 0, "quiet -- x",
		 "console=ttyS0 reboot=k,force panic=-1 noreplace-smp "
		 "virtio_mmio.device=4K@0xd0000000:5 "
		 "virtio_mmio.device=4K@0xd0001000:6 quiet -- x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cmdline_params p = {cases[i].console, slots, cases[i].nslots, cases[i].vcpus,
					   cases[i].user};
		AUTO_FREE char *line = NULL;

		assert_int_equal(cmdline_build(&p, &line, NULL), 0);
		assert_string_equal(line, cases[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_pit),
		cmocka_unit_test(test_slots_that_nobody_counted),
		cmocka_unit_test(test_more_disks_than_slots),
		cmocka_unit_test(test_where_messages_go),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_consoles),
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_what_a_reset_does),
		cmocka_unit_test(test_kata),
		cmocka_unit_test(test_a_property_may_be_given_by_its_key_alone),
		cmocka_unit_test(test_kernel_cmdline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
