# Disks and network interfaces come into a pod at work and go again: as many as it was configured for, by descriptor, while its container
# does I/O, which must not notice.
load lib.bash
load cni.bash
load asked.bash

DISKS=8
NICS=(eth0 net1 net2)

setup() {
	b=$BATS_TEST_TMPDIR/b
	id=$(new_id)
	[ -d "${NACRE_QEMU_CLIENT:-}" ] || {
		echo "no QEMU client: tests/host/qemu-client fetches it" >&2
		return 1
	}
	ip netns add "$id"
	for ((i = 0; i <= DISKS; i++)); do
		truncate -s 4M "$BATS_TEST_TMPDIR/disk$i"
	done
	disks=("$BATS_TEST_TMPDIR"/disk[0-7])
}

teardown() {
	if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
		cat "$STATE/$id/monitor.log" "$b/io/worker" >&2 || true
	fi
	nacre delete --force "$id"
	assert_nothing_left
	run tc -n "$id" qdisc show
	[[ "$output" != *ingress* ]]
	ip netns del "$id"
	ip link del $BRIDGE 2>/dev/null || true
}

qmp() {
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$NACRE_QEMU_CLIENT:$BATS_TEST_DIRNAME \
		timeout -k 5 240 python3 "$BATS_TEST_DIRNAME/qmp_pod.py" "$STATE/$id/qmp.sock" "$@"
}

# The data of a disk: 256 KiB that no other has, `from` a side.
pattern() { # DISK FROM
	echo "yes 'disk $1 by the $2' 2>/dev/null | dd bs=64k count=4 iflag=fullblock 2>/dev/null"
}

# What runs in the container all the time: a file that is new each round, on the disk before it is read again.
worker='n=0
while [ ! -e /io/stop ]; do
	n=$((n + 1))
	seq $n $((n + 20000)) | dd of=/kept bs=64k conv=fsync 2>/dev/null || { echo "round $n: not written"; break; }
	seq $n $((n + 20000)) | cmp - /kept || { echo "round $n: other data"; break; }
	echo $n >/io/rounds.new && mv /io/rounds.new /io/rounds
done
echo over'

rounds() {
	cat "$b/io/rounds" 2>/dev/null || echo 0
}

further_than() {
	[ "$(rounds)" -gt "$1" ]
}

# The worker is at it, and no round has failed: two more come to their end.
goes_on() {
	wait_for 60 further_than $(($(rounds) + 1))
	[ ! -s "$b/io/worker" ]
}

# Of what the engine has open: all but files of the pod's tree, which come and go with what the guest looks at.
descriptors() {
	for fd in /proc/"$vmm"/fd/*; do
		readlink "$fd" || true
	done | sed 's/:\[[0-9]*\]$//' | grep -v "^/$id" | sort
}

same_descriptors() {
	[ "$(descriptors)" = "$before" ]
}

# use_disk N: written and read in the guest, and what the host has put there is found.
use_disk() {
	local d
	d=vd$(printf '%b' "\\x$((61 + $1))")
	cat <<-END
		until [ "\$(cat /sys/block/$d/size)" = 8192 ]; do sleep 0.1; done
		[ -e /dev/$d ] || mknod /dev/$d b \$(tr : ' ' </sys/block/$d/dev)
		$(pattern "$1" guest) | dd of=/dev/$d bs=64k conv=fsync,notrunc 2>/dev/null || echo $d is not written
		$(pattern "$1" guest) | cmp -n 262144 - /dev/$d || echo $d: not what was written
		dd if=/dev/$d bs=64k skip=16 count=4 2>/dev/null >/tmp/read; $(pattern "$1" host) | cmp - /tmp/read || echo $d: not what the host has
	END
}

@test "8 disks and 3 interfaces come into a pod at work, and go while it does I/O" {
	configured '{"qmp": true, "spare_disks": 8, "spare_nics": 3}'
	make_running ".process.capabilities[] += [\"CAP_MKNOD\", \"CAP_NET_RAW\"]
		| .linux.resources.devices += [{allow: true, type: \"b\", access: \"rwm\"}]
		| (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/$id\""
	echo "$worker" >"$b/io/job"
	[ "$(ask 'mkdir -p /tmp; echo ready')" = ready ]
	vmm=$(pgrep -f 'libexec/nacre/vmm' | head -n 1)
	before=$(descriptors)
	ask 'sh /io/job >/io/worker 2>&1 </dev/null &'
	for ((i = 0; i < DISKS; i++)); do
		eval "$(pattern "$i" host)" | dd of="${disks[i]}" bs=64k seek=16 conv=notrunc 2>/dev/null
	done
	goes_on

	qmp plug "${disks[@]}"
	qmp full "$BATS_TEST_TMPDIR/disk$DISKS"
	for nic in "${NICS[@]}"; do
		cni ADD "$id" 1500 "$nic" >/dev/null
	done
	goes_on
	for ((i = 0; i < DISKS; i++)); do
		said=$(ask "$(use_disk "$i")")
		[ -z "$said" ] || { echo "$said"; return 1; }
		cmp -n 262144 <(eval "$(pattern "$i" guest)") "${disks[i]}"
	done
	for nic in "${NICS[@]}"; do
		wait_for 60 is pinged ask "ping -c 1 -W 5 -I $nic 10.88.77.1 >/dev/null && echo pinged"
	done
	[ "$(descriptors | grep -c '/net/tun$')" -ge ${#NICS[@]} ]
	[ "$(descriptors | uniq | grep -c "^$BATS_TEST_TMPDIR/disk")" -eq $DISKS ]
	goes_on

	qmp unplug "${disks[@]}"
	for nic in "${NICS[@]}"; do
		cni DEL "$id" 1500 "$nic"
	done
	wait_for 60 is lo ask 'cd /sys/class/net && echo *'
	wait_for 60 is 0 ask 'cat /sys/block/vd?/size | sort -u'
	qmp empty
	goes_on
	touch "$b/io/stop"
	wait_for 60 grep -q over "$b/io/worker"
	[ "$(cat "$b/io/worker")" = over ]
	cmp <(seq "$(rounds)" $(($(rounds) + 20000))) "$b/rootfs/kept"
	wait_for 20 same_descriptors || diff <(echo "$before") <(descriptors)
	run ip -n "$id" -o link show
	[[ "$output" != *nacre* ]]
}
