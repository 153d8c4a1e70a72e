# The engine by way of a container: other kernel images, many vCPUs, memory above the hole; and by hand.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	export NACRE_CONFIG_DIR=$BATS_TEST_TMPDIR/conf
	mkdir -p "$NACRE_CONFIG_DIR"
	echo '{}' >"$NACRE_CONFIG_DIR/config.json"
}

teardown() {
	unset NACRE_CONFIG_DIR
	assert_nothing_left
}

# configured JSON SCRIPT: the script in a container under that configuration.
configured() {
	echo "$1" >"$NACRE_CONFIG_DIR/config.json"
	bundle "$b" ".process.args = $(args_of sh -c "$2")"
	run nacre run --bundle "$b" "$(new_id)" </dev/null
	[ "$status" -eq 0 ]
}

@test "a bzImage boots too" {
	configured "{ \"kernel\": \"$BATS_TEST_DIRNAME/../../build/guest/bzImage-x86_64\" }" 'uname -r'
	[[ "$output" == *nacre* ]]
}

@test "four vCPUs are four processors" {
	configured '{ "default_vcpus": 4 }' 'nproc; grep -c "^model name" /proc/cpuinfo'
	[ "${lines[0]}" = 4 ]
	[ "${lines[1]}" = 4 ]
}

@test "254 vCPUs are described to the guest" {
	configured '{ "default_vcpus": 254, "kernel_params": "maxcpus=1" }' 'cat /sys/devices/system/cpu/present'
	[ "$output" = 0-253 ]
}

@test "memory above the 32-bit hole is usable" {
	configured '{ "default_memory_mib": 4096 }' 'grep MemTotal /proc/meminfo'
	[ "$(awk '{ print $2 }' <<<"$output")" -gt 4000000 ]
}

@test "the guest's processor has the host's name" {
	configured '{}' 'grep -m1 "^model name" /proc/cpuinfo'
	[ "$output" = "$(grep -m1 '^model name' /proc/cpuinfo)" ]
}

@test "a plain microVM runs by hand, with a disk, and says how it ended" {
	truncate -s 1M "$BATS_TEST_TMPDIR/disk"
	# the agent finds no host to talk to and ends the guest; the vmm's status says that the guest ended
	run timeout 100 /usr/libexec/nacre/vmm -kernel /usr/share/nacre/kernel-x86_64 -initrd /usr/share/nacre/initramfs-x86_64 \
		-m 256 -smp 1 -serial stdio -append quiet -drive "file=$BATS_TEST_TMPDIR/disk,id=d0,readonly=on" \
		-device virtio-blk-device,drive=d0 -device virtio-rng-device </dev/null
	[ "$status" -eq 0 ]
	[[ "$output" == *agent* ]]
}

# qmp_say SOCKET COMMAND: negotiates, says it, prints what comes until the engine hangs up.
qmp_say() {
	printf '{"execute": "qmp_capabilities"}{"execute": "%s"}' "$2" | timeout 60 socat -t 60 - "UNIX-CONNECT:$1"
}

@test "a daemon leaves the caller when its machine is there, and says when it cannot be" {
	cd "$BATS_TEST_TMPDIR"
	/usr/libexec/nacre/vmm -daemonize -pidfile pid -D log -S -kernel /usr/share/nacre/kernel-x86_64 \
		-qmp unix:qmp,server,nowait </dev/null 3>&-
	local pid
	pid=$(cat pid)
	[ "$(readlink "/proc/$pid/cwd")" = / ]
	[ "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" = /dev/null ]
	[ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
	qmp_say qmp quit | grep -q host-qmp-quit
	wait_for 20 test ! -e pid
	wait_for 20 test ! -e "/proc/$pid"
	[ ! -s log ]
	/usr/libexec/nacre/vmm -daemonize -add-fd fd=8,set=1 -add-fd fd=9,set=2 -pidfile /dev/fdset/1 -D /dev/fdset/2 -S \
		-kernel /usr/share/nacre/kernel-x86_64 -qmp unix:qmp,server,nowait </dev/null 3>&- 8>pid-given 9>>log-given
	pid=$(cat pid-given)
	[ "$(readlink "/proc/$pid/exe")" = "$(readlink -f /usr/libexec/nacre/vmm)" ]
	ls -l "/proc/$pid/fd" | grep -q "/log-given$"
	qmp_say qmp quit | grep -q host-qmp-quit
	wait_for 20 test ! -e "/proc/$pid"
	[ -s pid-given ]
	[ ! -s log-given ]
	run --separate-stderr /usr/libexec/nacre/vmm -daemonize -pidfile pid -kernel /nonexistent 3>&-
	assert_one_clear_line "open '/nonexistent': No such file or directory"
	[ ! -e pid ]
	run --separate-stderr /usr/libexec/nacre/vmm -D /dev/fdset/3 -kernel /usr/share/nacre/kernel-x86_64 3>&-
	assert_one_clear_line "-D: '/dev/fdset/3': there is no such fd set"
}
