"""What Kata's Go driver for StratoVirt does, `qmp_kata.py CASE`: its command line, word for word but for two devices, and its QMP.

The two are vhost-vsock-device and vhost-user-fs-device, in whose place we have devices without vhost. As in Kata's debug mode, there is
a console on a socket.
"""
import asyncio
import os
import re
import subprocess
import sys
import tempfile

from qemu.qmp.qmp_client import ExecuteError
from qmp_cases import sectors, tap
from qmp_guest import KERNEL, VMM, Guest, Heard, make_initramfs, make_tree

MAC = "02:00:ca:fe:00:01"
PARAMS = ("reboot=k panic=1 net.ifnames=0 ramdom.trust_cpu=on pci=off iommu=off acpi=off debug console=hvc0")
# The kernel finds its console when init may be running already, and would talk on it beside the shell.
ON_CONSOLE = "dmesg -n 1; until [ -c /dev/hvc0 ]; do sleep 0.1; done; exec </dev/hvc0 >/dev/hvc0 2>&1"
VSOCK = "vhost-vsock-device,id=vsock-id,guest-cid=5,vhostfd=3"
FS = "vhost-user-fs-device,chardev=virtio_fs,tag=kataShared,id=virtio-fs0"


def disk(bytes_):
    """A file that has a name."""
    file = tempfile.NamedTemporaryFile(prefix="qmp.")
    file.truncate(bytes_)
    return file


def make_image(work):
    """The path of a disk with a root file system."""
    tree = make_tree(work, ON_CONSOLE)
    applets = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout
    for applet in set(applets.split()) - {"busybox"}:  # it cannot make them: it is read-only
        os.symlink("busybox", f"{tree}/bin/{applet}")
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, f"{work}/image", "16M"], check=True)
    return f"{work}/image"


def command(work, params, initrd, devices, kernel=KERNEL):
    """createParams of the driver."""
    return [VMM, "-name", "sandbox-7", "-uuid", "01234567-89ab-cdef-0123-456789abcdef", "-smp", "1",
            "-m", "256", "-kernel", kernel, "-append", params, "-qmp", f"unix:{work}/qmp.sock,server,nowait",
            "-D", "-disable-seccomp", "-machine", "type=microvm,dump-guest-core=off,mem-share=on",
            *(["-initrd", initrd] if initrd else []), *devices]


def devices_of(work, image, net):
    """createDevices, and then what AddDevice appends, with our vsock and our shared directory."""
    rootfs = ["-drive", f"id=rootfs,file={image},readonly=on,direct=off",
              "-device", "virtio-blk-device,drive=rootfs,id=virtio-blk0"] if image else []
    return ["-object", "rng-random,id=objrng0,filename=/dev/urandom",
            "-device", "virtio-rng-device,rng=objrng0,id=virtio-rng0",
            "-device", "virtio-serial-device,id=virtio-serial0",
            "-chardev", f"socket,id=charconsole0,path={work}/console.socket,server,nowait",
            "-device", "virtconsole,chardev=charconsole0,id=virtio-console0,nr=0", *rootfs,
            "-device", f"virtio-vsock-device,id=vsock-id,guest-cid=5,path={work}/vsock",
            "-netdev", f"tap,id=net0,fds={net}",
            "-device", f"virtio-net-device,netdev=net0,id=net0,mac={MAC}",
            "-device", f"virtio-fs-device,dir={work}/shared,tag=kataShared,id=virtio-fs0"]


class KataGuest(Guest):
    """Its console is a socket; what the engine says is read from its standard output."""

    def __init__(self, net, with_image):
        super().__init__(pass_fds=(net,))
        self.tree = f"{self.work}/kata"
        os.makedirs(f"{self.work}/shared")
        os.makedirs(self.tree)
        with open(f"{self.work}/shared/note", "w", encoding="utf-8") as note:
            note.write("for the guest\n")
        image = make_image(self.tree) if with_image else None
        initrd = None if with_image else make_initramfs(self.tree, ON_CONSOLE)
        root = "root=/dev/vda rootfstype=ext4 ro init=/init " if with_image else ""
        self.command = command(self.work, root + PARAMS, initrd, devices_of(self.work, image, net))

    async def __aenter__(self):
        await super().__aenter__()
        self.said = self.process.stdout
        await self.appears(f"{self.work}/console.socket")
        self.talks, self.listens = await asyncio.open_unix_connection(f"{self.work}/console.socket")
        return self

    async def __aexit__(self, *failure):
        self.listens.close()
        await super().__aexit__(*failure)


async def plug(client, name, path, driver, slot):
    """hotplugBlk: two commands to put a disk in, and one to take back what the second would not have."""
    await client.execute("blockdev-add", {
        "driver": "raw", "node-name": name, "read-only": False,
        "file": {"driver": driver, "filename": path, "aio": "native"}})
    try:
        await client.execute("device_add", {"id": name, "driver": "virtio-blk-mmio", "drive": name,
                                            "addr": str(slot)})
    except ExecuteError:
        await client.execute("blockdev-del", {"node-name": name})
        raise


