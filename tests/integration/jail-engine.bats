# The jail around an engine that is run by hand: every QMP command, every device at work, resets, each way to end, and a
# thread of each kind gone astray.
load lib.bash

drive() { # CASE
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$NACRE_QEMU_CLIENT:$BATS_TEST_DIRNAME \
		timeout -k 5 600 python3 "$BATS_TEST_DIRNAME/jail_cases.py" "$1"
}

@test "a jailed engine answers every QMP command" {
	local dir=$BATS_TEST_TMPDIR
	mkdir "$dir/root"
	truncate -s 1M "$dir/disk" "$dir/other"
	setpriv --clear-groups unshare --map-root-user --mount --pid --ipc --uts --fork --kill-child \
		/usr/libexec/nacre/vmm -jail "$dir/root" -S -machine microvm,hotplug-blk=1,hotplug-net=1 \
		-kernel /usr/share/nacre/kernel-x86_64 -initrd /usr/share/nacre/initramfs-x86_64 -m 128 -smp 1,maxcpus=2 \
		-serial "file:$dir/console" -qmp "unix:$dir/qmp,server,nowait" -drive "id=d,file=$dir/disk" \
		-device virtio-blk-device,drive=d -device virtio-rng-device -device virtio-fs-device,tag=t \
		-device virtio-vsock-device,guest-cid=3 2>"$dir/messages" 3>&- &
	engine=$!
	wait_for 20 test -S "$dir/qmp"
	python3 "$BATS_TEST_DIRNAME/qmp_in_jail.py" "$dir/qmp" "$dir/other"
	wait_status $engine
	[ "$status" -eq 0 ]
	[ ! -s "$dir/messages" ]
}

@test "a thread of each kind that is taken over keeps to its own list of system calls" {
	PYTHONDONTWRITEBYTECODE=1 "$BATS_TEST_DIRNAME/taken_threads.py" /usr/libexec/nacre/vmm /usr/share/nacre/kernel-x86_64
	assert_nothing_left
}

@test "every device works in the jail, through resets, and what is plugged too" {
	drive every_device
	assert_nothing_left
}

@test "a panic and a triple fault in the jail end as they should" {
	drive ends
	assert_nothing_left
}
