# The root file system is the bundle's, shared by virtio-fs: what the container does, the host sees, and no more.
load lib.bash

# On ext4: tmpfs has no user.* attributes in kernels before 6.6.
setup() {
	disk=$BATS_TEST_TMPDIR/disk
	b=$disk/b
	truncate -s 1G "$disk.img"
	mkfs.ext4 -q "$disk.img"
	mkdir "$disk"
	mount -o loop "$disk.img" "$disk"
}

teardown() {
	! mountpoint -q "$b/rootfs" || umount "$b/rootfs"
	umount "$disk" || umount -l "$disk"
	rm -f "$disk.img"
	assert_nothing_left
}

# An empty folder of the disk over the Debian image, as an engine's snapshotter does it: copying the image takes minutes
# on an emulated host.
debian_rootfs() {
	mkdir -p "$b/upper" "$b/work" "$b/rootfs"
	mount -t overlay -o "lowerdir=$(image_dir debian),upperdir=$b/upper,workdir=$b/work" overlay "$b/rootfs"
}

# python_inside SCRIPT: python3 in a bundle whose rootfs is there.
python_inside() {
	(cd "$b" && runc spec)
	edit_config "$b" '.process.terminal = false | .root.readonly = false |
		.process.capabilities[] += ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SETFCAP", "CAP_FSETID"]'
	edit_config "$b" ".process.args = $(args_of python3 -c "$1")"
	run nacre run --bundle "$b" "$(new_id)" </dev/null
}

