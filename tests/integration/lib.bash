# What the suites share: ids that are this test's own, short names for ctr and nacre, bundles, and the question whether
# anything was left behind. Every wait has a deadline; nothing sleeps blindly.

RUNTIME=io.containerd.nacre.v2
BUSYBOX=docker.io/nacre/busybox:latest
DEBIAN=docker.io/nacre/debian:latest
STATE=/run/nacre
CONTAINERD_LOG=/run/test-containerd/log # with the shims' lines

bats_require_minimum_version 1.5.0

# No command may hang a suite.
nacre() {
	timeout -k 5 240 /usr/bin/nacre "$@"
}

ctr() {
	timeout -k 5 240 /usr/bin/ctr "$@"
}

# An id of this test alone.
new_id() {
	echo "t${BATS_TEST_NUMBER}-$$-${RANDOM}"
}

# ctr run --rm of busybox: ctr_run ID ARGS... (options before the image by RUN_OPTIONS)
ctr_run() {
	local id=$1
	shift
	ctr run --rm --runtime $RUNTIME ${RUN_OPTIONS:-} "${IMAGE:-$BUSYBOX}" "$id" "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			echo "not in time: $*" >&2
			return 1
		fi
		sleep 0.1
	done
}

# $status of a background job (`run wait` would ask a subshell, which has no jobs).
wait_status() {
	status=0
	wait "$1" || status=$?
}

# What of Nacre is on the host now: processes, mounts, sockets, state, cgroups.
leftovers() {
	pgrep -a 'vmm|nacre|containerd-shim-nacre' -x
	pgrep -af 'libexec/nacre/vmm|containerd-shim-nacre-v2|nacre (monitor|stub)'
	grep -E "$STATE/|nacre-shared" /proc/self/mountinfo
	find $STATE -mindepth 1 ! -name @@kvm-probe 2>/dev/null
	find /sys/fs/cgroup -name '*nacre*' 2>/dev/null
	find /run/containerd/s /run/test-containerd -type s -newer /proc/1 -name '????????????????????????????????????????????????????????????????' 2>/dev/null
}

nothing_left() {
	[ -z "$(leftovers)" ]
}

# What the shims have said of this test's ids (new_id): when a suite ends, the end of their log is about other tests.
shims_lines() {
	grep -E "level=(warning|error|info).*\bt${BATS_TEST_NUMBER}-$$-" "$CONTAINERD_LOG" | tail -n 40
}

tell_of_failure() {
	echo "the last status was ${status:-unknown}"
	echo "the shims on this test's containers:"
	shims_lines
}

# Shims take a moment to go after their last task's delete.
assert_nothing_left() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tell_of_failure >&2
	wait_for 15 nothing_left || {
		echo "left behind:" >&2
		leftovers >&2
		return 1
	}
}

# The folder of an image, read-only, as containerd has unpacked it.
image_dir() {
	local dir=/run/test-containerd/image-$1
	mountpoint -q "$dir" || { mkdir -p "$dir" && ctr image mount "docker.io/nacre/$1:latest" "$dir"; } >/dev/null &&
		echo "$dir"
}

# rootfs_of IMAGE DIR: a copy of it.
rootfs_of() {
	local image
	image=$(image_dir "$1") && cp -a "$image/." "$2"
}

# bundle DIR [JQ-EDIT]: a runnable bundle (config.json of `runc spec`, no terminal) with busybox as its rootfs.
bundle() {
	mkdir -p "$1/rootfs"
	rootfs_of busybox "$1/rootfs"
	(cd "$1" && runc spec)
	edit_config "$1" '.process.terminal = false | .root.readonly = false'
	[ -z "${2:-}" ] || edit_config "$1" "$2"
}

edit_config() {
	jq "$2" "$1/config.json" >"$1/config.json.new" && mv "$1/config.json.new" "$1/config.json"
}

# Text for jq: the process's args.
args_of() {
	jq -cn '$ARGS.positional' --args -- "$@"
}

# One error: exit status not 0, at most one line on standard error (runs `run --separate-stderr` first).
assert_one_clear_line() {
	[ "$status" -ne 0 ]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[[ "$stderr" == *"$1"* ]]
}
