# What config.json says is what the container gets: seen from inside, by a probe script in a nacre-run bundle.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
}

teardown() {
	assert_nothing_left
}

# inside JQ-EDIT SCRIPT: runs the shell script as the container's process.
inside() {
	bundle "$b" "$1"
	edit_config "$b" ".process.args = $(args_of sh -c "$2")"
	run nacre run --bundle "$b" "$(new_id)" </dev/null
}

@test "uid, gid, supplementary groups, umask, cwd, environment, hostname" {
	inside '.process.user = {uid: 1234, gid: 2345, additionalGids: [77, 88], umask: 63} | .process.cwd = "/tmp" |
		.process.env += ["NACRE_TEST=yes please"] | .hostname = "pearl"' \
		'id; umask; pwd; echo "$NACRE_TEST"; hostname'
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" == "uid=1234 gid=2345 groups="*77*88* ]]
	[ "${lines[1]}" = 0077 ]
	[ "${lines[2]}" = /tmp ]
	[ "${lines[3]}" = "yes please" ]
	[ "${lines[4]}" = pearl ]
}

@test "capabilities are exactly those asked for" {
	inside '.process.capabilities = {bounding: ["CAP_CHOWN", "CAP_KILL"], permitted: ["CAP_CHOWN"], effective: ["CAP_CHOWN"],
		inheritable: [], ambient: []}' 'grep Cap /proc/self/status'
	[ "$status" -eq 0 ]
	[[ "$output" == *"CapBnd:	0000000000000021"* ]]
	[[ "$output" == *"CapEff:	0000000000000001"* || "$output" == *"CapEff:	0000000000000021"* ]]
	[[ "$output" == *"CapAmb:	0000000000000000"* ]]
}

@test "resource limits and no_new_privs" {
	inside '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 333, hard: 444}] | .process.noNewPrivileges = true' \
		'ulimit -Sn; ulimit -Hn; grep NoNewPrivs /proc/self/status'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 333 ]
	[ "${lines[1]}" = 444 ]
	[[ "${lines[2]}" == *1 ]]
}

@test "namespaces: pid 1 is the workload, and it has a cgroup namespace root" {
	inside '.linux.namespaces += [{type: "cgroup"}] | .linux.namespaces |= unique_by(.type)' 'echo $$; cat /proc/1/cgroup; ls -d /proc/[0-9]* | wc -l'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = "0::/" ]
	[ "${lines[2]}" -le 4 ]
}

@test "mounts of the spec, in order, with their options" {
	echo from-host >"$BATS_TEST_TMPDIR/file"
	mkdir -p "$BATS_TEST_TMPDIR/dir"
	inside ".mounts += [
		{destination: \"/etc/injected\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/file\", options: [\"bind\", \"ro\"]},
		{destination: \"/new/dir\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/dir\", options: [\"rbind\", \"rw\"]},
		{destination: \"/scratch\", type: \"tmpfs\", source: \"tmpfs\", options: [\"nosuid\", \"noexec\", \"size=1m\"]}]" \
		'cat /etc/injected; (echo x >/etc/injected) 2>&1; echo seen >/new/dir/by-host; grep " /scratch " /proc/mounts;
		dd if=/dev/zero of=/scratch/big bs=1M count=2 2>&1 | grep -o "No space left"'
	[ "${lines[0]}" = from-host ]
	[[ "$output" == *"Read-only file system"* ]]
	[[ "$output" == *"nosuid,noexec"* || "$output" == *"noexec"* ]]
	[[ "$output" == *"No space left"* ]]
	[ "$(cat "$BATS_TEST_TMPDIR/dir/by-host")" = seen ]
}

@test "a read-only root file system, masked and read-only paths" {
	inside '.root.readonly = true | .linux.maskedPaths = ["/etc/passwd", "/proc/acpi"] | .linux.readonlyPaths = ["/proc/sys"]' \
		'(echo x >/new) 2>&1; wc -c </etc/passwd; (echo 1 >/proc/sys/kernel/panic) 2>&1'
	[[ "${lines[0]}" == *"Read-only file system"* ]]
	[ "${lines[1]}" -eq 0 ]
	[[ "${lines[2]}" == *"Read-only file system"* ]]
}

@test "memory and pids limits are the container's cgroup's" {
	inside '.linux.resources.memory.limit = 100663296 | .linux.resources.pids.limit = 20 |
		.mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"]}]' \
		'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; grep MemTotal /proc/meminfo'
	[ "${lines[0]}" = 100663296 ]
	[ "${lines[1]}" = 20 ]
	total=$(awk '{print $2}' <<<"${lines[2]}")
	[ "$total" -gt 98304 ] # the guest is larger than the limit
	[ "$total" -lt 262144 ]
}

@test "seccomp: the profile is in force, and AF_VSOCK is denied without any profile" {
	inside '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95}]}' \
		'mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status'
	[[ "${lines[0]}" == *"not supported"* ]]
	[[ "${lines[1]}" == *2 ]]
	IMAGE=$DEBIAN run ctr_run "$(new_id)" python3 -c '
import socket
try:
    socket.socket(40, socket.SOCK_STREAM)
    print("opened")
except OSError as e:
    print("refused", e.errno)'
	[[ "$output" == refused* ]]
}

@test "device nodes: the usual ones are there, others may not be made or opened" {
	inside '.' 'ls -l /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | grep -c ^c; head -c 4 /dev/urandom | wc -c;
		mknod /tmp/mem c 1 1 2>&1; readlink /dev/fd'
	[ "${lines[0]}" -eq 6 ]
	[ "${lines[1]}" -eq 4 ]
	[[ "$output" == *"not permitted"* ]]
	[[ "$output" == *"/proc/self/fd"* ]]
}

@test "sysctl and oom_score_adj" {
	inside '.linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"} | .process.oomScoreAdj = 300' \
		'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/self/oom_score_adj'
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = 1 ]
	[ "${lines[2]}" = 300 ]
}
