# Bad input: one clear line that says what to do, a status that is not 0, and nothing left behind.
load lib.bash

setup() {
	b=$BATS_TEST_TMPDIR/b
	conf=$BATS_TEST_TMPDIR/conf
	mkdir -p "$conf"
	export NACRE_CONFIG_DIR=$conf
}

teardown() {
	unset NACRE_CONFIG_DIR
	assert_nothing_left
}

create() {
	run --separate-stderr nacre create --bundle "$b" "$(new_id)"
}

@test "a missing kernel" {
	bundle "$b"
	echo '{ "kernel": "/nonexistent/kernel" }' >"$conf/config.json"
	create
	assert_one_clear_line "/nonexistent/kernel"
}

@test "a kernel that is none" {
	bundle "$b"
	echo "{ \"kernel\": \"$conf/config.json\" }" >"$conf/config.json"
	create
	assert_one_clear_line "$conf/config.json"
}

@test "a bundle without config.json" {
	mkdir -p "$b"
	create
	assert_one_clear_line "config.json"
}

@test "broken JSON is named with its line" {
	bundle "$b"
	printf '{\n  "ociVersion": "1.0.2",\n  oops\n}\n' >"$b/config.json"
	create
	assert_one_clear_line "line 3"
}

@test "a value of the wrong type is named with its place" {
	bundle "$b" '.process.user.uid = "root"'
	create
	assert_one_clear_line "process.user.uid"
}

@test "a rootfs that is missing" {
	bundle "$b" '.root.path = "nowhere"'
	create
	assert_one_clear_line "nowhere"
}

@test "a bind mount whose source is missing" {
	bundle "$b" '.mounts += [{destination: "/data", type: "bind", source: "/no/such/source", options: ["bind"]}]'
	create
	assert_one_clear_line "/no/such/source"
}

@test "the host's network" {
	bundle "$b" 'del(.linux.namespaces[] | select(.type == "network"))'
	create
	assert_one_clear_line "host's network"
}

@test "16 MiB of memory" {
	bundle "$b" '.linux.resources.memory.limit = 16777216'
	create
	assert_one_clear_line "16 MiB"
	rm -rf "$b"
	bundle "$b"
	echo '{ "default_memory_mib": 16 }' >"$conf/config.json"
	create
	assert_one_clear_line "default_memory_mib"
}

@test "more vCPUs than 254" {
	bundle "$b"
	echo '{ "default_vcpus": 255 }' >"$conf/config.json"
	create
	assert_one_clear_line "254"
	run --separate-stderr /usr/libexec/nacre/vmm -kernel /usr/share/nacre/kernel-x86_64 -m 256 -smp 255 -serial none
	assert_one_clear_line "254"
}

@test "an unknown container" {
	for verb in start state "kill" delete; do
		run --separate-stderr nacre $verb no-such-container
		assert_one_clear_line "does not exist"
	done
}

@test "an id that is a path" {
	bundle "$b"
	run --separate-stderr nacre create --bundle "$b" ../escape
	assert_one_clear_line "container id"
}

@test "an unknown process and signal" {
	id=$(new_id)
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	run --separate-stderr nacre kill "$id" NOSUCHSIGNAL
	assert_one_clear_line "NOSUCHSIGNAL"
	run --separate-stderr nacre no-such-verb
	[ "$status" -ne 0 ]
	nacre delete --force "$id"
}

@test "a command that is not there" {
	bundle "$b" ".process.args = $(args_of no-such-command)"
	create
	assert_one_clear_line 'exec: "no-such-command": executable file not found in $PATH'
}

@test "no /dev/kvm" {
	bundle "$b"
	run --separate-stderr unshare -m sh -c "mount --bind /dev/null /dev/kvm && rm -f $STATE/@@kvm-probe; nacre create --bundle $b $(new_id)"
	assert_one_clear_line "/dev/kvm"
	rm -f $STATE/@@kvm-probe
}

@test "a KVM that emulates ring 0 is refused by the cached probe" {
	bundle "$b"
	/usr/libexec/nacre/kvm-probe --cache $STATE >/dev/null
	sed -i 's/ [0-9]* \([0-9]*\)$/ 1000 \1/' $STATE/@@kvm-probe # instructions, microseconds
	create
	rm -f $STATE/@@kvm-probe
	assert_one_clear_line "emulated"
}

@test "nacre check says what is there and what is missing" {
	run nacre check
	[ "$status" -eq 0 ]
	[[ "$output" == *kvm* ]]
	echo '{ "kernel": "/nonexistent/kernel" }' >"$conf/config.json"
	run nacre check
	[ "$status" -ne 0 ]
	[[ "$output" == *"/nonexistent/kernel"* ]]
}
