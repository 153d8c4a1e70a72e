# The OCI command line: create, start, state, kill, delete, run, as a container engine calls them.
load lib.bash

teardown() {
	for dir in $STATE/t*/; do
		[ -d "$dir" ] && nacre delete --force "$(basename "$dir")"
	done
	assert_nothing_left
}

@test "create, start, state, kill and delete under a subreaper that waits for the pid-file's pid" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sh -c 'echo started; trap "exit 7" TERM; while :; do sleep 1; done')"
	run python3 "$BATS_TEST_DIRNAME/subreaper.py" "$b/pid" \
		nacre create --bundle "$b" --pid-file "$b/pid" "$id" <<-EOT
			nacre state $id | jq -r .status
			nacre state $id | jq .pid | grep -qx \$PID
			nacre start $id
			nacre state $id | jq -r .status
			nacre kill $id TERM
	EOT
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = created ]
	[[ "$output" == *running* ]]
	[[ "$output" == *"exit 7" ]]
	[[ "$output" != *failed* ]]
	run nacre state "$id"
	[ "$(jq -r .status <<<"$output")" = stopped ]
	[ "$(jq -r .ociVersion <<<"$output")" != null ]
	[ "$(jq -r .bundle <<<"$output")" = "$b" ]
	nacre delete "$id"
	run nacre state "$id"
	[ "$status" -ne 0 ]
	[[ "$output" == *"does not exist"* ]]
}

@test "run gives the workload's output and status" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sh -c 'echo out; echo err >&2; exit 11')"
	run --separate-stderr nacre run --bundle "$b" "$(new_id)"
	[ "$status" -eq 11 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
}

@test "run reads standard input to its end" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sha256sum)"
	head -c 3000000 /dev/urandom >"$b/in"
	run nacre run --bundle "$b" "$(new_id)" <"$b/in"
	[ "$status" -eq 0 ]
	[ "${output%% *}" = "$(sha256sum <"$b/in" | cut -d' ' -f1)" ]
}

@test "run with a terminal passes size, keys and status" {
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.terminal = true | .process.args = $(args_of sh -c 'stty size; read x; echo got $x; exit 5')"
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --size 31x91 --expect '31 91' --send $'abc\r' --expect 'got abc' -- \
		nacre run --bundle "$b" "$(new_id)"
	[ "$status" -eq 5 ]
}

@test "an id in use is refused, and delete of a running container too" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" --pid-file "$b/pid" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
	run --separate-stderr nacre create --bundle "$b" "$id"
	assert_one_clear_line "already exists"
	run --separate-stderr nacre delete "$id"
	assert_one_clear_line "not stopped"
	nacre kill "$id" KILL
	wait_for 20 sh -c "nacre state $id | grep -q stopped"
	run --separate-stderr nacre kill "$id" KILL
	[ "$status" -ne 0 ]
	nacre delete "$id"
}

@test "delete --force ends a running container and does not mind an absent one" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
	nacre delete --force "$id"
	nacre delete --force "$id"
	assert_nothing_left
}

@test "the error is in --log too, as JSON" {
	log=$BATS_TEST_TMPDIR/log.json
	run nacre --log "$log" --log-format json state no-such-container
	[ "$status" -ne 0 ]
	[ "$(tail -n 1 "$log" | jq -r .level)" = error ]
	[[ "$(tail -n 1 "$log" | jq -r .msg)" == *"does not exist"* ]]
}

@test "podman runs a container with nacre as its runtime" {
	b=$BATS_TEST_TMPDIR
	run timeout 150 podman --root "$b/root" --runroot "$b/runroot" --runtime /usr/bin/nacre --cgroup-manager cgroupfs \
		run --rm --network none --rootfs "$(rootfs_of busybox "$b/fs"; echo "$b/fs")" sh -c 'uname -r; exit 4'
	[ "$status" -eq 4 ]
	[[ "$output" != *"$(uname -r)"* ]]
	podman --root "$b/root" --runroot "$b/runroot" system reset -f >/dev/null 2>&1 || true
}
