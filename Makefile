# Nacre's one Makefile. `make` builds and touches nothing outside build/; `make demo` and `make check` install what they
# miss first. Variants: CC=clang, SAN=address,undefined, O=DIR (the build directory), V=1 (show commands), WERROR=1.

CC ?= gcc
O ?= build
ARCH ?= x86_64
PREFIX ?= /usr
DESTDIR ?=
VERSION := 0.1.0
PKG_CONFIG ?= pkg-config

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# --- flags -------------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wconversion -Wcast-qual -Wswitch-enum -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef
# Flags that older compilers lack are probed: clang 14 knows -ftrivial-auto-var-init=zero only under a second name.
cc_has = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo '$(1)')
HARDEN := -fstack-protector-strong $(call cc_has,-fstack-clash-protection) $(call cc_has,-fcf-protection) \
	$(or $(call cc_has,-ftrivial-auto-var-init=zero),$(call cc_has,-ftrivial-auto-var-init=zero \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang))
OPT ?= -O2 -g
comma := ,
ifdef SAN
HARDEN += -fsanitize=$(SAN)$(if $(FUZZ),$(comma)fuzzer-no-link) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDSAN := -fsanitize=$(SAN)
else
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
CPPFLAGS += -I. -I$(O)/gen -D_GNU_SOURCE -DNACRE_VERSION='"$(VERSION)"' -DNACRE_PREFIX='"$(PREFIX)"' \
	-ffile-prefix-map=$(CURDIR)=.
CFLAGS += -std=gnu17 $(OPT) $(WARN) $(if $(WERROR),-Werror) $(HARDEN) -fPIE -pthread
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(LDSAN)
STATIC_PIE := -static-pie -Wl,-z,relro,-z,now,-z,noexecstack

LIBS_RUNTIME := -ljson-c -lprotobuf-c -lmd
# liburing by its archive: the shared library of Debian 12 does not export io_uring_register_restrictions.
LIBS_VMM := -ljson-c -l:liburing.a
LIBS_AGENT := -ljson-c -lprotobuf-c -lseccomp

# --- sources, one a line ---------------------------------------------------------------------------------------------
BASE := \
	base/bug.o \
	base/caps.o \
	base/clock.o \
	base/cursor.o \
	base/err.o \
	base/fd.o \
	base/idmap.o \
	base/listener.o \
	base/log.o \
	base/loop.o \
	base/net_parse.o \
	base/net_state.o \
	base/netlink.o \
	base/path.o \
	base/spawn.o \
	base/str.o \
	base/syscall_list.o

CONFIG := \
	config/json.o \
	config/oci_check.o \
	config/oci_parse.o \
	config/oci_linux.o \
	config/oci_process.o \
	config/oci_resources.o \
	config/oci_seccomp.o \
	config/oci_state.o \
	config/nacre_config.o \
	config/container_plan.o \
	config/vm_plan.o

PROTO := \
	agent-proto/proto_budget.o \
	agent-proto/ttrpc.o \
	agent-proto/ttrpc_blocking.o \
	agent-proto/ttrpc_call.o \
	agent-proto/ttrpc_code.o \
	agent-proto/ttrpc_frame.o \
	agent-proto/ttrpc_serve.o

PROTOS := \
	agent-proto/agent.proto \
	agent-proto/containerd.proto \
	agent-proto/ttrpc_wire.proto

# What the probe is made of needs the C library only: it is built before any package is installed, to say where tests run.
PROBE := \
	vmm/arch/x86_64/arch.o \
	vmm/arch/x86_64/cpuid.o \
	vmm/arch/x86_64/probe_guest.o \
	vmm/arch/x86_64/regs.o \
	vmm/gmem.o \
	vmm/kvm.o \
	vmm/probe.o \
	vmm/probe_cache.o

