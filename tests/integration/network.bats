# The pod's network: what network plugins and engines make in its namespace is what the workload has, both ways.
load lib.bash
load cni.bash

PORT=7007

# A namespace with an interface on the bridge; $v4 and $v6 are its addresses.
new_pod_netns() {
	ip netns add "$1"
	cni ADD "$1" "${2:-1500}" >"$BATS_TEST_TMPDIR/$1.json"
	v4=$(jq -r '.ips[] | select(.version == "4").address' "$BATS_TEST_TMPDIR/$1.json" | cut -d/ -f1)
	v6=$(jq -r '.ips[] | select(.version == "6").address' "$BATS_TEST_TMPDIR/$1.json" | cut -d/ -f1)
	netns+=("$1")
}

setup() {
	netns=()
	peers=()
}

teardown() {
	for pid in "${peers[@]}"; do
		kill "$pid" || true
		wait "$pid" || true
	done
	for id in $(ctr task ls -q); do
		ctr task kill --signal SIGKILL "$id" || true
		wait_for 30 sh -c "! ctr task ls | grep '$id.*RUNNING'" || true
		ctr task rm -f "$id" || true
		ctr container rm "$id" || true
	done
	for dir in $STATE/t*/; do
		[ -d "$dir" ] && nacre delete --force "$(basename "$dir")"
	done
	assert_nothing_left
	for ns in "${netns[@]}"; do
		run tc -n "$ns" qdisc show
		[[ "$output" != *ingress* ]]
		run ip -n "$ns" -o link show
		[[ "$output" != *nacre* ]]
		ip netns del "$ns"
	done
	ip link del $BRIDGE 2>/dev/null || true
}

# Serves on the host until the end of the test.
serve_on_host() {
	python3 "$BATS_TEST_DIRNAME/net_peer.py" serve $PORT >"$BATS_TEST_TMPDIR/host" 3>&- &
	peers+=($!)
	wait_for 10 grep -q serving "$BATS_TEST_TMPDIR/host"
}

ask() {
	timeout -k 5 200 python3 "$BATS_TEST_DIRNAME/net_peer.py" ask $PORT "$@"
}

# pod ID NETNS ARGS...: a debian container in that namespace.
pod() {
	local id=$1 ns=$2
	shift 2
	ctr run --rm --runtime $RUNTIME --with-ns "network:/run/netns/$ns" \
		--mount "type=bind,src=$BATS_TEST_DIRNAME,dst=/t,options=rbind:ro" $DEBIAN "$id" "$@"
}

# Two pods and the host talk to each other, with this MTU.
all_talk() {
	a=$(new_id) b=$(new_id)
	new_pod_netns "$a" "$1"
	a4=$v4 a6=$v6
	new_pod_netns "$b" "$1"
	serve_on_host
	pod "$a" "$a" python3 /t/net_peer.py serve $PORT >"$BATS_TEST_TMPDIR/a" 3>&- &
	wait_for 90 grep -q serving "$BATS_TEST_TMPDIR/a"
	run pod "$b" "$b" python3 /t/net_peer.py ask $PORT "$a4" "$a6" 10.88.77.1 fd77::1
	[ "$status" -eq 0 ]
	[ "$(grep -c ^ok <<<"$output")" -eq 4 ]
	run ask "$a4" "$a6"
	[ "$status" -eq 0 ]
}

# TCP segments beyond the MTU are seen to pass the tap of that pod each way: who cuts them up, or checks their sums, is behind it.
expect_large_segments() {
	for direction in src dst; do
		ip netns exec "$1" tcpdump -n -i nacre0 -c 1 "tcp and greater 1600 and $direction $2" \
			>"$BATS_TEST_TMPDIR/$direction" 2>"$BATS_TEST_TMPDIR/$direction.err" 3>&- &
		peers+=($!)
		wait_for 10 grep -q 'listening on' "$BATS_TEST_TMPDIR/$direction.err"
	done
}

@test "two pods and the host talk by TCP and UDP, IPv4 and IPv6, in more than one frame" {
	all_talk 1500
	expect_large_segments "$a" "$a4"
	run ask "$a4"
	[ "$status" -eq 0 ]
	wait_for 10 grep -q "$a4" "$BATS_TEST_TMPDIR/src"
	wait_for 10 grep -q "$a4" "$BATS_TEST_TMPDIR/dst"
}

@test "so they do with an MTU of 1400" {
	all_talk 1400
}

