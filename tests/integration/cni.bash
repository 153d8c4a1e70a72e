# A network plugin, called as engines call it, for a namespace in /run/netns of the container's name.

BRIDGE=nacretest0

# conf MTU: bridge, host-local and portmap, IPv4 and IPv6.
conf() {
	cat <<-END
		{ "cniVersion": "0.4.0", "name": "$BRIDGE", "type": "bridge", "bridge": "$BRIDGE", "isGateway": true,
		  "mtu": $1, "ipMasq": false, "hairpinMode": true, "ipam": { "type": "host-local", "dataDir": "$BATS_TEST_TMPDIR/ipam",
		    "ranges": [[{ "subnet": "10.88.77.0/24" }], [{ "subnet": "fd77::/64" }]],
		    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] } }
	END
}

# cni ADD|DEL NETNS MTU [IFNAME]
cni() {
	conf "$3" | CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=${4:-eth0} \
		CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge
}
