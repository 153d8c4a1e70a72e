# QMP on an engine run by hand, driven by QEMU's own client (qmp_cases.py has what each case does).
load lib.bash

setup() {
	[ -d "${NACRE_QEMU_CLIENT:-}" ] || {
		echo "no QEMU client: tests/host/qemu-client fetches it" >&2
		return 1
	}
}

teardown() {
	assert_nothing_left
}

drive() { # CASE [FILE]
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$NACRE_QEMU_CLIENT:$BATS_TEST_DIRNAME \
		timeout -k 5 600 python3 "$BATS_TEST_DIRNAME/${2:-qmp_cases.py}" "$1"
}

@test "every command works, and every one is refused with a reason where it cannot" {
	drive every_command
}

@test "Kata's Go driver drives us as it does StratoVirt: a root image, and disks beside it" {
	drive image qmp_kata.py
}

@test "Kata's Go driver drives us as it does StratoVirt: an initramfs, and four disks" {
	drive initrd qmp_kata.py
}

@test "what Kata's Go driver cannot have is refused where it listens" {
	drive refused qmp_kata.py
}

@test "several clients are served at once" {
	drive clients
}

@test "a stopped guest stands still and goes on" {
	drive stillness
}

@test "the monitor's connection hears of start and end" {
	drive monitor
}

@test "a crash is told from a reset" {
	drive crash
}

@test "kernel, initramfs, disk and consoles can be descriptors, through a reset" {
	drive by_descriptor
}

@test "with -no-reboot a reset by QMP is the end" {
	drive reset_is_end
}

@test "a guest that resets begins anew where that was asked for" {
	drive reboot
}

@test "eight disks and three networks come and go under I/O" {
	drive many
}

@test "consoles serve a socket, one client after the other, and a file" {
	drive consoles
}

@test "disks that share interrupt lines work all at once, and one goes meanwhile" {
	drive shared_lines shared_lines_case.py
}