@test "the workload sees its interface as the plugin made it, and no other" {
	id=$(new_id)
	new_pod_netns "$id" 1480
	ip -n "$id" route add 198.51.100.0/24 via 10.88.77.1 metric 42
	ip -n "$id" neigh add 10.88.77.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
	RUN_OPTIONS="--with-ns network:/run/netns/$id" run ctr_run "$id" sh -c \
		'ls /sys/class/net; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ip -4 addr show eth0; ip -6 addr show eth0; ip route; ip -6 route; ip neigh; ip link show lo'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = eth0 ]
	[ "${lines[1]}" = lo ]
	[ "${lines[2]}" = "$(ip -n "$id" -j link show eth0 | jq -r '.[0].address')" ]
	[ "${lines[3]}" = 1480 ]
	[[ "$output" == *"inet $v4/24"* ]]
	[[ "$output" == *"inet6 $v6/64"* ]]
	[[ "$output" == *"inet6 fe80::"* ]]
	[[ "$output" == *"default via 10.88.77.1 dev eth0"* ]]
	[[ "$output" == *"198.51.100.0/24 via 10.88.77.1 dev eth0  metric 42"* ]]
	[[ "$output" == *"default via fd77::1 dev eth0"* ]]
	[[ "$output" == *"10.88.77.99 dev eth0 lladdr 02:00:00:00:00:99"*PERMANENT* ]]
	[[ "$output" == *LOOPBACK,UP* ]]
	[[ "$output" != *tentative* ]]
}

@test "two interfaces keep their names" {
	id=$(new_id)
	new_pod_netns "$id"
	cni ADD "$id" 1300 net1 >/dev/null
	RUN_OPTIONS="--with-ns network:/run/netns/$id" run ctr_run "$id" sh -c \
		'cat /sys/class/net/eth0/mtu /sys/class/net/net1/mtu; ls /sys/class/net; ping -c 1 -W 5 -I net1 10.88.77.1'
	[ "$status" -eq 0 ]
	[ "${lines[*]:0:5}" = "1500 1300 eth0 lo net1" ]
}

@test "ctr run --cni: an interface that arrives between create and start" {
	serve_on_host
	mkdir -p /etc/cni/net.d
	{ echo '{ "cniVersion": "0.4.0", "name": "nacretest", "plugins": ['
		conf 1500 | jq 'del(.cniVersion, .name)'
		echo ', { "type": "portmap", "capabilities": { "portMappings": true } } ] }'
	} >/etc/cni/net.d/10-nacretest.conflist
	id=$(new_id)
	run ctr run --rm --cni --runtime $RUNTIME --mount "type=bind,src=$BATS_TEST_DIRNAME,dst=/t,options=rbind:ro" \
		$DEBIAN "$id" sh -c "ls /sys/class/net; python3 /t/net_peer.py ask $PORT 10.88.77.1 fd77::1"
	rm -f /etc/cni/net.d/10-nacretest.conflist
	[ "$status" -eq 0 ]
	[ "${lines[*]:0:2}" = "eth0 lo" ]
	[ "$(grep -c ^ok <<<"$output")" -eq 2 ]
}

@test "an interface that arrives while the workload runs, and goes again" {
	id=$(new_id)
	ip netns add "$id"
	netns+=("$id")
	ctr run -d --runtime $RUNTIME --with-ns "network:/run/netns/$id" $BUSYBOX "$id" sleep 600
	in_guest() {
		ctr task exec --exec-id "e$RANDOM" "$id" "$@"
	}
	[ "$(in_guest ls /sys/class/net)" = lo ]
	for round in 1 2; do
		cni ADD "$id" 1450 >"$BATS_TEST_TMPDIR/$id.json"
		wait_for 30 in_guest ping -c 1 -W 2 10.88.77.1
		[ "$(in_guest cat /sys/class/net/eth0/mtu)" = 1450 ]
		cni DEL "$id" 1450
		wait_for 30 sh -c "! timeout 60 ctr task exec --exec-id x\$\$ $id test -e /sys/class/net/eth0"
	done
}

@test "an interface for which there is no slot is named by the first start" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	ip netns add "$id"
	netns+=("$id")
	bundle "$b" ".process.args = $(args_of sh -c 'ls /sys/class/net; sleep 600') | (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/$id\""
	nacre create --bundle "$b" "$id" </dev/null >"$b/out" 2>&1
	cni ADD "$id" 1500 >/dev/null
	cni ADD "$id" 1500 net1 >/dev/null
	run --separate-stderr nacre start "$id"
	assert_one_clear_line "'net1'"
	[[ "$stderr" == *spare_nics* ]]
	cni DEL "$id" 1500 net1
	nacre start "$id"
	wait_for 30 grep -qx lo "$b/out"
	[ "$(xargs <"$b/out")" = "eth0 lo" ]
	nacre delete --force "$id"
}

@test "a pod at work does without it" {
	id=$(new_id)
	second=$(new_id)
	ip netns add "$id"
	netns+=("$id")
	in_pod() {
		ctr run --runtime $RUNTIME --with-ns "network:/run/netns/$id" --annotation "io.kubernetes.cri.sandbox-id=$id" "$@"
	}
	in_pod -d $BUSYBOX "$id" sleep 600
	cni ADD "$id" 1500 >/dev/null
	cni ADD "$id" 1500 net1 >/dev/null
	run in_pod --rm $BUSYBOX "$second" ls /sys/class/net
	[ "$status" -eq 0 ]
	[ "${lines[*]}" = "eth0 lo" ]
}

