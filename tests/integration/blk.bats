# Disks: a guest of our own (busybox, a script as its init, and the host's fio by a shared folder) reads, writes and verifies
# one, with each engine, past the page cache and through it; its vmm is killed in the middle; and nobody else gets the image
# meanwhile.
load lib.bash

setup_file() {
	mkdir -p "$BATS_FILE_TMPDIR/root"/{bin,dev,host,proc,sys}
	cp /bin/busybox "$BATS_FILE_TMPDIR/root/bin/"
}

setup() {
	disk=$BATS_FILE_TMPDIR/disk-$BATS_TEST_NUMBER
	console=$BATS_TEST_TMPDIR/console
	truncate -s 64M "$disk"
	vmm_pid=
}

teardown() {
	[ -z "$vmm_pid" ] || kill -9 "$vmm_pid" 2>/dev/null || true
	[ -z "${loop:-}" ] || losetup -d "$loop"
	[ -z "${null_blk:-}" ] || modprobe -r null_blk
	rm -f "$disk"
	assert_nothing_left
}

# initrd SCRIPT: the guest runs it, then ends.
initrd() {
	cat >"$BATS_FILE_TMPDIR/root/init" <<END
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t virtiofs host /host
mount -t devtmpfs dev /host/dev
$1
sync
reboot -f
END
	chmod +x "$BATS_FILE_TMPDIR/root/init"
	(cd "$BATS_FILE_TMPDIR/root" && find . | busybox cpio -o -H newc) >"$BATS_TEST_TMPDIR/initrd" 2>/dev/null
}

# vmm DRIVE-OPTIONS [DEVICE-OPTIONS]: what the options of the command line are.
vmm_args() {
	args=(/usr/libexec/nacre/vmm -kernel /usr/share/nacre/kernel-x86_64 -initrd "$BATS_TEST_TMPDIR/initrd"
		-m 256 -smp "${vcpus:-1}" -append quiet -drive "id=d0,$1" -device "virtio-blk-device,drive=d0${2:-}"
		-serial "file:$console")
	if [ -n "${jail:-}" ]; then
		args=("${in_namespaces[@]}" "${args[@]}" -jail "$jail" -device virtio-fs-device,tag=host,readonly=on)
	else
		args+=(-device virtio-fs-device,tag=host,dir=/,readonly=on)
	fi
}

# guest DRIVE-OPTIONS [DEVICE-OPTIONS]: runs it to its end.
guest() {
	vmm_args "$@"
	run timeout -k 5 240 "${args[@]}" </dev/null
	[ "$status" -eq 0 ] || { echo "$output"; cat "$console"; return 1; }
}

# A job on each vCPU, in a part of the disk of its own.
verify_with_fio='echo "$(ls /sys/block/vda/mq | wc -l) queues on $(nproc) vCPUs"
chroot /host fio --name=v --filename=/dev/vda --rw=randwrite --bsrange=4k-64k --size=8M --direct=1 --ioengine=libaio \
	--iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=1 --fsync=32 \
	--numjobs=$(nproc) --offset_increment=16M --cpus_allowed=0-$(($(nproc) - 1)) --cpus_allowed_policy=split && echo fio is content'

# on_loop: a block device over the disk, which takes direct I/O whatever file system we are on.
on_loop() {
	loop=$(losetup --find --show "$disk")
}

# verified DRIVE-OPTIONS [DEVICE-OPTIONS]
verified() {
	initrd "$verify_with_fio"
	guest "file=${loop:-$disk},$1" "${2:-}"
	[[ "$output" != *"no direct I/O"* ]]
	grep -q 'fio is content' "$console" || { cat "$console"; return 1; }
	! grep -qi 'I/O error' "$console"
}

@test "fio verifies a disk by io_uring" {
	verified aio=io_uring
}

@test "fio verifies a disk by threads" {
	verified aio=threads
}

@test "fio verifies a disk past the page cache, by io_uring and several queues" {
	on_loop
	vcpus=2 # Linux takes no more queues than it has of them
	verified aio=io_uring,direct=on ,num-queues=2
	grep -q '^2 queues on 2 vCPUs' "$console"
}

@test "fio verifies a disk past the page cache, by threads" {
	on_loop
	verified aio=threads,direct=on
}