@test "create, rename, link, chmod, chown, xattr, lock, mmap, truncate; the host sees the same" {
	# a folder of ext4 itself: overlay has no O_TMPFILE in kernel 6.1
	mkdir -p "$b"
	rootfs_of debian "$b/rootfs"
	w=$b/rootfs/w
	mkdir -p "$w/from/dir" "$w/to"
	echo "from one to the other" >"$w/from/file"
	moved=$(stat -c %i "$w/from/file")
	python_inside '
import fcntl, mmap, os
os.makedirs("/w/sub")
open("/w/a", "w").write("hello")
os.rename("/w/a", "/w/b")
os.link("/w/b", "/w/hard")
os.symlink("b", "/w/soft")
os.chmod("/w/b", 0o4711)
os.chown("/w/b", 1000, 1001)
os.setxattr("/w/b", "user.color", b"pearl")
assert os.getxattr("/w/hard", "user.color") == b"pearl"
assert os.listxattr("/w/b") == ["user.color"]
fd = os.open("/w/b", os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
fcntl.lockf(fd, fcntl.LOCK_EX)
other = os.open("/w/hard", os.O_RDWR)
try:
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    raise SystemExit("second lock granted")
except BlockingIOError:
    pass
os.ftruncate(fd, 8192)
m = mmap.mmap(fd, 8192)
m[4096:4100] = b"mmap"
m.flush()
m.close()
os.truncate("/w/b", 5000)
f = os.open("/w", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(f, b"unnamed")
# with a folder named, Python calls linkat(2), which follows links, in place of link(2)
os.link(str(f), "/w/named", src_dir_fd=os.open("/proc/self/fd", os.O_RDONLY))
os.posix_fallocate(fd, 0, 6000)
os.mkfifo("/w/fifo")
os.utime("/w/hard", (1000000000, 1000000001))
src = os.open("/w/named", os.O_RDONLY)
dst = os.open("/w/copied", os.O_WRONLY | os.O_CREAT, 0o644)
assert os.copy_file_range(src, dst, 7) == 7
os.fsync(dst)
sparse = os.open("/w/sparse", os.O_RDWR | os.O_CREAT)
os.pwrite(sparse, b"x", 1 << 20)
assert os.lseek(sparse, 0, os.SEEK_DATA) > 0
for i in range(2000):
    open(f"/w/sub/{i}", "w").close()
assert len(os.listdir("/w/sub")) == 2000
st = os.statvfs("/w")
assert st.f_blocks > 0
# Landlock asks for a right of its own where the folder is another
os.rename("/w/from/file", "/w/to/moved")
os.link("/w/to/moved", "/w/from/linked")
os.rename("/w/from/dir", "/w/to/dir")
print("all done", os.stat("/w/b").st_nlink)'
	[ "$status" -eq 0 ]
	[[ "$output" == "all done 2" ]]
	[ "$(stat -c '%i %h' "$w/to/moved")" = "$moved 2" ]
	[ "$(stat -c %i "$w/from/linked")" = "$moved" ]
	[ -d "$w/to/dir" ]
	[ ! -e "$w/from/file" ]
	[ "$(stat -c '%a %u %g %s %h' "$w/b")" = "4711 1000 1001 6000 2" ] || [ "$(stat -c '%a %u %g %s %h' "$w/b")" = "711 1000 1001 6000 2" ]
	[ "$(stat -c %Y "$w/b")" = 1000000001 ]
	[ "$(readlink "$w/soft")" = b ]
	[ "$(getfattr --only-values -n user.color "$w/b")" = pearl ]
	[ "$(dd if="$w/b" bs=1 skip=4096 count=4 2>/dev/null)" = mmap ]
	[ "$(cat "$w/named")" = unnamed ]
	[ "$(cat "$w/copied")" = unnamed ]
	[ -p "$w/fifo" ]
	[ "$(ls "$w/sub" | wc -l)" -eq 2000 ]
}

@test "no device nodes, no way outside by dots, links or special files" {
	echo secret >"$BATS_TEST_TMPDIR/secret"
	debian_rootfs
	ln -s "../../../../../../../../$BATS_TEST_TMPDIR/secret" "$b/rootfs/dotted"
	ln -s "$BATS_TEST_TMPDIR/secret" "$b/rootfs/absolute"
	mknod "$b/rootfs/host-null" c 1 3
	(cd "$b" && runc spec)
	edit_config "$b" '.process.terminal = false | .root.readonly = false | .process.capabilities[] += ["CAP_MKNOD", "CAP_DAC_OVERRIDE"] |
		.linux.resources.devices = [{allow: true, access: "rwm"}]'
	edit_config "$b" ".process.args = $(args_of python3 -c '
import os, stat
for kind in (stat.S_IFCHR, stat.S_IFBLK):
    try:
        os.mknod("/node", kind | 0o666, os.makedev(1, 1))
        print("made", kind)
    except PermissionError:
        print("refused")
for path in ("/dotted", "/absolute", "/../../../../../../tmp/../etc/shadow-of-host"):
    try:
        print(open(path).read())
    except OSError as e:
        print("no", e.errno)
')"
	run nacre run --bundle "$b" "$(new_id)" </dev/null
	[ "$status" -eq 0 ]
	[[ "$output" != *made* ]]
	[[ "$output" != *secret* ]]
	[ ! -e "$b/rootfs/node" ]
}

@test "a name swapped for a link while the container opens it never leads outside" {
	mkdir -p "$BATS_TEST_TMPDIR/outside"
	echo secret >"$BATS_TEST_TMPDIR/outside/file"
	debian_rootfs
	mkdir -p "$b/rootfs/race/dir"
	echo inside >"$b/rootfs/race/dir/file"
	(cd "$b" && runc spec)
	edit_config "$b" '.process.terminal = false | .root.readonly = false'
	edit_config "$b" ".process.args = $(args_of python3 -c '
import time
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        text = open("/race/dir/file").read()
        if "secret" in text:
            print("ESCAPED")
            break
    except OSError:
        pass
print("over")
')"
	(
		cd "$b/rootfs/race" || exit
		for _ in $(seq 3000); do
			mv dir real 2>/dev/null && ln -s "$BATS_TEST_TMPDIR/outside" dir && rm dir && mv real dir
		done
	) 3>&- &
	swapper=$!
	run nacre run --bundle "$b" "$(new_id)" </dev/null
	kill $swapper 2>/dev/null || true
	wait $swapper || true
	[[ "$output" == *over* ]]
	[[ "$output" != *ESCAPED* ]]
}

@test "the container cannot reach another stream's vsock port" {
	IMAGE=$DEBIAN run ctr_run "$(new_id)" python3 -c '
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for call in ("socket",):
    fd = libc.socket(40, 1, 0)
    print("fd" if fd >= 0 else "refused", ctypes.get_errno())'
	[ "$status" -eq 0 ]
	[[ "$output" == refused* ]]
}
