"""The cases of jail-engine.bats with a Linux guest: `jail_cases.py CASE`. Every device does its work in the jail, with the lists of
system calls on, and every way a guest can end ends the engine as it should: a call that is missing from a list would end it by
SIGSYS."""
import asyncio
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

from qmp_cases import HOTPLUG, Console, plug_disk, sectors, tap, unplug_disk
from qmp_guest import DEADLINE_S, Guest, Heard

HOST, GUEST, SECOND_HOST, SECOND_GUEST = "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"
DATA_BYTES = 1 << 20
HTTP_PORT = 8080
VSOCK_PORT = 5000
# What both kinds of disks and the file server have under way when the guest ends.
BUSY = (b"while dd if=/host/data of=/dev/vda bs=64k conv=fsync; do cat /host/data >/host/again; done 2>/dev/null & "
        b"while dd if=/host/data of=/dev/vdb bs=64k conv=fsync; do :; done 2>/dev/null &\n")


@contextlib.contextmanager
def loop_disk(work, name):
    """A block device, which takes direct I/O whatever file system we are on."""
    path = f"{work}/{name}"
    with open(path, "wb") as file:
        file.truncate(4 << 20)
    loop = subprocess.run(["losetup", "--find", "--show", path], check=True, capture_output=True,
                          text=True).stdout.strip()
    try:
        yield loop
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def up(name, address):
    subprocess.run(["ip", "addr", "add", f"{address}/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)


def install(program, root):
    """A program of the host's and its libraries, for a guest that has them by the shared directory."""
    libraries = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for path in [program] + [word for word in libraries.split() if word.startswith("/")]:
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        shutil.copy(path, root + path)


class Web:
    """Gives `data` to who asks, and keeps what is posted."""

    def __init__(self, data):
        self.data = data
        self.posted = b""

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if head.startswith("post"):
            length = int(head.partition("content-length:")[2].split()[0])
            self.posted = await reader.readexactly(length)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.data) + self.data)
        await writer.drain()
        writer.close()


async def use_shared_directory(guest):
    """Also the way of `data` into the guest."""
    await guest.tell("mkdir /host && mount -t virtiofs t /host && cmp /host/data /host/copy")
    await guest.tell("mkdir /host/made && echo words >/host/made/file && mv /host/made/file /host/moved "
                     "&& ln -s moved /host/link && rmdir /host/made && ls /host >/dev/null && sync")
    with open(f"{guest.root}/moved", encoding="utf-8") as file:
        assert file.read() == "words\n"


async def use_disk(guest, name):
    await guest.tell(f"dd if=/host/data of=/dev/{name} bs=64k conv=fsync 2>/dev/null")
    await guest.tell(f"echo 3 >/proc/sys/vm/drop_caches; cmp -n {DATA_BYTES} /host/data /dev/{name}")
    await guest.tell(f"blkdiscard -o 0 -l 65536 /dev/{name} && cmp -n 65536 /dev/{name} /dev/zero")


async def use_network(guest, interface, host, address):
    await guest.tell(f"ip addr add {address}/24 dev {interface} && ip link set {interface} up")
    await guest.tell(f"until grep -qx up /sys/class/net/{interface}/operstate; do sleep 0.1; done")
    await guest.tell(f"wget -q -O /tmp-data http://{host}:{HTTP_PORT}/ && cmp /tmp-data /host/data")
    await guest.tell(f"wget -q -O /dev/null --post-file=/host/data http://{host}:{HTTP_PORT}/")


async def use_vsock(guest):
    await guest.tell(f"chroot /host {shutil.which('socat')} VSOCK-LISTEN:{VSOCK_PORT} PIPE & listener=$!")
    while True:  # until the guest listens: before, it refuses
        reader, writer = await asyncio.open_unix_connection(f"{guest.work}/vsock")
        writer.write(b"CONNECT %d\n" % VSOCK_PORT)
        if (await asyncio.wait_for(reader.readline(), DEADLINE_S)).startswith(b"OK"):
            break
        writer.close()
        await guest.tell("sleep 0.1")
    words = bytes(range(256)) * 64
    writer.write(words)
    assert await asyncio.wait_for(reader.readexactly(len(words)), DEADLINE_S) == words
    writer.close()
    await guest.tell("wait $listener; true")


async def use_rest(guest):
    await guest.tell("[ $(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | od | sort -u | wc -l) -gt 3 ]")
    console = Console(f"{guest.work}/console")
    await guest.tell("echo console words >/dev/hvc0")
    await console.until(b"console words")
    console.socket.close()