VMM := \
	$(PROBE) \
	vmm/address_space.o \
	vmm/arch/x86_64/boot.o \
	vmm/arch/x86_64/bzimage.o \
	vmm/arch/x86_64/elf.o \
	vmm/arch/x86_64/linux_params.o \
	vmm/arch/x86_64/mptable.o \
	vmm/arch/x86_64/platform.o \
	vmm/arch/x86_64/pvh.o \
	vmm/backends.o \
	vmm/block/engine.o \
	vmm/block/node.o \
	vmm/block/threads.o \
	vmm/block/uring.o \
	vmm/cmdline.o \
	vmm/control.o \
	vmm/daemon.o \
	vmm/dev/blk.o \
	vmm/dev/blk_batch.o \
	vmm/dev/blk_config.o \
	vmm/dev/blk_io.o \
	vmm/dev/blk_pool.o \
	vmm/dev/blk_request.o \
	vmm/dev/console.o \
	vmm/dev/console_ctrl.o \
	vmm/dev/console_host.o \
	vmm/dev/fs/attr.o \
	vmm/dev/fs/cred.o \
	vmm/dev/fs/device.o \
	vmm/dev/fs/entry.o \
	vmm/dev/fs/fs.o \
	vmm/dev/fs/handle.o \
	vmm/dev/fs/ids.o \
	vmm/dev/fs/inode.o \
	vmm/dev/fs/node.o \
	vmm/dev/fs/ops_attr.o \
	vmm/dev/fs/ops_dir.o \
	vmm/dev/fs/ops_file.o \
	vmm/dev/fs/ops_io.o \
	vmm/dev/fs/ops_node.o \
	vmm/dev/fs/ops_session.o \
	vmm/dev/fs/ops_xattr.o \
	vmm/dev/fs/request.o \
	vmm/dev/net.o \
	vmm/dev/net_ctrl.o \
	vmm/dev/net_filter.o \
	vmm/dev/net_rx.o \
	vmm/dev/net_tap.o \
	vmm/dev/net_tx.o \
	vmm/dev/rng.o \
	vmm/dev/vsock.o \
	vmm/dev/vsock_conn.o \
	vmm/dev/vsock_host.o \
	vmm/dev/vsock_rx.o \
	vmm/dev/vsock_tx.o \
	vmm/drivers.o \
	vmm/fdset.o \
	vmm/image.o \
	vmm/iothread.o \
	vmm/jail.o \
	vmm/job.o \
	vmm/kvm_listener.o \
	vmm/landlock.o \
	vmm/machine.o \
	vmm/machine_config.o \
	vmm/machine_run.o \
	vmm/open.o \
	vmm/options/backends.o \
	vmm/options/boot.o \
	vmm/options/consoles.o \
	vmm/options/control.o \
	vmm/options/devices.o \
	vmm/options/machine.o \
	vmm/options/parse.o \
	vmm/props.o \
	vmm/qmp/check.o \
	vmm/qmp/client.o \
	vmm/qmp/cmd_block.o \
	vmm/qmp/cmd_block_query.o \
	vmm/qmp/cmd_chardev.o \
	vmm/qmp/cmd_cpu.o \
	vmm/qmp/cmd_device.o \
	vmm/qmp/cmd_fd.o \
	vmm/qmp/cmd_machine.o \
	vmm/qmp/cmd_net.o \
	vmm/qmp/cmd_run.o \
	vmm/qmp/commands.o \
	vmm/qmp/dispatch.o \
	vmm/qmp/event.o \
	vmm/qmp/fds.o \
	vmm/qmp/introspect.o \
	vmm/qmp/json.o \
	vmm/qmp/qmp.o \
	vmm/qmp/types.o \
	vmm/seccomp.o \
	vmm/serial.o \
	vmm/sink.o \
	vmm/tap.o \
	vmm/tasks.o \
	vmm/slots.o \
	vmm/slots_plug.o \
	vmm/vcpu.o \
	vmm/virtio/chain.o \
	vmm/virtio/gather.o \
	vmm/virtio/mmio.o \
	vmm/virtio/queue.o \
	vmm/virtio/registers.o \
	vmm/virtio/virtio.o

