# What a running container can be told and asked besides start and kill: its limits, its record, its end for want of memory.
load lib.bash
load asked.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
}

teardown() {
	if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
		cat "$STATE/$id/monitor.log" >&2 || true
		nacre delete --force "$id"
	fi
	assert_nothing_left
}

# The listener has subscribed when it hears of a label.
heard_label() {
	ctr image label $BUSYBOX "heard=$RANDOM"
	grep -q /images/update "$BATS_TEST_TMPDIR/events"
}

@test "a container killed for want of memory says so to containerd and in its bundle" {
	ctr events >"$BATS_TEST_TMPDIR/events" 3>&- &
	listener=$!
	wait_for 60 heard_label
	run ctr run --rm --runtime $RUNTIME --memory-limit 67108864 $BUSYBOX "$id" tail /dev/zero
	[ "$status" -eq 137 ]
	wait_for 15 grep -q "/tasks/oom.*$id" "$BATS_TEST_TMPDIR/events"
	kill $listener
	wait_status $listener

	bundle "$b" ".linux.resources.memory.limit = 67108864 | .process.args = $(args_of tail /dev/zero)"
	run nacre run --bundle "$b" "$id" </dev/null
	[ "$status" -eq 137 ]
	[ -e "$b/oom" ]
	# the next container of this bundle has not been killed
	edit_config "$b" ".process.args = $(args_of true)"
	nacre run --bundle "$b" "$id" </dev/null
	[ ! -e "$b/oom" ]
}

@test "update changes the limits in the guest, and refuses what the microVM cannot hold" {
	make_running '.linux.resources.memory.limit = 134217728 | .linux.resources.pids.limit = 50'
	cg=/sys/fs/cgroup
	[ "$(ask "cat $cg/memory.max $cg/pids.max" | xargs)" = "134217728 50" ]
	nacre update --memory 64m --pids-limit -1 --cpu-quota 20000 --cpu-period 50000 "$id"
	[ "$(ask "cat $cg/memory.max $cg/pids.max $cg/cpu.max" | xargs)" = "67108864 max 20000 50000" ]
	echo '{"cpu": {"quota": -1}}' | nacre update -r - "$id"
	[ "$(ask "cat $cg/cpu.max" | xargs)" = "max 50000" ]
	run --separate-stderr nacre update "$id" --memory 1g
	assert_one_clear_line "more than this microVM was made for: 128 MiB"
	run --separate-stderr nacre update "$id" --memory lots
	assert_one_clear_line "'lots' is not a number"
	[ "$(ask "cat $cg/memory.max")" = 67108864 ]
	nacre delete --force "$id"
}

@test "a larger quota brings vCPUs on line, a smaller one takes them off" {
	configured '{"default_vcpus": 2, "boot_vcpus": 1, "hotplug_vcpus": 2}'
	make_running
	wait_for 40 is 2 ask nproc
	nacre update "$id" --cpu-quota 350000 --cpu-period 100000
	wait_for 40 is 4 ask nproc
	nacre update "$id" --cpu-quota 50000
	wait_for 40 is 2 ask nproc
	nacre delete --force "$id"
}

@test "a paused container stands still, and goes on where it was" {
	make_running
	nacre pause "$id"
	[ "$(nacre state "$id" | jq -r .status)" = paused ]
	echo 'echo went on' >"$b/io/q"
	run --separate-stderr nacre pause "$id"
	assert_one_clear_line "already paused"
	! wait_for 2 test -e "$b/io/a"
	nacre resume "$id"
	wait_for 30 grep -q "went on" "$b/io/a"
	[ "$(nacre state "$id" | jq -r .status)" = running ]
	run --separate-stderr nacre resume "$id"
	assert_one_clear_line "not paused"
	nacre pause "$id"
	nacre delete --force "$id"
}

@test "ctr pauses, resumes and updates a task" {
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	ctr task pause "$id"
	ctr task ls | grep "$id.*PAUSED"
	ctr task resume "$id"
	ctr task ls | grep "$id.*RUNNING"
	ctr task kill --signal SIGKILL "$id"
	wait_for 20 sh -c "ctr task ls | grep '$id.*STOPPED'"
	run ctr task delete "$id"
	[[ "$output" == *"exit code 137"* ]]
	ctr container delete "$id"
}