async def plug(guest, client, work):
    with open(f"{work}/plugged", "w+b") as file:
        file.truncate(4 << 20)
        await plug_disk(client, file, "d0")
        await sectors(guest, "vdc", 8192)
        await use_disk(guest, "vdc")
    with open(tap("nacre-jail1"), "rb", buffering=0) as device:
        up("nacre-jail1", SECOND_HOST)
        client.send_fd_scm(device.fileno())
        await client.execute("getfd", {"fdname": "t"})
    await client.execute("netdev_add", {"type": "tap", "id": "n1", "fds": "t"})
    await client.execute("device_add", {"driver": "virtio-net-mmio", "id": "nic1", "netdev": "n1"})
    await use_network(guest, "eth1", SECOND_HOST, SECOND_GUEST)


async def unplug(client):
    await client.execute("device_del", {"id": "nic1"})
    await client.execute("netdev_del", {"id": "n1"})
    await unplug_disk(client, "d0")


async def use_all(guest, web):
    web.posted = b""
    await use_shared_directory(guest)
    await use_disk(guest, "vda")
    await use_disk(guest, "vdb")
    await use_network(guest, "eth0", HOST, GUEST)
    assert web.posted == web.data
    await use_vsock(guest)
    await use_rest(guest)


def fill_root(guest, data):
    for name in ("data", "copy"):
        with open(f"{guest.root}/{name}", "wb") as file:
            file.write(data)
    install(shutil.which("socat"), guest.root)


def machine(work, disks, net):
    return (*HOTPLUG, "-smp", "2",
            "-drive", f"id=a,file={disks[0]},aio=io_uring,direct=on",
            "-device", "virtio-blk-device,drive=a,num-queues=2",
            "-drive", f"id=b,file={disks[1]},aio=threads,direct=on", "-device", "virtio-blk-device,drive=b",
            "-netdev", f"tap,id=n0,fd={net}", "-device", "virtio-net-device,netdev=n0",
            "-device", "virtio-fs-device,tag=t", "-device", "virtio-rng-device",
            "-device", f"virtio-vsock-device,guest-cid=3,path={work}/vsock",
            "-device", "virtio-serial-device", "-chardev",
            f"socket,id=c,path={work}/console,server=on,wait=off", "-device", "virtconsole,chardev=c")


async def live(guest, web, work):
    """Everything at work, a reset from outside, a reset from inside, and everything at work again."""
    await guest.until("guest-ready")
    client = await guest.client()
    await use_all(guest, web)
    await plug(guest, client, work)
    await client.execute("stop")
    await client.execute("cont")
    heard = Heard(client, "RESET", "SHUTDOWN")
    await client.execute("system_reset")
    assert (await heard.next())[0] == "RESET"
    await guest.until("guest-ready")
    guest.process.stdin.write(b"reboot -f\n")
    assert (await heard.next())[0] == "RESET"
    await guest.until("guest-ready")
    os.unlink(f"{guest.root}/link")
    await use_all(guest, web)
    await use_disk(guest, "vdc")
    await unplug(client)
    await client.execute("quit")
    assert await guest.status() == 0


@contextlib.asynccontextmanager
async def full_guest(*options, **kinds):
    """A jailed guest with every device, and the other side of its network."""
    data = base64.b64encode(os.urandom(DATA_BYTES * 3 // 4))  # text: busybox posts no zeros
    web = Web(data)
    net = tap("nacre-jail0")
    up("nacre-jail0", HOST)
    server = await asyncio.start_server(web.serve, "0.0.0.0", HTTP_PORT)
    with tempfile.TemporaryDirectory(prefix="jail.") as work, loop_disk(work, "a") as first, \
            loop_disk(work, "b") as second:
        guest = Guest(*options, jail=True, pass_fds=(net,), **kinds)
        fill_root(guest, data)
        guest.command += machine(guest.work, (first, second), net)
        async with guest:
            os.close(net)
            yield guest, web, work
    server.close()


async def every_device():
    async with full_guest("-action", "reboot=reset") as (guest, web, work):
        await live(guest, web, work)


async def ends():
    """A panic is a reset, as the kernel was told; a triple fault is a crash. Neither is the jail's doing, nor is what the devices
    have under way."""
    for params, last_words, crashed, reason in (
            ("reboot=k", b"exit 1\n", False, "guest-reset"),
            ("reboot=t", b"reboot -f\n", True, "guest-panic")):
        async with full_guest(kernel=("-append", f"quiet {params}")) as (guest, web, _):
            await guest.until("guest-ready")
            client = await guest.client()
            heard = Heard(client, "GUEST_CRASHED", "SHUTDOWN")
            await use_all(guest, web)
            guest.process.stdin.write(BUSY + b"sleep 1\n" + last_words)
            if crashed:
                event, data = await heard.next()
                assert event == "GUEST_CRASHED" and "triple fault" in data["reason"], data
            else:
                await guest.until("Kernel panic")
            assert await heard.next() == ("SHUTDOWN", {"guest": True, "reason": reason})
            assert await guest.status() == 0


CASES = {case.__name__: case for case in (every_device, ends)}

if __name__ == "__main__":
    asyncio.run(CASES[sys.argv[1]]())