RUNTIME := \
	runtime/agent_client.o \
	runtime/broker.o \
	runtime/broker_ask.o \
	runtime/broker_containers.o \
	runtime/broker_network.o \
	runtime/broker_policy.o \
	runtime/broker_serve.o \
	runtime/broker_share.o \
	runtime/broker_streams.o \
	runtime/broker_wire.o \
	runtime/cli.o \
	runtime/cli_args.o \
	runtime/cli_check.o \
	runtime/cli_create.o \
	runtime/cli_lifecycle.o \
	runtime/cli_state.o \
	runtime/cli_update.o \
	runtime/console_ring.o \
	runtime/container.o \
	runtime/container_control.o \
	runtime/container_create.o \
	runtime/container_delete.o \
	runtime/events.o \
	runtime/flags.o \
	runtime/guest_stream.o \
	runtime/hook.o \
	runtime/hooks.o \
	runtime/kvm_probe.o \
	runtime/launch.o \
	runtime/lifecycle.o \
	runtime/monitor.o \
	runtime/monitor_client.o \
	runtime/monitor_jail.o \
	runtime/monitor_spawn.o \
	runtime/mount_points.o \
	runtime/network.o \
	runtime/network_join.o \
	runtime/network_look.o \
	runtime/network_message.o \
	runtime/network_nics.o \
	runtime/network_ns.o \
	runtime/network_plug.o \
	runtime/network_tap.o \
	runtime/process.o \
	runtime/process_start.o \
	runtime/powerdown.o \
	runtime/procid.o \
	runtime/pty.o \
	runtime/qmp_call.o \
	runtime/qmp_client.o \
	runtime/pump.o \
	runtime/resources.o \
	runtime/rootfs_mount.o \
	runtime/sandbox.o \
	runtime/sandbox_boot.o \
	runtime/sandbox_cgroup.o \
	runtime/sandbox_network.o \
	runtime/sandbox_stop.o \
	runtime/shared_tree.o \
	runtime/shim.o \
	runtime/shim_delete.o \
	runtime/shim_start.o \
	runtime/signal_names.o \
	runtime/start_record.o \
	runtime/state_dir.o \
	runtime/stdio.o \
	runtime/stdio_host.o \
	runtime/stub.o \
	runtime/task_call.o \
	runtime/task_events.o \
	runtime/task_query.o \
	runtime/task_service.o \
	runtime/unix_socket.o \
	runtime/vcpus.o \
	runtime/vmm_command.o \
	runtime/vmm_nics.o \
	runtime/vmm_process.o

AGENT := \
	agent/agent.o \
	agent/call.o \
	agent/cgroup.o \
	agent/cgroup_limits.o \
	agent/child.o \
	agent/child_channel.o \
	agent/container.o \
	agent/container_control.o \
	agent/container_remove.o \
	agent/credentials.o \
	agent/device_filter.o \
	agent/devices.o \
	agent/exec_path.o \
	agent/guest_setup.o \
	agent/kernel_words.o \
	agent/mount_options.o \
	agent/mounts.o \
	agent/network_apply.o \
	agent/network_change.o \
	agent/network_decode.o \
	agent/network_link.o \
	agent/network_park.o \
	agent/proc.o \
	agent/proc_clone.o \
	agent/proc_io.o \
	agent/pty.o \
	agent/relay.o \
	agent/rootfs.o \
	agent/seccomp.o \
	agent/service.o \
	agent/service_machine.o \
	agent/start_hooks.o \
	agent/stream_door.o \
	agent/vcpus.o \
	agent/vsock_guard.o

# Each is tests/fuzz/NAME.c with its corpus in tests/fuzz/corpus/NAME without _fuzz.
FUZZ_TARGETS := \
	agent_fuzz \
	agent_reply_fuzz \
	blk_fuzz \
	boot_fuzz \
	broker_fuzz \
	console_fuzz \
	fuse_fuzz \
	mmio_fuzz \
	nacre_config_fuzz \
	net_fuzz \
	netlink_fuzz \
	oci_fuzz \
	options_fuzz \
	qmp_client_fuzz \
	qmp_fuzz \
	queue_fuzz \
	rng_fuzz \
	serial_fuzz \
	ttrpc_fuzz \
	virtio_console_fuzz \
	vsock_fuzz

