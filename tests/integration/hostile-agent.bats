# A guest whose agent is the attacker's (tests/guests/hostile_agent.c): real kernel, real vsock, our own words turned against us.
# Whatever it does, the caller hears one sentence in bounded time, delete works, nothing is left, and others do not notice.
load lib.bash

MEMORY_MIB=128
# What a monitor may ever hold, the engine beside the guest's memory, and the log.
MONITOR_PEAK_KIB=16384
VMM_PEAK_KIB=16384
LOG_BYTES=32768

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
	log=$BATS_TEST_TMPDIR/log
}

teardown() {
	for dir in $STATE/t*/; do
		[ -d "$dir" ] && nacre delete --force "$(basename "$dir")"
	done
	assert_nothing_left
}

# hostile GREETING ARGS...: nacre with that agent.
hostile() {
	local dir=$BATS_TEST_TMPDIR/$1
	mkdir -p "$dir"
	cat >"$dir/config.json" <<-EOT
		{
			"initramfs": "$BATS_TEST_DIRNAME/../../build/guest/initramfs-hostile",
			"kernel_params": "misdeed=$1",
			"default_memory_mib": $MEMORY_MIB,
			"boot_timeout_ms": ${BOOT_TIMEOUT_MS:-60000}
		}
	EOT
	shift
	NACRE_CONFIG_DIR=$dir nacre --log "$log" "$@"
}

# bundle_of DIR WORD: its process's arguments are what tells the agent later what to do.
bundle_of() {
	bundle "$1" ".process.args = $(args_of "$2")"
}

peak_kib() { # PID
	awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"
}

# The caller's, and the monitor's while there is one. Nothing in them that a terminal would obey.
assert_log_bounded() {
	local file
	for file in "$log" $STATE/*/monitor.log; do
		[ -e "$file" ] || continue
		echo "$file: $(stat -c %s "$file") bytes"
		[ "$(stat -c %s "$file")" -le $LOG_BYTES ]
		if grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$file"; then return 1; fi
	done
}

# Of the only sandbox there is: all its processes.
assert_bounded() {
	local pid kib most
	for pid in $(pgrep -f 'nacre (monitor|broker)|libexec/nacre/vmm'); do
		most=$MONITOR_PEAK_KIB
		! grep -q libexec/nacre/vmm "/proc/$pid/cmdline" || most=$((MEMORY_MIB * 1024 + VMM_PEAK_KIB))
		kib=$(peak_kib "$pid")
		echo "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-40): $kib KiB"
		[ "$kib" -le "$most" ]
	done
	assert_log_bounded
}

is_stopped() {
	nacre state "$1" | jq -e '.status == "stopped"'
}

# fails_with WORDS COMMAND...: it does, with them in the log.
fails_with() {
	local words=$1
	shift
	run "$@" </dev/null
	echo "$status: $output"; tail -n 2 "$log"
	[ "$status" -ne 0 ]
	tail -n 2 "$log" | grep -qF "$words"
}

@test "a greeting of another version" {
	bundle_of "$b" true
	fails_with 'answer to Hello cannot be read' hostile version run --bundle "$b" "$id"
	assert_log_bounded
}

@test "a guest that shouts and dies in the middle of its greeting" {
	bundle_of "$b" true
	fails_with 'shouted' hostile shout run --bundle "$b" "$id"
	assert_log_bounded
}

@test "deaf and mute guests have deadlines, and another container runs meanwhile" {
	bundle_of "$b" do-stay
	bundle_of "$b-mute" do-mute
	hostile none create --bundle "$b" "$id" </dev/null >/dev/null 2>&1 3>&-
	nacre start "$id"
	# After ALRM every answer drowns in a frame of 4 GiB: KILL is not heard.
	nacre kill "$id" ALRM >/dev/null 2>&1 3>&- &
	drowned=$!
	nacre kill "$id" KILL >/dev/null 2>&1 3>&- &
	killer=$!
	BOOT_TIMEOUT_MS=30000 hostile silent run --bundle "$b" "$id-silent" </dev/null >/dev/null 2>&1 3>&- &
	silent=$!
	hostile none run --bundle "$b-mute" "$id-mute" </dev/null >/dev/null 2>&1 3>&- &
	mute=$!
	ctr_run "$id-good" true
	for job in $silent $mute $drowned; do
		wait_status "$job"
		[ "$status" -ne 0 ]
	done
	wait_status "$killer"
	wait_for 60 is_stopped "$id"
	cat "$log" $STATE/"$id"/monitor.log
	grep -qF 'no word from the guest within 30000 ms' "$log"
	grep -qF 'no answer within 30000 ms' "$log"
	grep -qF 'has not ended 30000 ms after SIGKILL' $STATE/"$id"/monitor.log
	assert_log_bounded
	nacre delete "$id"
}

is_bytes() { # SIZE FILE
	[ "$(stat -c %s "$2")" -eq "$1" ]
}

@test "floods leave memory and log bounded; garbage and refusals cost their call, an answer to nothing the microVM" {
	bundle_of "$b" do-flood
	hostile none create --bundle "$b" "$id" </dev/null >"$b/out" 2>"$b/err" 3>&-
	nacre start "$id"
	# It comes only when the host has refused 4096 connections.
	wait_for 120 is_bytes 4194304 "$b/out"
	wait_for 120 is_bytes 4194304 "$b/err"
	assert_bounded
	fails_with 'not a ttrpc response' nacre --log "$log" kill "$id" HUP
	fails_with 'no?[2J?!' nacre --log "$log" kill "$id" USR1
	fails_with 'is larger than' nacre --log "$log" kill "$id" USR2
	nacre state "$id" | jq -e '.status == "running"'
	assert_bounded
	run nacre kill "$id" QUIT
	[ "$status" -ne 0 ]
	wait_for 20 is_stopped "$id"
	grep -F 'never opened' $STATE/"$id"/monitor.log
	assert_log_bounded
	nacre delete "$id"
}

@test "streams with a wrong token or none are refused, and those of the container's own open" {
	ctr run -d --runtime $RUNTIME $BUSYBOX "$id" sleep 600
	run python3 "$BATS_TEST_DIRNAME/wrong_tokens.py" "$(find $STATE -name vsock.sock)" \
		ctr task exec --exec-id e "$id" echo heard
	ctr task delete --force "$id"
	ctr container delete "$id"
	echo "$output"
	[ "$status" -eq 0 ]
}