async def unplug(client, name):
    """One command, whose event is waited for."""
    deleted = Heard(client, "DEVICE_DELETED")
    await client.execute("device_del", {"id": name})
    assert (await deleted.next())[1]["device"] == name


def holds(guest, path):
    """Has the engine the file open?"""
    fds = f"/proc/{guest.process.pid}/fd"
    return path in [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]


async def come_to_know(guest):
    """waitVM and GetThreadIDs: a client to see that QMP is there, and another one to work with."""
    await guest.part(await guest.client())
    client = await guest.client()
    qemu = client.greeting.QMP.version["qemu"]
    assert (qemu["major"], qemu["minor"]) >= (2, 9), qemu
    (cpu,) = await client.execute("query-cpus")
    assert cpu["CPU"] == 0 and os.path.exists(f"/proc/{guest.process.pid}/task/{cpu['thread_id']}"), cpu
    return client


async def look_around(guest):
    """What the driver counts on: four disks and two network interfaces, whatever is in them, and our two devices."""
    found = await guest.tell("cd /sys/block; echo *; cd /sys/class/net; echo eth*; cd /")
    assert found.split() == ["vda", "vdb", "vdc", "vdd", "eth0", "eth1"], found
    assert await guest.tell("cat /sys/class/net/eth0/address") == MAC
    await guest.tell("mount -t virtiofs kataShared /mnt")
    assert await guest.tell("cat /mnt/note") == "for the guest"


async def fill_slots(guest, client, files, first):
    """A disk in each slot from `first` on; the last one is a block device of the host's."""
    loop = subprocess.run(["losetup", "--find", "--show", files[-1].name], check=True,
                          capture_output=True, text=True).stdout.strip()
    try:
        paths = [(file.name, "file") for file in files[:-1]] + [(loop, "host_device")]
        for i, (path, driver) in enumerate(paths):
            await plug(client, f"drive-{i}", path, driver, first + i)
            await sectors(guest, f"vd{'abcd'[first + i]}", (i + 1) << 11)
        for i, (path, _) in enumerate(paths):
            await unplug(client, f"drive-{i}")
            await sectors(guest, f"vd{'abcd'[first + i]}", 0)
            assert not holds(guest, path), path
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


async def come_again(guest, client, file, slot):
    """The same name, twice, after nothing but device_del."""
    name = f"/dev/vd{'abcd'[slot]}"
    for word in ("once", "twice"):
        await plug(client, "drive-0", file.name, "file", slot)
        assert holds(guest, file.name)
        await sectors(guest, name[5:], 1 << 11)
        await guest.tell(f"echo {word} >{name} && sync")
        await unplug(client, "drive-0")
        await sectors(guest, name[5:], 0)
        with open(file.name, "rb") as written:
            assert written.read(len(word)) == word.encode()
    assert await client.execute("query-block") == [] or slot > 0


async def drive(with_image):
    first = 1 if with_image else 0
    net = tap("nacre-qmp1")
    files = [disk((i + 1) << 20) for i in range(4 - first)]
    async with KataGuest(net, with_image) as guest:
        os.close(net)
        await guest.tell("true")
        client = await come_to_know(guest)
        await look_around(guest)
        if with_image:
            await refuse_the_root(client, files[0])
        await fill_slots(guest, client, files, first)
        await come_again(guest, client, files[0], first)
    assert await guest.said.read() == b""  # nothing to complain about
    for file in files:
        file.close()


async def refuse_the_root(client, file):
    """The slot of what was there at the start."""
    try:
        await plug(client, "drive-9", file.name, "file", 0)
    except ExecuteError as failure:
        assert "slot 0 is taken by 'virtio-blk0'" in str(failure), failure
    else:
        raise AssertionError("two disks in one slot")


async def image():
    """The root file system is /dev/vda, so the first disk to come is /dev/vdb at the address 1."""
    await drive(True)


async def initrd():
    """All four slots are empty at first."""
    await drive(False)


async def refused():
    """Standard output is where the driver hears why: devices that are not there, and a kernel that is not."""
    cases = ((("-device", VSOCK), KERNEL, "virtio-vsock-device,guest-cid="),
             (("-chardev", "socket,id=virtio_fs,path=/nonexistent/fs,server,nowait", "-device", FS), KERNEL,
              "virtio-fs-device,tag="),
             ((), "/nonexistent/kernel", "Z :ERROR: sandbox-7: kernel: open '/nonexistent/kernel'"))
    with tempfile.TemporaryDirectory(prefix="qmp.") as work:
        for devices, kernel, sentence in cases:
            ended = subprocess.run(command(work, PARAMS, None, devices, kernel), capture_output=True,
                                   check=False, text=True, timeout=60)
            assert ended.returncode == 1 and ended.stderr == "", ended
            assert sentence in ended.stdout and re.fullmatch("[^\n]+\n", ended.stdout), ended


CASES = {case.__name__: case for case in (image, initrd, refused)}

if __name__ == "__main__":
    asyncio.run(CASES[sys.argv[1]]())