# qmp_until TEXT COMMAND [ARGUMENTS]: a client of the microVM's QMP, until it hears TEXT.
qmp_until() {
	local fd qmp=$BATS_TEST_TMPDIR/qmp
	rm -f "$qmp"*
	mkfifo "$qmp.in"
	timeout 120 socat - "UNIX-CONNECT:$STATE/$id/qmp.sock" <"$qmp.in" >"$qmp" 3>&- &
	exec {fd}>"$qmp.in"
	printf '{"execute": "qmp_capabilities"}{"execute": "%s", "arguments": %s}' "$2" "${3:-"{}"}" >&"$fd"
	wait_for 60 grep -q "$1" "$qmp" || {
		cat "$qmp" >&2
		return 1
	}
	exec {fd}>&-
	wait $! || true # the engine may have gone first
}

vcpu() { # CORE
	echo "{\"driver\": \"host-x86_64-cpu\", \"id\": \"v$1\", \"core-id\": $1}"
}

@test "QMP plugs vCPUs, and one that is unplugged is off line when DEVICE_DELETED comes" {
	configured '{"default_vcpus": 1, "hotplug_vcpus": 2, "qmp": true}'
	make_running
	qmp_until NACRE_VCPU_PLUG device_add "$(vcpu 1)"
	qmp_until NACRE_VCPU_PLUG device_add "$(vcpu 2)"
	wait_for 60 is 3 ask nproc
	qmp_until DEVICE_DELETED device_del '{"id": "v2"}'
	[ "$(ask nproc)" = 2 ]
	nacre update "$id" --cpu-quota 200000 --cpu-period 100000
	qmp_until DEVICE_UNPLUG_GUEST_ERROR device_del '{"id": "v1"}'
	[ "$(ask nproc)" = 2 ]
	nacre update "$id" --cpu-quota 100000
	qmp_until DEVICE_DELETED device_del '{"id": "v1"}'
	[ "$(ask nproc)" = 1 ]
	nacre delete --force "$id"
}

@test "QMP's system_powerdown asks the container, then ends the guest in order" {
	configured '{"qmp": true}'
	make_running
	[ -S "$STATE/$id/qmp.sock" ]
	# who asks for it is in the trap's loop
	[ "$(ask echo ready)" = ready ]
	qmp_until '"reason":"guest-shutdown"' system_powerdown
	grep -q POWERDOWN "$BATS_TEST_TMPDIR/qmp"
	wait_for 60 sh -c "nacre state $id | grep -q stopped"
	[ "$(cat "$b/io/term")" = asked ]
	! grep -q crashed "$STATE/$id/monitor.log"
	nacre delete "$id"
}

# Every phase is there, in order: the guest's kernel begins no earlier than the vCPU enters, but for the way of the greeting.
@test "the record of a start is complete and in order" {
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	run nacre state "$id"
	[ "$(jq '."nacre.start"' <<<"$output")" = null ]
	nacre start "$id"
	run nacre state "$id"
	jq -e '."nacre.start".monotonic_us | to_entries | map(.key) ==
		["monitor", "spawn", "exec", "memory", "devices", "kernel", "jail", "entry",
		 "linux", "init", "ready", "agent", "created", "started"]' <<<"$output"
	jq -e '."nacre.start".monotonic_us | [.[]] | . == sort' <<<"$output"
	[ "$(jq -r .status <<<"$output")" = running ]
	nacre delete --force "$id"
}

# What the vmm's QMP says of the start.
told_start() {
	qmp_until monotonic-us query-start-times
	jq -cs 'map(.return?."monotonic-us" // empty) | last' "$BATS_TEST_TMPDIR/qmp"
}

last_told() {
	told_start | jq -r 'keys_unsorted | last'
}

@test "QMP has the whole record of a start, and before its end what is over" {
	configured '{"qmp": true}'
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	wait_for 20 is created last_told
	told_start | jq -e 'keys_unsorted == ["monitor", "spawn", "exec", "memory", "devices", "kernel", "jail", "entry",
		"linux", "init", "ready", "agent", "created"]'
	nacre start "$id"
	wait_for 20 is started last_told
	[ "$(told_start)" = "$(nacre state "$id" | jq -c '."nacre.start".monotonic_us')" ]
	nacre delete --force "$id"
}