# Each is tests/unit/NAME.c with a main of its own (cmocka), linked with the archives.
UNIT_TESTS := \
	address_space_test \
	agent_container_test \
	agent_stream_test \
	agent_test \
	base_test \
	blk_io_test \
	blk_test \
	block_engine_test \
	boot_image_test \
	boot_load_test \
	broker_policy_test \
	broker_test \
	cli_test \
	cmdline_test \
	config_test \
	console_test \
	cpuid_test \
	fs_attr_test \
	fs_device_test \
	fs_dir_test \
	fs_hostile_test \
	fs_io_test \
	fs_test \
	gmem_test \
	hook_test \
	hostile_agent_test \
	iothread_test \
	jail_test \
	job_test \
	landlock_test \
	lifecycle_test \
	machine_test \
	mmio_test \
	monitor_jail_test \
	net_ctrl_test \
	net_rx_test \
	net_tap_test \
	netlink_test \
	network_replay_test \
	network_test \
	net_test \
	net_tx_test \
	probe_test \
	process_end_test \
	qmp_client_test \
	qmp_backends_test \
	qmp_drives_test \
	qmp_test \
	queue_test \
	rng_test \
	rootfs_test \
	sandbox_test \
	seccomp_test \
	shim_delete_test \
	serial_test \
	stdio_pump_test \
	tasks_test \
	start_record_test \
	state_dir_test \
	ttrpc_test \
	ttrpc_wire_test \
	virtio_test \
	vmm_process_test \
	vsock_data_test \
	vsock_hostile_test \
	vsock_test

BROKER_TESTS := \
	broker_test \
	hostile_agent_test \
	process_end_test \
	sandbox_test

NETNS_TESTS := \
	netlink_test \
	network_replay_test \
	network_test

FS_CLIENT_TESTS := \
	fs_attr_test \
	fs_dir_test \
	fs_hostile_test \
	fs_io_test \
	fs_test

VSOCK_GUEST_TESTS := \
	vsock_data_test \
	vsock_hostile_test \
	vsock_test

NET_TESTS := \
	net_ctrl_test \
	net_rx_test \
	net_tap_test \
	net_test \
	net_tx_test

FAKE_DRIVER_TESTS := \
	blk_io_test \
	blk_test \
	console_test \
	fs_device_test \
	mmio_test \
	queue_test \
	rng_test \
	virtio_test \
	$(NET_TESTS) \
	$(VSOCK_GUEST_TESTS)

SANDBOX_WORLD_TESTS := \
	process_end_test \
	sandbox_test

TTRPC_WORLD_TESTS := \
	ttrpc_test \
	ttrpc_wire_test

# ----------------------------------------------------------------------------------------------------------------------
GEN := $(PROTOS:%.proto=$(O)/gen/%.pb-c.o)
ARCHIVES := $(O)/runtime.a $(O)/vmm.a $(O)/agent.a $(O)/proto.a $(O)/config.a $(O)/base.a
PROGRAMS := $(O)/bin/nacre $(O)/bin/vmm $(O)/bin/kvm-probe $(O)/bin/nacre-agent

all: $(PROGRAMS)

# --- rules -----------------------------------------------------------------------------------------------------------
# The generated protobuf-c code is compiled without our warnings: it is not ours to mend. But the
# headers' initialisers are expanded in our files, and cast a const away.
$(O)/gen/%.pb-c.c: %.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --c_out=$(O)/gen -I. $<
	$(Q)sed -i 's/(char \*)protobuf_c_empty/(char *)(uintptr_t)protobuf_c_empty/g' $(O)/gen/$*.pb-c.h

$(O)/gen/%.pb-c.h: $(O)/gen/%.pb-c.c ;

$(O)/gen/%.pb-c.o: $(O)/gen/%.pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

$(O)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Who includes generated headers must wait for them.
$(PROTO:%=$(O)/%) $(RUNTIME:%=$(O)/%) $(AGENT:%=$(O)/%) $(UNIT_TESTS:%=$(O)/tests/unit/%.o) $(FUZZ_TARGETS:%=$(O)/tests/fuzz/%.o) \
$(O)/runtime/main.o $(O)/agent/main.o: | $(PROTOS:%.proto=$(O)/gen/%.pb-c.c)

$(O)/base.a: $(BASE:%=$(O)/%)
$(O)/config.a: $(CONFIG:%=$(O)/%)
$(O)/proto.a: $(PROTO:%=$(O)/%) $(GEN)
$(O)/vmm.a: $(VMM:%=$(O)/%)
$(O)/runtime.a: $(RUNTIME:%=$(O)/%)
$(O)/agent.a: $(AGENT:%=$(O)/%)
$(O)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

# $(call link,FLAGS,LIBRARIES)
define link
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(1) -o $@ $^ $(2)
endef

