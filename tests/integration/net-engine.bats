# The engine's network device by hand: a tap in a network namespace, a guest of busybox on it, and nothing in between but the
# host's own stack. The guest runs a web server, so what it fetched can be fetched back.
load lib.bash

VMM=/usr/libexec/nacre/vmm
HOST=192.0.2.1
GUEST=192.0.2.2

setup() {
	ns=nacre-net-$$-$BATS_TEST_NUMBER
	www=$BATS_TEST_TMPDIR/www
	console=$BATS_TEST_TMPDIR/console
	log=$BATS_TEST_TMPDIR/log
	mkdir -p "$www"
	head -c 1048576 /dev/urandom >"$www/blob"
	make_initramfs
	ip netns add "$ns"
}

teardown() {
	[ -z "${vmm:-}" ] || kill "$vmm" 2>/dev/null || true
	[ -z "${httpd:-}" ] || kill "$httpd" 2>/dev/null || true
	wait
	ip netns del "$ns"
	[ "$BATS_TEST_COMPLETED" ] || tail -n 40 "$log" "$console" >&2
}

# The guest: addresses, a fetch of /blob into its own web root, and a server until somebody connects to port 9.
make_initramfs() {
	local root=$BATS_TEST_TMPDIR/root
	mkdir -p "$root"/{bin,dev,proc,sys,www}
	cp "$(command -v busybox)" "$root/bin/"
	cat >"$root/init" <<-END
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t devtmpfs dev /dev
		ip addr add $GUEST/24 dev eth0
		echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
		ip -6 addr add fd00::2/64 dev eth0
		ip link set lo up
		ip link set eth0 up
		# until the kernel has seen the carrier, what is sent is dropped; who started us ends a wait in vain
		until grep -qx up /sys/class/net/eth0/operstate; do sleep 0.1; done
		cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu >/www/facts
		ls -d /sys/class/net/eth0/queues/* >/www/queues
		ping -c 3 -W 10 $HOST >/www/ping && ping -6 -c 3 -W 10 fd00::1 >>/www/ping
		wget -O /www/blob http://$HOST:8080/blob
		httpd -p 8080 -h /www
		echo the guest serves
		nc -l -p 9 >/dev/null
		reboot -f
	END
	chmod 755 "$root/init"
	(cd "$root" && find . | busybox cpio -o -H newc) >"$BATS_TEST_TMPDIR/initramfs" 2>/dev/null
}

in_ns() {
	timeout 100 ip netns exec "$ns" "$@"
}

# make_tap OPTIONS...: tap0, up, with the host's addresses, and a web server behind it.
make_tap() {
	in_ns ip tuntap add tap0 mode tap vnet_hdr "$@"
	in_ns ip addr add $HOST/24 dev tap0
	in_ns ip -6 addr add fd00::1/64 dev tap0 nodad
	in_ns ip link set lo up
	in_ns ip link set tap0 up
	ip netns exec "$ns" busybox httpd -f -p $HOST:8080 -h "$www" &
	httpd=$!
}

# boot OPTIONS...: a guest on the console file.
boot() {
	ip netns exec "$ns" $VMM -kernel /usr/share/nacre/kernel-x86_64 -initrd "$BATS_TEST_TMPDIR/initramfs" -m 256 \
		-serial "file:$console" -append quiet "$@" </dev/null 2>"$log" &
	vmm=$!
}

# fetch NAME: from the guest, on standard output.
fetch() {
	in_ns busybox wget -q -O - "http://$GUEST:8080/$1"
}

# The host is silent until the guest has spoken. Who asks for a guest that is still booting leaves an unanswered ARP request behind:
# the guest finds it in the tap, knows the host by it and does not ask, while the host queues its first echo's answer behind
# the search that it is about to give up, and drops it.
both_ways() {
	wait_for 120 grep -q 'the guest serves' "$console"
	fetch ping | tee >(cat >&2) | grep -c ' 0% packet loss' | grep -qx 2
	fetch blob | cmp - "$www/blob"
	in_ns ping -c 3 -W 10 $GUEST
}

# The guest ends by itself and the vmm says so.
shut_down() {
	in_ns busybox nc $GUEST 9 </dev/null
	wait_status "$vmm"
	vmm=
	[ "$status" -eq 0 ]
}

@test "a tap by name: ping, and a mebibyte each way" {
	make_tap
	boot -netdev tap,id=n0,ifname=tap0 -device virtio-net-device,netdev=n0,mac=02:00:5e:00:53:01,mtu=1400
	both_ways
	[ "$(fetch facts)" = "$(printf '02:00:5e:00:53:01\n1400')" ]
	shut_down
}

@test "two queues of a tap by name, two vCPUs" {
	make_tap multi_queue
	boot -smp 2 -netdev tap,id=n0,ifname=tap0,queues=2 -device virtio-net-device,netdev=n0
	both_ways
	[ "$(fetch queues | grep -c rx-)" -eq 2 ]
	[ "$(in_ns sh -c 'ls -d /sys/class/net/tap0/queues/rx-* | wc -l')" -eq 2 ]
	for i in 1 2 3 4 5 6 7 8; do
		fetch blob | cmp - "$www/blob"
	done
	shut_down
}
