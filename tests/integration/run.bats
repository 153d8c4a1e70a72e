# ctr run: exit statuses, standard streams, errors in runc's words.
load lib.bash

teardown() {
	assert_nothing_left
}

@test "busybox runs in a kernel of its own" {
	run ctr_run "$(new_id)" uname -r
	[ "$status" -eq 0 ]
	[ -n "$output" ]
	[ "$output" != "$(uname -r)" ]
}

@test "debian runs python3" {
	IMAGE=$DEBIAN run ctr_run "$(new_id)" python3 -c 'import json, platform; print(json.dumps([6 * 7, platform.release()]))'
	[ "$status" -eq 0 ]
	[[ "$output" == "[42, "* ]]
}

@test "exit statuses 0, 3, 127 and 137 come back" {
	for code in 0 3 127; do
		run ctr_run "$(new_id)" sh -c "exit $code"
		[ "$status" -eq "$code" ]
	done
	run ctr_run "$(new_id)" sh -c 'sleep 100 & kill -KILL $!; wait $!'
	[ "$status" -eq 137 ]
	# a workload that is killed from outside: pid 1 itself
	id=$(new_id)
	ctr_run "$id" sleep 600 3>&- &
	client=$!
	wait_for 60 sh -c "ctr task ls | grep '$id.*RUNNING'"
	ctr task kill --signal SIGKILL "$id"
	wait_status $client
	[ "$status" -eq 137 ]
}

@test "a missing command fails create in runc's words" {
	run ctr_run "$(new_id)" no-such-command
	[ "$status" -ne 0 ]
	[[ "$output" == *'exec: "no-such-command": executable file not found in $PATH'* ]]
}

@test "a command that is not executable fails create in runc's words" {
	run ctr_run "$(new_id)" /etc/passwd
	[ "$status" -ne 0 ]
	[[ "$output" == *'exec: "/etc/passwd": permission denied'* ]]
}

@test "standard output and standard error stay apart" {
	run --separate-stderr ctr_run "$(new_id)" sh -c 'echo to-out; echo to-err >&2'
	[ "$status" -eq 0 ]
	[ "$output" = to-out ]
	[ "$stderr" = to-err ]
}

@test "64 MiB through stdin, cat and stdout arrive unchanged" {
	head -c 67108864 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	ctr_run "$(new_id)" cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	[ "$(sha256sum <"$BATS_TEST_TMPDIR/in")" = "$(sha256sum <"$BATS_TEST_TMPDIR/out")" ]
}

@test "a reader that closes early hurts nobody" {
	run bash -c "timeout 120 ctr run --rm --runtime $RUNTIME $BUSYBOX $(new_id) sh -c 'i=0; while [ \$i -lt 20000 ]; do echo line \$i; i=\$((i+1)); done; exit 5' | head -n 1"
	[ "${lines[0]}" = "line 0" ]
}

@test "a detached container runs, is listed, killed and deleted" {
	id=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	run ctr task ls
	[[ "$output" == *"$id"*RUNNING* ]]
	ctr task kill --signal SIGTERM "$id"
	# sleep as pid 1 has no handler: the kernel ignores SIGTERM there, as with runc
	ctr task kill --signal SIGKILL "$id"
	wait_for 30 sh -c "ctr task ls | grep '$id.*STOPPED'"
	run ctr task delete "$id"
	ctr container delete "$id"
	run ctr task ls
	[[ "$output" != *"$id"* ]]
}

@test "exec runs a second process with its own status and streams" {
	id=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	run --separate-stderr ctr task exec --exec-id e1 "$id" sh -c 'echo second; echo bad >&2; exit 4'
	[ "$status" -eq 4 ]
	[ "$output" = second ]
	[ "$stderr" = bad ]
	run ctr task exec --exec-id e2 "$id" no-such-command
	[ "$status" -ne 0 ]
	[[ "$output" == *'executable file not found in $PATH'* ]]
	run ctr task exec --exec-id e3 "$id" ps
	[[ "$output" == *"sleep 600"* ]]
	ctr task kill --signal SIGKILL "$id"
	wait_for 30 sh -c "ctr task ls | grep '$id.*STOPPED'"
	ctr task delete "$id" || true
	ctr container delete "$id"
}

@test "two containers at once do not see each other" {
	a=$(new_id)
	b=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$a" sh -c 'hostname one; echo secret >/tmp/mark; exec sleep 601'
	ctr run -d --runtime $RUNTIME $BUSYBOX "$b" sh -c 'exec sleep 602'
	run ctr task exec --exec-id x "$b" sh -c 'ps; cat /tmp/mark; hostname'
	[[ "$output" == *"sleep 602"* ]]
	[[ "$output" != *"sleep 601"* ]]
	[[ "$output" != *secret* ]]
	for id in "$a" "$b"; do
		ctr task kill --signal SIGKILL "$id"
		wait_for 30 sh -c "ctr task ls | grep '$id.*STOPPED'"
		ctr task delete "$id" || true
		ctr container delete "$id"
	done
}
