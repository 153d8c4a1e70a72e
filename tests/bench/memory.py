# What a monitor takes of the host's memory beside the guest's RAM, once the guest has booted and idles, with a share, a
# socket device, a disk and a network card.
#
# RSS by the rule of StratoVirt's tests: all mappings of at most 128 MiB (what is larger is guest RAM, 256 MiB here); PSS and
# private dirty of the same mappings. QEMU serves no files itself: its virtiofsd, in all its processes, counts with it.

import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess

import monitors

GUEST_RAM_KIB = 128 << 10
BOOT_TIMEOUT_S = 240
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
DIR = "/tmp/bench/memory"
# Of the build, not the installed copy: in the test host that one lies on tmpfs, whose pages all count as dirty.
VMM = os.path.realpath(f"{os.path.dirname(os.path.realpath(__file__))}/../../build/bin/vmm")
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI_VNET = 0x0002 | 0x1000 | 0x4000
FIELDS = {"Rss": "rss", "Pss": "pss", "Private_Dirty": "dirty"}


def usage_kib(pid):
    """Sums over the mappings that are not guest RAM."""
    total = dict.fromkeys(FIELDS.values(), 0)
    counts = False
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == "Size":
                counts = int(rest.split()[0]) <= GUEST_RAM_KIB
            elif name in FIELDS and counts:
                total[FIELDS[name]] += int(rest.split()[0])
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        found = [int(word) for word in file.read().split()]
    return [pid] + [below for child in found for below in children(child)]


def open_tap():
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"nacrebench%d", IFF_TAP_NO_PI_VNET))
    os.set_inheritable(fd, True)
    return fd


def fresh_dir():
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(f"{DIR}/share")
    with open(f"{DIR}/disk", "wb") as disk:
        disk.truncate(16 << 20)


def nacre_devices(tap):
    return ["-device", f"virtio-fs-device,tag=share,dir={DIR}/share",
            "-device", f"virtio-vsock-device,path={DIR}/vsock,guest-cid=3",
            "-drive", f"file={DIR}/disk,id=disk,format=raw", "-device", "virtio-blk-device,drive=disk",
            "-netdev", f"tap,id=net,fd={tap}", "-device", "virtio-net-device,netdev=net"]


def start_nacre(tap):
    argv = [VMM] + monitors.nacre(hold=True)[1:] + nacre_devices(tap)
    return [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[tap])]


def qemu_devices(tap):
    return ["-object", f"memory-backend-memfd,id=ram,size={monitors.MEMORY_MIB}M,share=on",
            "-chardev", f"socket,id=fs,path={DIR}/fs.sock",
            "-device", "vhost-user-fs-device,chardev=fs,tag=share",
            "-device", "vhost-vsock-device,guest-cid=3",
            "-drive", f"file={DIR}/disk,id=disk,if=none,format=raw",
            "-device", "virtio-blk-device,drive=disk",
            "-netdev", f"tap,id=net,fd={tap},vhost=off", "-device", "virtio-net-device,netdev=net"]


def start_qemu(tap):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{DIR}/fs.sock")
        listener.listen(1)
        server = subprocess.Popen(
            [VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={DIR}/share", "-o", "log_level=err"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[listener.fileno()])
    argv = monitors.qemu(hold=True, memory_object=True) + qemu_devices(tap)
    return [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[tap]),
            server]


def wait_held(process):
    """Until the guest's init has said that it holds."""
    seen = b""
    while b"held" not in seen:
        if not select.select([process.stdout], [], [], BOOT_TIMEOUT_S)[0]:
            raise RuntimeError(f"the guest did not boot within {BOOT_TIMEOUT_S} s: {seen[-500:]!r}")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            raise RuntimeError(f"{process.args[0]} ended: {seen[-500:]!r}")
        seen += data


def measure(start):
    def run(_):
        fresh_dir()
        tap = open_tap()
        processes = start(tap)
        try:
            wait_held(processes[0])
            sums = dict.fromkeys(FIELDS.values(), 0)
            for process in processes:
                for pid in children(process.pid):
                    for field, kib in usage_kib(pid).items():
                        sums[field] += kib / 1024
            return sums
        finally:
            for process in processes:
                process.kill()
                process.wait()
            os.close(tap)
    return run


def cases():
    yield ("memory", {"nacre": measure(start_nacre), "qemu": measure(start_qemu)})
