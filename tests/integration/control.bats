# What a running container can be told and asked besides start and kill: its limits, its record, its end for want of memory.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
}

teardown() {
	assert_nothing_left
}

@test "a container killed for want of memory says so to containerd and in its bundle" {
	ctr events >"$BATS_TEST_TMPDIR/events" 3>&- &
	listener=$!
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

# Every phase is there, in order: the guest's kernel begins no earlier than the vCPU enters, but for the way of the greeting.
@test "the record of a start is complete and in order" {
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	run nacre state "$id"
	[ "$(jq '."nacre.start"' <<<"$output")" = null ]
	nacre start "$id"
	run nacre state "$id"
	jq -e '."nacre.start".monotonic_us | to_entries | map(.key) ==
		["monitor", "spawn", "exec", "jail", "memory", "devices", "kernel", "entry",
		 "linux", "init", "ready", "agent", "created", "started"]' <<<"$output"
	jq -e '."nacre.start".monotonic_us | [.[]] | . == sort' <<<"$output"
	[ "$(jq -r .status <<<"$output")" = running ]
	nacre delete --force "$id"
}
