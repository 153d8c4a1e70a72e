# How long a start takes: exec of the monitor to the guest's first instruction, and to the end of a guest whose init ends at
# once.
#
# Making a VM and taking it apart wait for grace periods of the host's kernel, which end at its ticks: a figure would jump by a
# whole tick with the moment it began at. So the samples of a subject begin at as many places between two ticks.
#
# Starts are from memory: one that had to read from a disk is measured again. In exact virtual time a processor that waits for a
# disk sees any time pass.
#
# The first instruction is seen from outside, alike for every monitor: the kernel's trace events sched_process_exec and
# kvm_entry, of one process and its children, with the clock of both.

import itertools
import os
import re
import sys
import time

import monitors

TRACING = "/sys/kernel/tracing"
EVENT = re.compile(r"\s(\d+)\.(\d{6}): (\w+):")


TICK_NS = 4000000  # CONFIG_HZ=250, Debian's
PHASES = 5         # as many as rows.py has samples
TRIES = 5


def wait_between_ticks(phase):
    begin = phase * TICK_NS // PHASES
    while (time.monotonic_ns() - begin) % TICK_NS > 20000:
        pass


def spawn(argv):
    out = os.open("/dev/null", os.O_RDWR)
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, out, fd) for fd in (0, 1, 2)])
    os.close(out)
    return pid


def wait(pid, argv):
    """How often it read from a disk, or waited for what another was reading."""
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise RuntimeError(f"{argv[0]} ended with status {status}")
    return usage.ru_inblock + usage.ru_majflt


def from_memory(argv, start, prepare=lambda tracer: None):
    """A measurement: what start, at the next place between two ticks, gives beside the number of fetches, once that is 0."""
    phases = itertools.cycle(range(PHASES))

    def measure(tracer):
        phase = next(phases)
        for _ in range(TRIES):
            prepare(tracer)
            wait_between_ticks(phase)
            fields, fetches = start(tracer)
            if fetches == 0:
                return fields
            print(f"bench: {argv[0]} read from a disk: again", file=sys.stderr, flush=True)
        raise RuntimeError(f"{argv[0]} read from a disk at each of {TRIES} starts")
    return measure


class Tracer:
    """A trace buffer of our own, which others' tracing does not see; for this process and its children."""

    def __init__(self):
        self.dir = f"{TRACING}/instances/nacre-bench"
        os.makedirs(self.dir, exist_ok=True)
        self.write("trace_clock", "mono")
        self.write("options/event-fork", "1")
        self.write("set_event_pid", str(os.getpid()))
        # Only the first entry counts: what tracing the others would cost is not measured.
        self.write("events/kvm/kvm_entry/trigger", "traceoff")
        self.write("events/kvm/kvm_entry/enable", "1")
        self.write("events/sched/sched_process_exec/enable", "1")

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def restart(self):
        self.write("trace", "")
        self.write("tracing_on", "1")

    def first_us(self, event):
        with open(f"{self.dir}/trace", encoding="ascii") as file:
            for line in file:
                match = EVENT.search(line)
                if match and match[3] == event:
                    return int(match[1]) * 1000000 + int(match[2])
        raise RuntimeError(f"no event {event} in {self.dir}/trace")

    def close(self):
        self.write("events/enable", "0")
        self.write("events/kvm/kvm_entry/trigger", "!traceoff")
        os.rmdir(self.dir)


def first_entry(argv):
    def start(tracer):
        fetches = wait(spawn(argv), argv)
        return {"entry": (tracer.first_us("kvm_entry") -
                          tracer.first_us("sched_process_exec")) / 1000}, fetches
    return from_memory(argv, start, Tracer.restart)


def whole(argv):
    def start(_):
        begin_ns = time.monotonic_ns()
        fetches = wait(spawn(argv), argv)
        return {"whole": (time.monotonic_ns() - begin_ns) / 1e6}, fetches
    return from_memory(argv, start)


def cases():
    lines = {"nacre": monitors.nacre(), "qemu": monitors.qemu(),
             "qemu, our parameters": monitors.qemu(monitors.OURS)}
    yield ("entry", {name: first_entry(argv) for name, argv in lines.items()})
    yield ("whole", {name: whole(argv) for name, argv in lines.items()})