@test "iperf3 runs for 10 s each way" {
	id=$(new_id)
	new_pod_netns "$id"
	ctr run -d --runtime $RUNTIME --with-ns "network:/run/netns/$id" $DEBIAN "$id" iperf3 -s -J
	# Its server answers no more than one at a time, and nobody between two.
	measure() {
		timeout 60 iperf3 -c "$v4" -t 10 -J "$@" >"$BATS_TEST_TMPDIR/out.json"
		jq -e '.error == null' "$BATS_TEST_TMPDIR/out.json"
	}
	# What arrived when is known to who received: the server, or the client itself.
	for direction in --get-server-output -R; do
		wait_for 30 measure $direction
		jq -c '[.intervals[].sum.bytes], .end.sum_received.bytes' "$BATS_TEST_TMPDIR/out.json"
		# No figure is asked for, since an emulated host may stand still for a while: it must get through, and still do so at the end.
		jq -e '(.intervals | length >= 10) and .end.sum_received.bytes > 1048576' "$BATS_TEST_TMPDIR/out.json"
		jq -c '[(.server_output_json // .).intervals[-3:][].sum.bytes]' "$BATS_TEST_TMPDIR/out.json"
		jq -e '[(.server_output_json // .).intervals[-3:][].sum.bytes] | length == 3 and add > 0' "$BATS_TEST_TMPDIR/out.json"
		ping -c 3 -W 10 "$v4"
	done
}

@test "podman's default network" {
	b=$BATS_TEST_TMPDIR
	serve_on_host
	podman_nacre() {
		timeout -k 5 200 podman --root "$b/root" --runroot "$b/runroot" --runtime /usr/bin/nacre \
			--cgroup-manager cgroupfs "$@"
	}
	run podman_nacre run --rm --rootfs "$(rootfs_of busybox "$b/fs"; echo "$b/fs")" sh -c \
		'ip route | sed -n "s/default via \([^ ]*\).*/\1/p" | { read gw; echo hello | nc -w 20 $gw '$PORT'; }'
	[ "$status" -eq 0 ]
	[[ "$output" == *hello* ]]
	podman_nacre system reset -f >/dev/null 2>&1 || true
	ip link del podman0 2>/dev/null || true
}

@test "nothing is left after both sides were killed" {
	id=$(new_id)
	new_pod_netns "$id"
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600) | (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/$id\""
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	nacre start "$id"
	tc -n "$id" qdisc show | grep ingress
	jq '.resources[] | select(.kind == "process").pid' "$STATE/$id/resources.json" | xargs kill -KILL
	nacre delete --force "$id"
	assert_nothing_left
}

@test "a pid in the pod's network namespace stands for the container" {
	id=$(new_id)
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600)"
	nacre create --bundle "$b" --pid-file "$b/pid" "$id" </dev/null >/dev/null 2>&1
	[ "$(readlink "/proc/$(cat "$b/pid")/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	nacre delete --force "$id"
}

@test "the host's network is refused by whatever name, and its interfaces are left alone" {
	before=$(ip -o link; ip -o addr; tc qdisc show; ip route)
	b=$BATS_TEST_TMPDIR/b
	for path in /proc/1/ns/net /proc/self/ns/net; do
		rm -rf "$b"
		bundle "$b" "(.linux.namespaces[] | select(.type == \"network\")).path = \"$path\""
		run --separate-stderr nacre create --bundle "$b" "$(new_id)"
		assert_one_clear_line "host's network"
	done
	run ctr run --rm --runtime $RUNTIME --net-host $BUSYBOX "$(new_id)" true
	[ "$status" -ne 0 ]
	[[ "$output" == *"host's network"* ]]
	after=$(ip -o link; ip -o addr; tc qdisc show; ip route)
	[ "$(sed 's/valid_lft.*//' <<<"$before")" = "$(sed 's/valid_lft.*//' <<<"$after")" ]
}

@test "a network namespace that is not there, or none" {
	b=$BATS_TEST_TMPDIR/b
	for path in /run/netns/no-such /dev/null; do
		rm -rf "$b"
		bundle "$b" "(.linux.namespaces[] | select(.type == \"network\")).path = \"$path\""
		run --separate-stderr nacre create --bundle "$b" "$(new_id)"
		assert_one_clear_line "$path"
	done
}

@test "an interface that another microVM has is refused" {
	id=$(new_id)
	new_pod_netns "$id"
	b=$BATS_TEST_TMPDIR/b
	bundle "$b" ".process.args = $(args_of sleep 600) | (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/$id\""
	nacre create --bundle "$b" "$id" </dev/null >/dev/null 2>&1
	run --separate-stderr nacre create --bundle "$b" "$(new_id)"
	assert_one_clear_line "'eth0'"
	tc -n "$id" filter show dev eth0 ingress | grep mirred
	nacre delete --force "$id"
}