# One program, two faces: what it is called by decides (argv[0]).
$(O)/bin/nacre: $(O)/runtime/main.o $(O)/runtime.a $(O)/proto.a $(O)/config.a $(O)/base.a
	$(call link,$(LDFLAGS),$(LIBS_RUNTIME))
	$(Q)ln -sf nacre $(@D)/containerd-shim-nacre-v2

$(O)/bin/vmm: $(O)/vmm/main.o $(O)/vmm.a $(O)/base.a
	$(call link,$(if $(SAN),$(LDFLAGS),$(STATIC_PIE)),$(LIBS_VMM))

$(O)/bin/kvm-probe: $(O)/vmm/probe_main.o $(PROBE:%=$(O)/%) $(O)/base.a
	$(call link,$(if $(SAN),$(LDFLAGS),$(STATIC_PIE)))

# Pid 1 of the guest: static, small, stripped.
$(O)/bin/nacre-agent: $(O)/agent/main.o $(O)/agent.a $(O)/proto.a $(O)/config.a $(O)/base.a
	$(call link,$(STATIC_PIE) -Wl$(comma)--gc-sections -s,$(LIBS_AGENT))

print-probe-sources:
	@echo vmm/probe_main.c $(PROBE:.o=.c) $(BASE:.o=.c)

