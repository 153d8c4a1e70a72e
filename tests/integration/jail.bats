# What a vmm that a guest has taken over could do: nothing to the host, to other pods, or to its own limits.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
	vmm=$(pgrep -f 'libexec/nacre/vmm' | head -n 1)
}

teardown() {
	nacre delete --force "$id"
	assert_nothing_left
}

# Field NAME of a thread.
field() {
	awk -v f="$2:" '$1 == f { print $2 }' "/proc/$vmm/task/$1/status"
}

# A command of busybox where the vmm is, with more capabilities than it has and without its lists of system calls.
inside() {
	nsenter --target "$vmm" --user --mount --pid --ipc --uts --setuid 0 --setgid 0 --wd=/ \
		"/$id/rootfs/bin/busybox" "$@"
}

# That such a command fails, and with which words.
refused() {
	local words=$1
	shift
	run inside "$@"
	[ "$status" -ne 0 ]
	[[ "$output" == *"$words"* ]]
}

@test "every thread is confined, and only the file server has capabilities" {
	local seen=
	for task in /proc/"$vmm"/task/*; do
		t=${task##*/}
		[ "$(field "$t" Seccomp)" = 2 ]
		[ "$(field "$t" NoNewPrivs)" = 1 ]
		case $(cat "$task/comm") in
		# CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID SETGID SETUID SETFCAP
		fs) [ "$(field "$t" CapEff)" = 00000000800000df ] && seen=$seen,fs ;;
		*) [ "$(field "$t" CapEff)" = 0000000000000000 ] ;;
		esac
		[ "$(field "$t" CapBnd)" = 00000000800000df ]
	done
	[ "$seen" = ,fs ]
}

@test "its namespaces are its own, with all ids, and it is their first process" {
	for ns in user mnt pid ipc uts; do
		[ "$(readlink "/proc/$vmm/ns/$ns")" != "$(readlink /proc/self/ns/$ns)" ]
	done
	[ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$vmm/status")" = 1 ]
	read -r from to count <"/proc/$vmm/uid_map"
	[ "$from $to $count" = "0 0 4294967295" ]
}

@test "it sees the shared tree and nothing else" {
	run inside ls /
	[ "$status" -eq 0 ]
	[ "$output" = "$id" ]
	for path in /etc/shadow /proc/self/status /dev/kvm /../etc/shadow "$b/config.json"; do
		refused "No such file" cat "$path"
	done
	# no descriptor leads out of it either: directories are the tree's, and files are not in the host's /proc
	for fd in /proc/"$vmm"/fd/*; do
		[ ! -d "$fd" ] || [[ "$(readlink "$fd")" == / || "$(readlink "$fd")" == /$id* ]]
	done
	run cat "/proc/$vmm/mountinfo"
	[[ "$output" != *" /etc "* ]]
	[[ "$(awk '$5 == "/" { print $6 }' <<<"$output")" == *ro*nosuid*nodev* ]]
}

@test "a bind that comes later arrives there" {
	# the rootfs was bound before the vmm started; another container's is bound now, into the same pod's tree
	run inside ls "/$id/rootfs/bin/busybox"
	[ "$status" -eq 0 ]
	[ "$(grep -c "/$id/rootfs " "/proc/$vmm/mountinfo")" -ge 1 ]
	grep "/$id/rootfs " "/proc/$vmm/mountinfo" | grep -q nodev
	[[ "$(awk '$5 == "/"' "/proc/$vmm/mountinfo")" == *master:* ]]
}

@test "no device nodes, no modules, no other processes, no higher limits, no clock" {
	refused "not permitted" mknod "/$id/rootfs/tmp/null" c 1 3
	[ ! -e "$b/rootfs/tmp/null" ]
	refused "not permitted" insmod "/$id/rootfs/bin/busybox"
	refused "o such process" kill -0 "$BATS_ROOT_PID"
	refused "not permitted" sh -c 'ulimit -H -n 1000000000'
	run inside date -s 2001-01-01 # busybox ends with 0
	[[ "$output" == *"not permitted"* ]]
	[ "$(awk '$1 == "Max" && $2 == "core" { print $6 }' "/proc/$vmm/limits")" = 0 ]
}

@test "another pod is not there" {
	other=$(new_id)
	bundle "$BATS_TEST_TMPDIR/o" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$BATS_TEST_TMPDIR/o" "$other" </dev/null >/dev/null 2>&1
	theirs=$(pgrep -f 'libexec/nacre/vmm' | grep -vx "$vmm" | head -n 1)
	refused "No such file" ls "/$other"
	refused "o such process" kill -0 "$theirs"
	nacre delete --force "$other"
}

@test "it lives in the cgroup of the sandbox, which goes with it" {
	edit_config "$b" '.linux.cgroupsPath = "/nacre-test/in"'
	own=$(new_id)
	nacre create --bundle "$b" "$own" </dev/null >/dev/null 2>&1
	theirs=$(pgrep -f 'libexec/nacre/vmm' | grep -vx "$vmm" | head -n 1)
	[ "$(cat "/proc/$theirs/cgroup")" = 0::/nacre-test/in ]
	nacre delete --force "$own"
	[ ! -e /sys/fs/cgroup/nacre-test/in ]
	rmdir /sys/fs/cgroup/nacre-test
}

@test "the monitor keeps only the capabilities it has a use for" {
	monitor=$(pgrep -f 'nacre monitor' | head -n 1)
	# CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL NET_ADMIN SYS_CHROOT SYS_ADMIN SYS_RESOURCE MKNOD SETFCAP
	[ "$(awk '$1 == "CapEff:" { print $2 }' "/proc/$monitor/status")" = 000000008924103f ]
}
