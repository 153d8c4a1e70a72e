#!/usr/bin/python3
"""Acts as somebody who has taken a thread of a jailed engine over, of each kind in turn: taken_threads.py VMM KERNEL.

The thread makes every call of CALLS that its kind's list (vmm/seccomp.def) has, and then one that it lacks, which must end the
process by SIGSYS. The last one is chosen such that no other list agrees with what was seen: a thread under a wrong list, or
under none, is found."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from taken_over import NotWaiting, make_call

DEADLINE_S = 60
NAMESPACES = ("setpriv --clear-groups unshare --map-root-user --mount --pid --ipc --uts --fork --kill-child").split()
KINDS = {  # what the thread is called
    "main": "vmm", "vcpu": "CPU 0/KVM", "fs": "fs", "blk": "blk", "blk-io": "blk-io", "vsock": "vsock", "net": "net"}
NO_FD = -1
CALLS = {  # number, arguments by which it comes back with an error, the kinds whose list has it
    "recvmsg": (47, [NO_FD, 0, 0], {"main"}),
    "ioctl KVM_RUN": (16, [NO_FD, 0xAE80, 0], {"vcpu"}),
    "statx": (332, [NO_FD, 0, 0, 0, 0], {"fs"}),
    "readv": (19, [NO_FD, 0, 0], {"net"}),
    "accept4": (288, [NO_FD, 0, 0, 0], {"main", "vsock"}),
    "fdatasync": (75, [NO_FD], {"fs", "blk-io"}),
    "ioctl BLKDISCARD": (16, [NO_FD, 0x1277, 0], {"main", "blk-io"}),
    "io_uring_enter": (426, [NO_FD, 0, 0, 0, 0, 0], {"main", "vcpu", "blk"}),
    "preadv2": (327, [NO_FD, 0, 0, 0, 0, 0], {"main", "fs", "vsock", "blk-io"}),
    "poll": (7, [0, 1, 0], {"main", "vcpu"}),
}


def plan(kind):
    """The calls that must return, and the one that must not: only `kind` does both."""
    own = [name for name, (_, _, kinds) in CALLS.items() if kind in kinds]
    alike = set.intersection(*(CALLS[name][2] for name in own))
    for name, (_, _, kinds) in CALLS.items():
        if kind not in kinds and alike - kinds == {kind}:
            return own, name
    raise SystemExit(f"no calls tell {kind} from the others")


class Engine:
    """With a thread of each kind, and a guest that is not let run."""

    def __init__(self, vmm, kernel, work):
        for name in ("a", "b"):
            with open(f"{work}/{name}", "wb") as disk:
                disk.truncate(1 << 20)
        os.mkdir(f"{work}/root")
        self.peer, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours:
            self.process = subprocess.Popen(
                [*NAMESPACES, vmm, "-jail", f"{work}/root", "-S", "-kernel", kernel, "-m", "64",
                 "-drive", f"id=a,file={work}/a,aio=io_uring", "-device", "virtio-blk-device,drive=a",
                 "-drive", f"id=b,file={work}/b,aio=threads", "-device", "virtio-blk-device,drive=b",
                 "-device", "virtio-fs-device,tag=t", "-device", f"virtio-vsock-device,guest-cid=3,path={work}/vsock",
                 "-netdev", f"tap,id=n,fd={ours.fileno()}", "-device", "virtio-net-device,netdev=n"],
                stdin=subprocess.DEVNULL, pass_fds=[ours.fileno()])

    def children(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as pids:
            return [int(pid) for pid in pids.read().split()]

    def sealed_threads(self):
        """The threads by name when all are there and sealed, or None."""
        found = {}
        for pid in self.children():
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as status:
                    said = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
                found[said["Name"]] = int(tid)
                if said["Seccomp"] != "2":
                    return None
        return found if set(KINDS.values()) <= set(found) else None

    def await_threads(self):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the engine ended with {self.process.returncode}"
            threads = self.sealed_threads()
            if threads:
                return threads
            time.sleep(0.05)
        raise SystemExit("the engine's threads are not sealed")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.peer.close()


def call_from(tid, name):
    number, args, _ = CALLS[name]
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return make_call(tid, number, args)
        except NotWaiting:  # on its way to where it waits
            assert time.monotonic() < end, f"thread {tid} does not rest"


def take_over(kind, vmm, kernel):
    own, foreign = plan(kind)
    with tempfile.TemporaryDirectory(prefix="taken.") as work:
        engine = Engine(vmm, kernel, work)
        try:
            tid = engine.await_threads()[KINDS[kind]]
            for name in own:
                answer = call_from(tid, name)
                assert answer in ("EBADF", "EFAULT", "EINVAL", "ENOTSOCK"), f"{kind}: {name}: {answer}"
            answer = call_from(tid, foreign)
            assert answer == "SIGSYS", f"{kind}: {foreign}: {answer}"
            status = engine.process.wait(DEADLINE_S)
            assert status == -signal.SIGSYS, f"{kind}: the engine ended with {status}"
        finally:
            engine.end()
    print(f"{kind}: {', '.join(own)}; not {foreign}")


for each in KINDS:
    take_over(each, *sys.argv[1:])
