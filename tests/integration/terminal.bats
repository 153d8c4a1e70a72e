# Terminals: size, resize, Ctrl-C, for run -t and exec -t.
load lib.bash

teardown() {
	assert_nothing_left
}

# ctr sends its size after the start: until then a terminal has none.
UNTIL_SIZED='for i in $(seq 200); do [ "$(stty size)" = "0 0" ] || break; sleep 0.1; done;'

@test "run -t gives a terminal with the caller's size" {
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --size 33x101 -- \
		ctr run --rm -t --runtime $RUNTIME $BUSYBOX "$(new_id)" sh -c "$UNTIL_SIZED tty; stty size"
	[ "$status" -eq 0 ]
	[[ "$output" == *"/dev/pts/"* || "$output" == *"/dev/console"* ]]
	[[ "$output" == *"33 101"* ]]
}

@test "a resize reaches the container" {
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --size 24x80 --expect ready --resize 40x120 --expect '40 120' -- \
		ctr run --rm -t --runtime $RUNTIME $BUSYBOX "$(new_id)" \
		sh -c "$UNTIL_SIZED"' trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 1; done'
	[ "$status" -eq 0 ]
}

@test "Ctrl-C interrupts the foreground process" {
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --expect ready --send $'\x03' --expect interrupted -- \
		ctr run --rm -t --runtime $RUNTIME $BUSYBOX "$(new_id)" \
		sh -c 'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep 1; done'
	[ "$status" -eq 9 ]
}

@test "what is typed is read" {
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --expect name --send $'pearl\r' --expect 'hello pearl' -- \
		ctr run --rm -t --runtime $RUNTIME $BUSYBOX "$(new_id)" sh -c 'echo name; read n; echo hello $n'
	[ "$status" -eq 0 ]
}

@test "exec -t gives a terminal too" {
	id=$(new_id)
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	run python3 "$BATS_TEST_DIRNAME/on_pty.py" --size 20x70 -- \
		ctr task exec -t --exec-id e1 "$id" sh -c "$UNTIL_SIZED stty size; exit 6"
	[ "$status" -eq 6 ]
	[[ "$output" == *"20 70"* ]]
	ctr task kill --signal SIGKILL "$id"
	wait_for 30 sh -c "ctr task ls | grep '$id.*STOPPED'"
	ctr task delete "$id" || true
	ctr container delete "$id"
}
