# What a vmm that a guest has taken over could do: nothing to the host, to other pods, or to its own limits.
load lib.bash

# With limits that a default of the host's could not hide behind.
setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
	prlimit --pid $BASHPID --core=unlimited --msgqueue=819200 --nice=40 --rtprio=99
	ip netns add "$id"
	bundle "$b" ".process.args = $(args_of sleep 600) |
		(.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/$id\""
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
	vmm=$(pgrep -f 'libexec/nacre/vmm' | head -n 1)
}

teardown() {
	nacre delete --force "$id"
	ip netns del "$id"
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

@test "its network is the pod's, not the host's" {
	[ "$(readlink "/proc/$vmm/ns/net")" = "net:[$(stat -Lc %i "/run/netns/$id")]" ]
	[ "$(readlink "/proc/$vmm/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	# its namespaces' root may not even change it
	run nsenter --target "$vmm" --user --net --setuid 0 --setgid 0 ip link set lo up
	[ "$status" -ne 0 ]
	[[ "$output" == *"not permitted"* ]]
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

@test "no device nodes, no modules, no other processes, no clock" {
	refused "not permitted" mknod "/$id/rootfs/tmp/null" c 1 3
	[ ! -e "$b/rootfs/tmp/null" ]
	refused "not permitted" insmod "/$id/rootfs/bin/busybox"
	refused "o such process" kill -0 "$BATS_ROOT_PID"
	run inside date -s 2001-01-01 # busybox ends with 0
	[[ "$output" == *"not permitted"* ]]
}

# The limits that the jail lowers, of a process: soft and hard.
lowered() {
	sed -nE 's/^Max (core file size|msgqueue size|nice priority|realtime priority) +(\S+) +(\S+).*/\1: \2 \3/p' "/proc/$1/limits"
}

@test "its limits are below those of who started it, and cannot be raised" {
	diff - <(lowered "$(listed broker)") <<-EOT
		core file size: unlimited unlimited
		msgqueue size: 819200 819200
		nice priority: 40 40
		realtime priority: 99 99
	EOT
	diff - <(lowered "$vmm") <<-EOT
		core file size: 0 0
		msgqueue size: 0 0
		nice priority: 0 0
		realtime priority: 0 0
	EOT
	# root in there may lower them, but only root on the host may raise them
	local in_there=(nsenter --target "$vmm" --user --pid --setuid 0 --setgid 0)
	"${in_there[@]}" prlimit --pid 1 --nofile=1000:1000
	for limit in --core=unlimited --msgqueue=1 --nofile=1001:1001; do
		run "${in_there[@]}" prlimit --pid 1 "$limit"
		[ "$status" -ne 0 ]
		[[ "$output" == *"not permitted"* ]]
	done
	prlimit --pid "$vmm" --nofile=1001:1001
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

# What of a process's status the jail decides.
rights() {
	awk '/^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):/ { print $1, $2 }' "/proc/$1/status"
}

assert_jailed() {
	diff - <(rights "$1") <<-EOT
		CapInh: 0000000000000000
		CapPrm: 0000000000000000
		CapEff: 0000000000000000
		CapBnd: 0000000000000000
		CapAmb: 0000000000000000
		NoNewPrivs: 1
		Seccomp: 2
	EOT
}

# listed WHAT [STATE-DIR]: the pid of a process of the sandbox.
listed() {
	jq -r --arg what "$1" '.resources[] | select(.what == $what) | .pid' "${2:-$STATE/$id}/resources.json"
}

@test "the monitor has no capabilities and a list of system calls, with either face" {
	assert_jailed "$(listed monitor)"
	[ "$(rights "$(listed broker)" | awk '$1 == "Seccomp:" { print $2 }')" = 0 ]
	other=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$other" sleep 600
	assert_jailed "$(listed monitor "$STATE/@default/$other")"
	# it still does its work
	run ctr task exec --exec-id e "$other" echo second
	[ "$output" = second ]
	ctr task kill --signal SIGKILL "$other"
	wait_for 30 sh -c "ctr task ls | grep '$other.*STOPPED'"
	ctr task delete "$other" || true
	ctr container delete "$other"
}

@test "a later container of a pod is made, started and deleted behind the wall" {
	pod=$(new_id)
	second=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$pod" sleep 600
	before=$(pgrep -fc containerd-shim-nacre-v2)
	for round in 1 2; do
		run ctr run --rm --runtime $RUNTIME --annotation "io.kubernetes.cri.sandbox-id=$pod" \
			--mount "type=bind,src=$b/rootfs/bin,dst=/host-bin,options=rbind:ro" \
			$BUSYBOX "$second" sh -c 'echo $0; ls /host-bin/busybox; exit 5' "$round"
		[ "$status" -eq 5 ]
		[ "${lines[0]} ${lines[1]}" = "$round /host-bin/busybox" ]
	done
	[ "$(pgrep -fc containerd-shim-nacre-v2)" -eq "$before" ]
	assert_jailed "$(listed monitor "$STATE/@default/$pod")"
	# nothing of it is left in the tree that the guest sees
	[ ! -e "/proc/$(listed monitor "$STATE/@default/$pod")/root$STATE/@default/$pod/shared/$second" ]
	ctr task kill --signal SIGKILL "$pod"
	wait_for 30 sh -c "ctr task ls | grep '$pod.*STOPPED'"
	ctr task delete "$pod" || true
	ctr container delete "$pod"
}

@test "a container whose storage does not answer is alone in that" {
	pod=$(new_id)
	second=$(new_id)
	dead=$BATS_TEST_TMPDIR/dead
	mkdir "$dead"
	ctr run -d --runtime $RUNTIME $BUSYBOX "$pod" sleep 600
	"$BATS_TEST_DIRNAME/dead_storage.py" "$dead" >"$BATS_TEST_TMPDIR/mounted" &
	server=$!
	wait_for 10 grep -q mounted "$BATS_TEST_TMPDIR/mounted"
	ctr run --rm --runtime $RUNTIME --annotation "io.kubernetes.cri.sandbox-id=$pod" \
		--mount "type=bind,src=$dead/volume,dst=/v,options=rbind" $BUSYBOX "$second" true \
		>"$BATS_TEST_TMPDIR/second" 2>&1 &
	waiting=$!
	wait_for 20 pgrep -x nacre-share
	# the pod is served meanwhile
	for round in 1 2; do
		run timeout 20 ctr task exec --exec-id "e$round" "$pod" echo here
		[ "$output" = here ]
	done
	pgrep -x nacre-share
	# when the server is gone for good, so is the wait
	kill "$server"
	wait_for 20 sh -c "! pgrep -x nacre-share"
	! wait "$waiting"
	grep -q "bind '$dead/volume'" "$BATS_TEST_TMPDIR/second"
	umount -l "$dead"
	run ctr task exec --exec-id e3 "$pod" echo still
	[ "$output" = still ]
	ctr container delete "$second" || true
	ctr task kill --signal SIGKILL "$pod"
	wait_for 30 sh -c "ctr task ls | grep '$pod.*STOPPED'"
	ctr task delete "$pod" || true
	ctr container delete "$pod"
}

@test "a monitor that is taken over opens nothing, and dies of what is not on its list" {
	monitor=$(listed monitor)
	broker=$(listed broker)
	over=$BATS_TEST_DIRNAME/taken_over.py
	[ "$("$over" call "$monitor" 257 -100 0 0)" = EACCES ] # openat(AT_FDCWD, ...)
	[ "$("$over" call "$monitor" 39)" = "$monitor" ]       # getpid
	[ "$(nacre state "$id" | jq -r .status)" = running ]
	[ "$("$over" call "$monitor" 165)" = SIGSYS ] # mount
	# and takes broker and guest along
	wait_for 20 sh -c "[ ! -e /proc/$broker ] && [ ! -e /proc/$vmm ]"
}

@test "its broker refuses what a taken-over monitor could ask" {
	monitor=$(listed monitor)
	over=$BATS_TEST_DIRNAME/taken_over.py
	run "$over" broker "$monitor"
	[ "$status" -eq 0 ]
	diff - <(echo "$output") <<-EOT
		add etc /etc EPERM
		add x /proc/1/root EPERM
		add x /tmp/x EPERM
		share bind /  rbind  EBUSY
		share bind /  rbind  ENOENT
		forget ENOENT
		hooks EBUSY
		hooks ENOENT
		mark-oom ENOENT
		open-stream /etc/shadow EINVAL
		open-stream file:///etc/cron.d/nacre-test EPERM
		open-stream fd://3 ENOTSUP
		open-stream /dev/kvm EINVAL
		record {} EPERM
		network  EPERM
		join EINVAL
		join ENOENT
		leave ENOENT
		mtu ENOENT
		seal EPERM
	EOT
	[ ! -e /etc/cron.d/nacre-test ]
	[ "$(nacre state "$id" | jq -r .status)" = running ]
	# what is no request at all ends the broker, and the sandbox with it
	"$over" garbage "$monitor"
	wait_for 20 sh -c "nacre state $id | grep -q stopped"
}

@test "its broker gives no container the host for a root file system" {
	other=$(new_id)
	bundle "$BATS_TEST_TMPDIR/$other" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$BATS_TEST_TMPDIR/$other" "$other" </dev/null >/dev/null 2>&1
	monitor=$(listed monitor "$STATE/$other")
	run "$BATS_TEST_DIRNAME/taken_over.py" rebind "$monitor" "$other" "$BATS_TEST_TMPDIR/$other"
	[ "$status" -eq 0 ]
	diff - <(echo "$output") <<-EOT
		unshare OK
		add OK
		share overlay /  bind EPERM
		share overlay /  rbind ro EPERM
		share bind /  rbind EPERM
		share proc proc  EPERM
		share sysfs sysfs  EPERM
		share cgroup2 cgroup2  EPERM
	EOT
	[ ! -e "/proc/$monitor/root$STATE/$other/shared/$other/rootfs" ]
	nacre delete --force "$other"
}
