# OCI hooks: where they run, in which order, what they are told, and what becomes of a container whose hook fails.
load lib.bash

teardown() {
	for dir in $STATE/t*/; do
		[ -d "$dir" ] && nacre delete --force "$(basename "$dir")"
	done
	assert_nothing_left
}

# hook KIND SCRIPT: an edit for jq that appends a hook to config.json.
hook() {
	jq -rn --arg kind "$1" --arg script "$2" \
		'"| .hooks[\"\($kind)\"] += [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \($script | @json)], env: [\"PATH=/usr/bin:/bin\"]}]"'
}

@test "hooks run in order, each with the state on standard input" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	see="jq -c '[\$k, .id, .status, .pid, .bundle]' --arg k"
	bundle "$b" ".process.args = $(args_of sh -c 'cat /from-hook; sleep 600')
		$(hook poststop "$see poststop >>$b/marks")
		$(hook poststart "$see poststart >>$b/marks")
		$(hook createContainer "$see createContainer >>$b/marks")
		$(hook createRuntime "$see createRuntime >>$b/marks; echo there >$b/rootfs/from-hook")
		$(hook prestart "$see prestart >>$b/marks")"
	nacre create --bundle "$b" --pid-file "$b/pid" "$id" </dev/null >"$b/out" 2>&1
	pid=$(cat "$b/pid")
	[ "$(wc -l <"$b/marks")" -eq 3 ]
	nacre start "$id"
	wait_for 20 grep -qx there "$b/out"
	nacre kill "$id" KILL
	wait_for 20 sh -c "nacre state $id | grep -q stopped"
	nacre delete "$id"
	diff - "$b/marks" <<-EOT
		["prestart","$id","creating",$pid,"$b"]
		["createRuntime","$id","creating",$pid,"$b"]
		["createContainer","$id","creating",$pid,"$b"]
		["poststart","$id","running",$pid,"$b"]
		["poststop","$id","stopped",null,"$b"]
	EOT
}

@test "a startContainer hook runs in the container before its process" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sh -c 'cat /state; echo process')
		$(hook startContainer 'uname -r; cat >/state')"
	run --separate-stderr nacre run --bundle "$b" "$(new_id)"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" != "$(uname -r)" ]
	[ "$(jq -r .status <<<"${lines[1]}")" = created ]
	[ "$(jq -r .pid <<<"${lines[1]}")" = 1 ]
	[ "$(jq -r .bundle <<<"${lines[1]}")" = "$b" ]
	[[ "$output" == *process ]]
}

@test "a startContainer hook that fails fails the start" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of echo never) $(hook startContainer 'exit 4')"
	run --separate-stderr nacre run --bundle "$b" "$(new_id)"
	assert_one_clear_line "error running startContainer hook #0: /bin/sh: exit status 4"
	[ -z "$output" ]
}

@test "a createRuntime hook that fails fails create, and nothing is left" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of true)
		$(hook createRuntime 'echo no such bridge >&2; echo more >&2; exit 3')
		$(hook createContainer "echo late >>$b/marks")
		$(hook poststop "echo poststop >>$b/marks")"
	run --separate-stderr nacre create --bundle "$b" "$(new_id)" </dev/null
	assert_one_clear_line "error running createRuntime hook #0: /bin/sh: exit status 3, stderr: no such bridge"
	[ "$(cat "$b/marks")" = poststop ]
	assert_nothing_left
}

@test "a hook that is too slow is killed" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of true)
		$(hook createRuntime 'sleep 600 & sleep 600') | .hooks.createRuntime[0].timeout = 2"
	run --separate-stderr nacre create --bundle "$b" "$(new_id)" </dev/null
	assert_one_clear_line "not done within 2 s, killed"
	assert_nothing_left
}

@test "a poststart hook that fails stops the container" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600) $(hook poststart 'echo not today >&2; exit 1')
		$(hook poststop "echo poststop >>$b/marks")"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	run --separate-stderr nacre start "$id"
	assert_one_clear_line "error running poststart hook #0: /bin/sh: exit status 1, stderr: not today"
	[ "$(nacre state "$id" | jq -r .status)" = stopped ]
	nacre delete "$id"
	[ "$(cat "$b/marks")" = poststop ]
}

@test "a poststop hook that fails does not hold up delete, and runs when the monitor was killed" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600) $(hook poststop 'exit 1')
		$(hook poststop "echo poststop >>$b/marks")"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	nacre delete "$id"
	[ "$(cat "$b/marks")" = poststop ]
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	kill -KILL "$(jq -r '.resources[] | select(.what == "monitor") | .pid' "$STATE/$id/resources.json")"
	nacre delete --force "$id"
	[ "$(wc -l <"$b/marks")" -eq 2 ]
}

@test "a hook runs in the host's mount namespace, createContainer in the monitor's" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of true)
		$(hook createRuntime "readlink /proc/self/ns/mnt >>$b/ns")
		$(hook createContainer "readlink /proc/self/ns/mnt >>$b/ns")"
	run nacre run --bundle "$b" "$(new_id)"
	[ "$status" -eq 0 ]
	[ "$(sed -n 1p "$b/ns")" = "$(readlink /proc/self/ns/mnt)" ]
	[ "$(sed -n 2p "$b/ns")" != "$(readlink /proc/self/ns/mnt)" ]
}

@test "containerd's containers have their hooks run too" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR
	bundle "$b/b" ".process.args = [\"true\"] | .root.path = \"$b/b/rootfs\"
		$(hook createRuntime "cat >$b/created") $(hook poststop "cat >$b/stopped")"
	run timeout 120 ctr run --rm --runtime $RUNTIME --config "$b/b/config.json" "$id"
	[ "$status" -eq 0 ]
	[ "$(jq -r .id "$b/created")" = "$id" ]
	[ "$(jq -r .pid "$b/created")" -gt 1 ]
	[ "$(jq -r .status "$b/stopped")" = stopped ]
}
