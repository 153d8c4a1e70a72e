# Many, at once, and killed at every part: nothing is left, and the same id can be made again.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
}

teardown() {
	assert_nothing_left
}

vmm_pid() {
	pgrep -f 'libexec/nacre/vmm' | head -n 1
}

monitor_pid() {
	pgrep -f "(nacre monitor|containerd-shim-nacre-v2)" | head -n 1
}

make_running() {
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" --pid-file "$b/pid" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
}

again() {
	nacre delete --force "$id"
	assert_nothing_left
	edit_config "$b" ".process.args = $(args_of true)"
	nacre run --bundle "$b" "$id" </dev/null
	assert_nothing_left
}

containerd_fds() {
	ls "/proc/$(pgrep -x containerd | head -n 1)/fd" | wc -l
}

same_fds() {
	[ "$(containerd_fds)" -le "$1" ]
}

@test "20 runs in a row, and no descriptor stays open in containerd" {
	run ctr_run "$id-0" true
	assert_nothing_left
	before=$(containerd_fds)
	for i in $(seq 20); do
		run ctr_run "$id-$i" sh -c "exit $i"
		[ "$status" -eq "$i" ]
	done
	assert_nothing_left
	wait_for 15 same_fds "$before"
}

@test "4 runs at once" {
	pids=()
	for i in 1 2 3 4; do
		ctr_run "$id-$i" sh -c "sleep 1; exit $i" 3>&- &
		pids+=($!)
	done
	for i in 1 2 3 4; do
		wait_status "${pids[$((i - 1))]}"
		[ "$status" -eq "$i" ]
	done
}

@test "SIGKILL of the vmm under run is told of" {
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre run --bundle "$b" "$id" </dev/null >/dev/null 2>"$b/err" 3>&- &
	client=$!
	wait_for 60 sh -c "nacre state $id | grep -q running"
	kill -KILL "$(vmm_pid)"
	wait_status $client
	[ "$status" -eq 137 ]
	grep -F "nacre: container $id: the microVM crashed: the vmm " "$b/err"
}

@test "SIGKILL of the vmm: the container is dead with 137, and the id is free again" {
	make_running
	kill -KILL "$(vmm_pid)"
	wait_for 20 sh -c "nacre state $id | grep -q stopped"
	again
}

@test "SIGKILL of the monitor takes the microVM with it" {
	make_running
	kill -KILL "$(monitor_pid)"
	wait_for 20 sh -c '! pgrep -f [l]ibexec/nacre/vmm'
	again
}

@test "SIGKILL of the stub kills its workload" {
	make_running
	kill -KILL "$(cat "$b/pid")"
	wait_for 20 sh -c "nacre state $id | grep -q stopped"
	again
}

@test "SIGKILL of all of them" {
	make_running
	kill -KILL "$(cat "$b/pid")" "$(monitor_pid)" "$(vmm_pid)"
	again
}

@test "SIGKILL of the shim: containerd cleans up and the id is free again" {
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	kill -KILL "$(monitor_pid)"
	wait_for 30 sh -c "! ctr task ls | grep '$id.*RUNNING'"
	ctr task delete --force "$id" || true
	ctr container delete "$id"
	assert_nothing_left
	run ctr_run "$id" true
	[ "$status" -eq 0 ]
}

@test "SIGKILL of a shim's vmm ends the task with 137" {
	ctr_run "$id" sleep 600 3>&- &
	client=$!
	wait_for 60 sh -c "ctr task ls | grep '$id.*RUNNING'"
	kill -KILL "$(vmm_pid)"
	wait_status $client
	[ "$status" -eq 137 ]
}

@test "a create that is killed half way leaves nothing after delete --force" {
	bundle "$b" ".process.args = $(args_of sleep 600)"
	for delay in 0.05 0.2 0.5 1; do
		timeout -s KILL $delay nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1 || true
		nacre delete --force "$id"
		assert_nothing_left
	done
}

@test "a guest that panics is reported as crashed, with its last words" {
	bundle "$b" '.linux.readonlyPaths = [] | .linux.maskedPaths = []'
	edit_config "$b" ".mounts += [{destination: \"/proc\", type: \"proc\", source: \"proc\"}] | .process.args = $(args_of sh -c 'echo c >/proc/sysrq-trigger; sleep 60')"
	run --separate-stderr nacre run --bundle "$b" "$id" </dev/null
	echo "$stderr"
	[ "$status" -eq 137 ]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[[ "$stderr" == "nacre: container $id: the microVM crashed: "*"its console ended with: "*"sysrq triggered crash"* ]]
}

@test "a fault of the workload is in the log, with the guest kernel's words" {
	IMAGE=$DEBIAN run ctr_run "$id" python3 -c 'import faulthandler; faulthandler._read_null()'
	[ "$status" -eq 139 ]
	grep -E "container $id: '' was ended by signal 11 \(SEGV\).* python3\[[0-9]+\]: segfault at 0 " "$CONTAINERD_LOG"
}
