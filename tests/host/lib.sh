# Shared by the builders of tests/host and tests/images (bash): messages, progress, apt's own
# settings, and a cache of folders named by the hash of what they are made from.

shopt -s inherit_errexit
NACRE_CACHE=${NACRE_CACHE:-${HOME:-/root}/.cache/nacre}

NAME=$(realpath "$0")
NAME=${NAME##*/tests/}

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }
die() { say "$*"; exit 1; }

# need LIST COMMAND...: every command must exist; LIST is the file that names their packages.
need() {
	local list=$1 command
	shift
	for command; do
		command -v "$command" >/dev/null || [ -x "/usr/sbin/$command" ] ||
			die "'$command' not found; install the packages listed in $list"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root: the root file system's files belong to many users"
}

packages_of() { sed 's/#.*//' "$1" | awk 'NF { print $1 }' | paste -sd,; }

# The Debian sources that this machine's apt uses, in one-line form, and its way to reach them.
debian_sources() {
	local sources
	sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Identifier: Packages' 'Origin: Debian' | sort -u | grep ' bookworm') ||
		die "apt knows no Debian bookworm sources; configure them and run 'apt-get update'"
	echo "$sources"
}

apt_options() {
	apt-config dump --format '%f "%v";%n' Acquire |
		grep -E '^Acquire::(Check|http|https|Retries|ForceIPv)' || true
}

# progress TEXT LOG COMMAND...: run it with its output in LOG; every five seconds say how it goes.
progress() {
	local text=$1 log=$2 pid start=$SECONDS status=0
	shift 2
	say "$text"
	"$@" >"$log" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		timeout 5 tail --pid=$pid -s 0.1 -f /dev/null || true
		! kill -0 $pid 2>/dev/null || say "$((SECONDS - start)) s: $(tail -n1 "$log")"
	done
	wait $pid || status=$?
	[ $status = 0 ] || { tail -n40 "$log" >&2; die "$text: failed with status $status"; }
}

# debian_tree DIR VARIANT PACKAGES [OPTION...]: a bookworm tree by mmdebstrap, no documentation.
debian_tree() {
	local dir=$1 variant=$2 packages=$3 work option options=()
	shift 3
	work=$(dirname "$dir")
	debian_sources >"$work/sources"
	apt_options >"$work/apt.conf"
	for option in doc man info locale lintian; do
		options+=("--dpkgopt=path-exclude=/usr/share/$option/*")
	done
	progress "installing ${dir##*/} (a few minutes)" "$work/mmdebstrap.log" \
		mmdebstrap --variant="$variant" --include="$packages" --aptopt="$work/apt.conf" \
		"${options[@]}" "$@" bookworm "$dir" "$work/sources"
	rm -rf "$dir"/var/lib/apt/lists/* "$dir"/var/cache/apt/* "$dir"/var/log/* \
		"$dir"/etc/apt/sources.list "$dir"/etc/apt/apt.conf.d/99mmdebstrap
	: >"$dir/etc/resolv.conf"
	rm -f "$dir/etc/hostname"
}

# cached KIND KEY BUILDER: print the folder KIND/KEY of the cache. What it lacks is made by
# "BUILDER DIR" in a temporary folder and renamed, so nobody sees a half-made one; one build a time.
# What was not used for a month goes.
cached() {
	local kind=$NACRE_CACHE/$1 key=$2 builder=$3
	if ! [ -d "$kind/$key" ]; then (
		mkdir -p "$kind"
		exec 9>"$kind/lock"
		flock -n 9 || { say "waiting for another build"; flock 9; }
		[ ! -d "$kind/$key" ] || exit 0
		rm -rf --one-file-system "$kind"/tmp.* # left by a build that was killed
		work=$(mktemp -d "$kind/tmp.XXXXXX")
		trap 'set +e; kill $(jobs -p) 2>/dev/null; wait; rm -rf --one-file-system "$work"' EXIT
		trap 'exit 130' INT TERM HUP
		mkdir "$work/out"
		"$builder" "$work/out"
		mv -T "$work/out" "$kind/$key"
		find "$kind" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
	) fi
	touch -c "$kind/$key"
	echo "$kind/$key"
}

# refresh KIND [ARGUMENT]: --refresh makes every key of this kind a new one.
refresh() {
	[ -n "${2:-}" ] || return 0
	[ "$2" = --refresh ] || die "unknown argument '$2'; usage: tests/$NAME [--refresh]"
	mkdir -p "$NACRE_CACHE/$1"
	date +%s.%N >"$NACRE_CACHE/$1/refreshed"
}

hash_of() { cat -- "$@" | sha256sum | cut -c1-16; }