@test "a guest sees serial, size, read-only, and erases" {
	initrd 'cat /sys/block/vda/serial /sys/block/vda/size /sys/block/vda/ro
		echo; dd if=/dev/urandom of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null
		blkdiscard /dev/vda && echo discarded
		cmp -n 4194304 /dev/vda /dev/zero && echo zeros'
	guest "file=$disk,serial=NACRE-1"
	grep -q NACRE-1 "$console"
	grep -q 131072 "$console"
	grep -q zeros "$console" || { cat "$console"; return 1; }
	[ "$(du -k "$disk" | cut -f1)" -lt 1024 ]
	initrd 'cat /sys/block/vda/ro; dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync || echo refused'
	guest "file=$disk,readonly=on"
	grep -q refused "$console"
}

# in_jail: the guests of this test are run in one, whose root is the host's; so its lists of system calls are in force.
in_jail() {
	jail=$BATS_TEST_TMPDIR/jail
	mkdir "$jail"
	in_namespaces=(setpriv --clear-groups unshare --map-root-user --mount --pid --ipc --uts --fork --kill-child
		sh -c 'mount --rbind / "$0" && exec "$@"' "$jail")
}

# A device of blocks of 4096 bytes that discards, but has no command to zero; what it has discarded reads as zeros.
erased_on_a_device() {
	in_jail
	null_blk=yes
	modprobe null_blk gb=1 bs=4096 memory_backed=1 discard=1
	initrd 'echo "$(cat /sys/block/vda/queue/logical_block_size) bytes a block"
		for how in "" -z; do
			dd if=/dev/urandom of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null
			chroot /host /usr/sbin/blkdiscard $how -o 1048576 -l 2097152 /dev/vda && echo erased $how
			echo $(dd if=/dev/vda bs=1M skip=1 count=2 2>/dev/null | tr -d "\0" | wc -c) bytes inside $how
			[ $(dd if=/dev/vda bs=1M skip=3 count=1 2>/dev/null | tr -d "\0" | wc -c) -gt 1000000 ] && echo the rest stays $how
		done'
	guest "file=/dev/nullb0,$1"
	cat "$console"
	grep -q '^4096 bytes a block' "$console"
	for how in "" " -z"; do
		grep -qx "erased$how.\?" "$console"
		grep -qx "0 bytes inside$how.\?" "$console"
		grep -qx "the rest stays$how.\?" "$console"
	done
}

@test "a guest erases on a block device: io_uring" {
	erased_on_a_device aio=io_uring
}

@test "a guest erases on a block device: threads, past the page cache" {
	erased_on_a_device aio=threads,direct=on
}

# A record a sector, each synced before it is acknowledged on the console. Both are looked at after the kill.
counter='i=0
while [ $i -lt 4000 ]; do
	printf "record %-504d\n" $i | dd of=/dev/vda bs=512 seek=$i conv=notrunc,fsync 2>/dev/null && echo "ack $i"
	i=$((i + 1))
done'

acknowledged() {
	grep -q '^ack 1[0-9]' "$console"
}

# cut_power IMAGE DRIVE-OPTIONS
cut_power() {
	local last i
	initrd "$counter"
	vmm_args "file=$1,$2"
	"${args[@]}" </dev/null >/dev/null 2>&1 3>&- &
	vmm_pid=$!
	wait_for 200 acknowledged
	kill -9 "$vmm_pid"
	wait "$vmm_pid" || true
	vmm_pid=
	last=$(grep -aoE '^ack [0-9]+' "$console" | tail -n 1 | cut -d' ' -f2)
	echo "last acknowledged: $last"
	[ "$last" -ge 10 ]
	for ((i = 0; i < last; i++)); do
		[ "$(dd if="$1" bs=512 skip="$i" count=1 2>/dev/null | head -n 1 | tr -d ' ')" = "record$i" ]
	done
}

@test "a vmm killed while it writes loses nothing acknowledged: io_uring" {
	cut_power "$disk" aio=io_uring
}

@test "a vmm killed while it writes loses nothing acknowledged: threads" {
	cut_power "$disk" aio=threads
}

@test "a vmm killed while it writes loses nothing acknowledged: a block device, past the page cache" {
	on_loop
	cut_power "$loop" aio=io_uring,direct=on
}

@test "a second vmm does not get an image that is in use" {
	initrd "$counter"
	vmm_args "file=$disk"
	"${args[@]}" </dev/null >/dev/null 2>&1 3>&- &
	vmm_pid=$!
	wait_for 200 acknowledged
	console=$BATS_TEST_TMPDIR/second
	vmm_args "file=$disk,readonly=on"
	run --separate-stderr timeout 60 "${args[@]}" </dev/null
	assert_one_clear_line "disk '$disk' is in use by another process"
	kill -9 "$vmm_pid"
	wait "$vmm_pid" || true
	vmm_pid=
}