# --- unit tests --------------------------------------------------------------------------------------------------------
# Tests of virtio devices talk to them through a driver of our own.
$(FAKE_DRIVER_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/fake_driver.o
$(FS_CLIENT_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/fs_client.o
$(BROKER_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/broker_fixture.o
$(NETNS_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/netns.o
$(SANDBOX_WORLD_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/sandbox_world.o
$(TTRPC_WORLD_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/ttrpc_world.o
$(NET_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/net_fixture.o
$(VSOCK_GUEST_TESTS:%=$(O)/tests/unit/%): $(O)/tests/unit/vsock_guest.o
$(O)/tests/unit/agent_container_test: $(O)/tests/unit/agent_fixture.o
# Runs them once more, in a user namespace.
$(O)/tests/unit/jail_test: | $(addprefix $(O)/tests/unit/,fs_attr_test fs_dir_test fs_io_test fs_test)
$(O)/tests/unit/qmp_backends_test $(O)/tests/unit/qmp_drives_test $(O)/tests/unit/qmp_test: $(O)/tests/unit/qmp_world.o

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(ARCHIVES) -Wl,--end-group \
		-lcmocka $(LIBS_VMM) $(LIBS_RUNTIME) $(LIBS_AGENT)

unit-tests: $(UNIT_TESTS:%=$(O)/tests/unit/%)

print-unit-tests:
	@echo $(UNIT_TESTS)

# --- hostile guests: freestanding, 32-bit, linked where a kernel would be -----------------------------------------
GUEST := \
	driver.o \
	guest.o \
	main.o \
	misdeeds_register.o \
	misdeeds_request.o \
	misdeeds_ring.o \
	start.o
GUEST_CFLAGS := -m32 -std=gnu17 -O2 $(WARN) -Wno-pointer-to-int-cast -ffreestanding -fno-pic -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only

define compile_guest
	$(call say,GUEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
endef

$(O)/guests/%.o: tests/guests/%.c $(wildcard tests/guests/*.h)
	$(compile_guest)

$(O)/guests/%.o: tests/guests/%.S tests/guests/guest.h
	$(compile_guest)

# The vmm takes 64-bit ELF, as kernels come; the code in it is the guest's affair.
$(O)/guests/hostile: $(GUEST:%=$(O)/guests/%) tests/guests/guest.lds
	$(call say,LD,$@)
	$(Q)$(LD) -m elf_i386 -T tests/guests/guest.lds --no-warn-rwx-segments -o $@.elf32 $(GUEST:%=$(O)/guests/%)
	$(Q)objcopy -I elf32-i386 -O elf64-x86-64 $@.elf32 $@

guests: $(O)/guests/hostile

# --- a hostile agent: a static program of Linux, in nacre-agent's place in the initramfs ---------------------------
$(O)/bin/hostile-agent: $(O)/tests/guests/hostile_agent.o $(O)/base.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(STATIC_PIE) -Wl,--gc-sections -s -o $@ $^

$(O)/guest/initramfs-hostile: $(O)/bin/hostile-agent packaging/guest/build-initramfs
	$(Q)mkdir -p $(@D)
	$(Q)packaging/guest/build-initramfs $< $@

# --- fuzz targets: libFuzzer, so a clang build of its own ---------------------------------------------------------
ifdef FUZZ
$(O)/bin/%_fuzz: $(O)/tests/fuzz/%_fuzz.o $(ARCHIVES)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LIBS_VMM) $(LIBS_RUNTIME) $(LIBS_AGENT)

$(O)/bin/blk_fuzz $(O)/bin/mmio_fuzz $(O)/bin/net_fuzz $(O)/bin/rng_fuzz \
$(O)/bin/virtio_console_fuzz $(O)/bin/vsock_fuzz: \
	$(O)/tests/unit/fake_driver.o
$(O)/bin/fuse_fuzz: $(O)/tests/unit/fs_client.o

fuzz-targets: $(FUZZ_TARGETS:%=$(O)/bin/%)
else
fuzz-targets:
	$(Q)$(MAKE) -s FUZZ=1 CC=clang O=$(O)/fuzz SAN=address,undefined OPT="-O1 -g" $@
endif

print-fuzz-targets:
	@echo $(FUZZ_TARGETS)

# --- guest assets, staging, installation ---------------------------------------------------------------------------
guest: $(O)/bin/nacre-agent
	$(Q)mkdir -p $(O)/guest
	$(Q)packaging/guest/build-kernel $(O)/guest
	$(Q)packaging/guest/build-initramfs $(O)/bin/nacre-agent $(O)/guest/initramfs-$(ARCH)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/nacre $(DESTDIR)$(PREFIX)/share/nacre
	install -m 755 $(O)/bin/nacre $(DESTDIR)$(PREFIX)/bin/nacre
	ln -sf nacre $(DESTDIR)$(PREFIX)/bin/containerd-shim-nacre-v2
	install -m 755 $(O)/bin/vmm $(O)/bin/kvm-probe $(DESTDIR)$(PREFIX)/libexec/nacre/
	install -m 644 $(O)/guest/kernel-$(ARCH) $(O)/guest/initramfs-$(ARCH) $(DESTDIR)$(PREFIX)/share/nacre/
	install -d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 docs/man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7/
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/

# What the test host copies over its root file system.
stage: all guest $(O)/guest/initramfs-hostile
	$(Q)rm -rf $(O)/stage.new && $(MAKE) -s install DESTDIR=$(abspath $(O)/stage.new)
	$(Q)rm -rf $(O)/stage && mv $(O)/stage.new $(O)/stage

# --- the two commands -------------------------------------------------------------------------------------------------
# Where tests and demo run is decided, and said, before anything else is done.
where:
	@$(MAKE) -s $(O)/bin/kvm-probe >/dev/null
	@tests/where

demo: where
	@packaging/ensure-packages packaging/packages packaging/guest/packages tests/images/packages \
		$$(tests/where --packages)
	@$(MAKE) -s -j2 all && $(MAKE) -s stage && tests/images/build && tests/demo/run

check: where
	@packaging/ensure-packages packaging/packages packaging/packages.check packaging/guest/packages \
		tests/images/packages $$(tests/where --packages)
	@tests/check $(STAGES)

lint:
	@tests/lint

# make fuzz T=seconds [FUZZ_TARGETS="qmp_fuzz ..."]: each target for that long, new inputs kept beside the build.
T ?= 60
fuzz: fuzz-targets
	@O=$(O) tests/fuzz/run $(T) $(FUZZ_TARGETS)

# make bench [GROUPS="starts memory"]: figures beside QEMU's, runc's and crun's; needs what `make stage` makes.
$(O)/bench/initramfs: tests/bench/init.S packaging/guest/build-initramfs
	@mkdir -p $(@D)
	$(Q)$(CC) -nostdlib -static -s -o $(@D)/init $<
	$(Q)packaging/guest/build-initramfs $(@D)/init $@

bench: where
	@packaging/ensure-packages packaging/packages packaging/guest/packages tests/images/packages \
		$$(tests/where --packages)
	@$(MAKE) -s -j2 all $(O)/bench/initramfs && $(MAKE) -s stage && tests/bench/run $(GROUPS)

clean:
	$(Q)rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
.PHONY: all bench check clean demo fuzz fuzz-targets guest guests install lint print-fuzz-targets \
	print-probe-sources print-unit-tests stage unit-tests where FORCE
