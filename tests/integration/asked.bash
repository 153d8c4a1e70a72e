# A container of the bundle $b, with the id $id, that does what it is asked.

# configured JSON: a configuration of this test alone
configured() {
	mkdir -p "$BATS_TEST_TMPDIR/conf"
	echo "$1" >"$BATS_TEST_TMPDIR/conf/config.json"
	export NACRE_CONFIG_DIR=$BATS_TEST_TMPDIR/conf
}

# A container that does what it is told by a file in a volume: `ask WORD...` gives what the command prints there.
make_running() {
	mkdir -p "$b/io"
	bundle "$b" ".process.args = $(args_of sh -c 'trap "echo asked >/io/term; exit" TERM; while :; do if [ -e /io/q ]; then sh /io/q >/io/a.new 2>&1; rm /io/q; mv /io/a.new /io/a; fi; sleep 0.1; done')"
	edit_config "$b" ".mounts += [{destination: \"/io\", type: \"bind\", source: \"$b/io\", options: [\"rbind\", \"rw\"]}]"
	[ -z "${1:-}" ] || edit_config "$b" "$1"
	nacre create --bundle "$b" "$id" </dev/null >"$BATS_TEST_TMPDIR/create" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/create" >&2
		return 1
	}
	nacre start "$id"
}

ask() {
	rm -f "$b/io/a"
	echo "$*" >"$b/io/q.new" && mv "$b/io/q.new" "$b/io/q"
	wait_for 30 test -e "$b/io/a"
	cat "$b/io/a"
}

is() { # is EXPECTED COMMAND...
	local expected=$1
	shift
	[ "$("$@")" = "$expected" ]
}
