"""The cases of qmp.bats: `qmp_cases.py CASE`. Each boots a guest by hand and drives its engine with QEMU's own QMP client."""
import asyncio
import fcntl
import os
import socket
import struct
import sys
import tempfile
import time

from qemu.qmp import QMPClient
from qemu.qmp.qmp_client import ExecuteError
from qmp_guest import DEADLINE_S, KERNEL, VMM, Guest, Heard, make_initramfs
from qmp_required import REQUIRED, lacking

HOTPLUG = ("-machine", "type=microvm,dump-guest-core=off,hotplug-blk=8,hotplug-net=3")
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000


async def refused(client, name, args=None, error="GenericError", about=""):
    """The command must fail, with this class and a sentence about that."""
    try:
        result = await client.execute(name, args)
    except ExecuteError as failure:
        assert failure.error_class == error, f"{name}: {failure.error_class}"
        assert about in str(failure), f"{name}: {failure}"
        return
    raise AssertionError(f"{name} {args} was not refused: {result}")


def disk(bytes_):
    file = tempfile.TemporaryFile()
    file.truncate(bytes_)
    return file


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI_VNET_HDR))
    return fd


async def give_fd(client, file):
    """Puts a descriptor into a set of its own; the name that opens it."""
    client.send_fd_scm(file.fileno())
    added = await client.execute("add-fd", {"opaque": "test"})
    return f"/dev/fdset/{added['fdset-id']}", added


async def plug_disk(client, file, name, addr=None):
    path, added = await give_fd(client, file)
    await client.execute("blockdev-add", {
        "driver": "raw", "node-name": name, "read-only": False,
        "file": {"driver": "file", "filename": path, "aio": "native"}})
    await client.execute("remove-fd", {"fdset-id": added["fdset-id"]})
    args = {"driver": "virtio-blk-mmio", "id": f"dev-{name}", "drive": name}
    if addr is not None:
        args["addr"] = addr
    await client.execute("device_add", args)


async def unplug_disk(client, name):
    deleted = Heard(client, "DEVICE_DELETED")
    await client.execute("device_del", {"id": f"dev-{name}"})
    event, data = await deleted.next()
    assert (event, data["device"]) == ("DEVICE_DELETED", f"dev-{name}"), data
    await client.execute("blockdev-del", {"node-name": name})


async def sectors(guest, name, wanted):
    """The guest learns of a new size by an interrupt: it says when it has."""
    await guest.tell(f"n=0; until [ $(cat /sys/block/{name}/size) = {wanted} ] || [ $n = 600 ]; "
                     f"do n=$((n + 1)); sleep 0.1; done; [ $n -lt 600 ]")


async def every_command():
    """Each command that query-commands lists, at least once, as it works and as it is refused."""
    with disk(1 << 20) as file:
        async with Guest(*HOTPLUG, "-smp", "1,maxcpus=2", "-name", "n7", "-uuid",
                         "01234567-89ab-cdef-0123-456789abcdef", "-S") as guest:
            await drive_every_command(guest, file)


class Recorder:
    """A client that notes which commands it was given, and that the answers have what QEMU's schema requires."""

    def __init__(self, client):
        self.client = client
        self.seen = {"qmp_capabilities"}  # negotiated by the client itself
        self.complete = set()  # those whose answer had something in it

    def send_fd_scm(self, fd):
        self.client.send_fd_scm(fd)

    def register_listener(self, listener):
        self.client.register_listener(listener)

    async def execute(self, name, args=None):
        self.seen.add(name)
        answer = await self.client.execute(name, args)
        assert not lacking(name, answer), f"{name}: {lacking(name, answer)}"
        self.complete |= {name} if answer else set()
        return answer


async def ask_queries(q):
    assert (await q.execute("query-version"))["package"].startswith("nacre-")
    names = {c["name"] for c in await q.execute("query-commands")}
    events = {e["name"] for e in await q.execute("query-events")}
    assert {"SHUTDOWN", "RESET", "STOP", "RESUME", "DEVICE_DELETED", "GUEST_CRASHED"} <= events
    schema = await q.execute("query-qmp-schema")
    assert names == {e["name"] for e in schema if e["meta-type"] == "command"}
    assert events == {e["name"] for e in schema if e["meta-type"] == "event"}
    assert (await q.execute("query-kvm")) == {"enabled": True, "present": True}
    assert (await q.execute("query-target"))["arch"] == "x86_64"
    assert [m["name"] for m in await q.execute("query-machines")] == ["microvm"]
    assert (await q.execute("query-name")) == {"name": "n7"}
    assert (await q.execute("query-uuid"))["UUID"].startswith("01234567-")
    return names


async def ask_cpus(q, pid):
    threads = {int(t) for t in os.listdir(f"/proc/{pid}/task")}
    (cpu,) = await q.execute("query-cpus")
    (fast,) = await q.execute("query-cpus-fast")
    assert cpu["CPU"] == fast["cpu-index"] == 0
    assert cpu["thread_id"] in threads and fast["thread-id"] in threads
    hot = await q.execute("query-hotpluggable-cpus")
    assert [c["props"]["core-id"] for c in hot] == [1, 0] and "qom-path" not in hot[0]
    await refused(q, "device_add", {"driver": hot[0]["type"], "id": "c1", "core-id": 1},
                  about="agent")


async def run_and_stand_still(guest, q):
    heard = Heard(q)
    assert (await q.execute("query-status"))["status"] == "prelaunch"
    assert "entry" not in (await q.execute("query-start-times"))["monotonic-us"]
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    await q.execute("cont")
    assert [await heard.next() for _ in range(2)][0][0] == "RESUME"
    times = (await q.execute("query-start-times"))["monotonic-us"]
    assert times["exec"] <= times["memory"] <= times["devices"] <= before_us <= times["entry"], times
    await guest.until("guest-ready")
    await q.execute("stop")
    assert (await heard.next())[0] == "STOP"
    assert (await q.execute("query-status")) == {
        "running": False, "singlestep": False, "status": "paused"}
    await q.execute("cont")
    await guest.tell("true")
    await refused(q, "system_powerdown", about="agent")
    await q.execute("system_reset")
    await guest.until("guest-ready")


async def handle_descriptors(q, file):
    path, added = await give_fd(q, file)
    sets = await q.execute("query-fdsets")
    assert sets[0]["fds"] == [{"fd": added["fd"], "opaque": "test"}], sets
    await refused(q, "blockdev-add", {"driver": "file", "node-name": "x",
                                      "filename": "/dev/fdset/999"}, about="no such fd set")
    await q.execute("remove-fd", {"fdset-id": added["fdset-id"], "fd": added["fd"]})
    await refused(q, "remove-fd", {"fdset-id": added["fdset-id"]}, about=path[-1:])
    await refused(q, "add-fd", about="SCM_RIGHTS")
    q.send_fd_scm(file.fileno())
    await q.execute("getfd", {"fdname": "f"})
    await q.execute("closefd", {"fdname": "f"})
    await refused(q, "closefd", {"fdname": "f"}, about="'f'")


async def plug_and_unplug(guest, q, file):
    await plug_disk(q, file, "d0", "0")
    await sectors(guest, "vda", 2048)
    await guest.tell("dd if=/dev/vda of=/dev/null bs=64k count=4 2>/dev/null")
    (block,) = await q.execute("query-block")
    assert block["qdev"] == "dev-d0" and block["inserted"]["image"]["virtual-size"] == 1 << 20
    (stats,) = await q.execute("query-blockstats")
    assert stats["stats"]["rd_bytes"] >= 4 * 65536 and stats["node-name"] == "d0", stats
    assert "dev-d0" in [t["id"] for t in await q.execute("query-iothreads")]
    await refused(q, "blockdev-del", {"node-name": "d0"}, about="used by 'dev-d0'")
    await unplug_disk(q, "d0")
    await sectors(guest, "vda", 0)
    await refused(q, "device_del", {"id": "dev-d0"}, error="DeviceNotFound")
    for driver, instead in (("vhost-vsock-device", "virtio-vsock-device"),
                            ("vhost-user-fs-device", "virtio-fs-device")):
        await refused(q, "device_add", {"driver": driver, "id": "v"}, about=instead)


async def plug_network(guest, q):
    with open(tap("nacre-qmp0"), "rb", buffering=0) as device:
        q.send_fd_scm(device.fileno())
        await q.execute("getfd", {"fdname": "tap0"})
    await q.execute("netdev_add", {"type": "tap", "id": "n0", "fds": "tap0", "vhost": False})
    await q.execute("device_add", {"driver": "virtio-net-mmio", "id": "nic0", "netdev": "n0",
                                   "mac": "02:00:00:00:00:07"})
    await guest.tell("ip link set eth0 up; n=0; until [ \"$(cat /sys/class/net/eth0/carrier)\" = 1 ]"
                     " || [ $n = 600 ]; do n=$((n + 1)); sleep 0.1; done; [ $n -lt 600 ]")
    await refused(q, "netdev_del", {"id": "n0"}, about="used by 'nic0'")
    await q.execute("device_del", {"id": "nic0"})
    await q.execute("netdev_del", {"id": "n0"})
    await refused(q, "netdev_del", {"id": "n0"}, error="DeviceNotFound")
    assert not os.path.exists("/sys/class/net/nacre-qmp0")


async def add_chardevs(q):
    await q.execute("chardev-add", {"id": "c0", "backend": {"type": "null", "data": {}}})
    labels = {c["label"] for c in await q.execute("query-chardev")}
    assert labels == {"compat_monitor0", "c0"}, labels
    await q.execute("chardev-remove", {"id": "c0"})
    await refused(q, "chardev-remove", {"id": "c0"}, about="'c0'")


async def drive_every_command(guest, file):
    q = Recorder(await guest.client())
    names = await ask_queries(q)
    await run_and_stand_still(guest, q)
    await ask_cpus(q, guest.process.pid)
    await handle_descriptors(q, file)
    await plug_and_unplug(guest, q, file)
    await plug_network(guest, q)
    await add_chardevs(q)
    await refused(q, "nacre-vcpu-unplugged", {"cpu-index": 1}, about="the monitor")
    await refused(q, "nacre-start-times", {"monotonic-us": {"started": 1}}, about="the monitor")
    await refused(q, "human-monitor-command", {"command-line": "info"}, error="CommandNotFound")
    ended = Heard(q, "SHUTDOWN")
    await q.execute("quit")
    assert await ended.next() == ("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
    assert await guest.status() == 0
    assert q.seen == names | {"human-monitor-command"}, names ^ q.seen
    assert set(REQUIRED) <= q.complete, set(REQUIRED) - q.complete


class Console:
    """A client of a console's socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.said = b""

    async def until(self, text):
        while text not in self.said:
            data = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(self.socket, 4096), DEADLINE_S)
            assert data, f"the console hung up: {self.said}"
            self.said += data
        self.said = self.said.partition(text)[2]

    async def type(self, text):
        await asyncio.get_running_loop().sock_sendall(self.socket, text)


async def consoles():
    """Two consoles: a socket with one client after the other, kernel messages on it too, and a file."""
    with tempfile.TemporaryDirectory(prefix="qmp.") as work:
        async with Guest("-device", "virtio-serial-device", "-chardev",
                         f"socket,id=c0,path={work}/console.sock,server=on,wait=off",
                         "-device", "virtconsole,chardev=c0,id=con0", "-chardev",
                         f"file,id=c1,path={work}/out", "-device", "virtconsole,chardev=c1",
                         kernel=("-append", "quiet console=hvc0 console=ttyS0")) as guest:
            await guest.until("guest-ready")
            await talk_to_consoles(guest, work)


async def talk_to_consoles(guest, work):
    client = await guest.client()
    names = {c["label"]: c["filename"] for c in await client.execute("query-chardev")}
    assert names["c0"] == f"disconnected:unix:{work}/console.sock,server=on", names
    first, second = Console(f"{work}/console.sock"), Console(f"{work}/console.sock")
    await guest.tell("stty -F /dev/hvc0 -echo; echo hello first >/dev/hvc0")
    await first.until(b"hello first")
    await guest.tell("echo '<2>kernel words' >/dev/kmsg")
    await first.until(b"kernel words")
    await guest.tell("(read line </dev/hvc0; echo \"heard $line\" >/dev/hvc0) & reader=$!")
    await first.type(b"typed words\n")
    await first.until(b"heard typed words")
    await guest.tell("seq 1 100 >/dev/hvc0")
    await first.until(b"100")
    first.socket.close()
    await second.type(b"by the second\n")
    await guest.tell("read line </dev/hvc0; echo \"heard $line\" >/dev/hvc0")
    await second.until(b"heard by the second")
    await guest.tell("echo for the file >/dev/hvc1")
    labels = {c["label"]: c["frontend-open"] for c in await client.execute("query-chardev")}
    assert labels["c0"] and labels["c1"], labels
    names = {c["label"]: c["filename"] for c in await client.execute("query-chardev")}
    assert names == {"c0": f"unix:{work}/console.sock,server=on", "c1": "file",
                     "compat_monitor0": f"unix:{guest.socket},server=on"}, names
    await refused(client, "chardev-remove", {"id": "c0"}, about="used by 'con0'")
    await refused(client, "device_add", {"driver": "virtconsole", "id": "x"}, about="from the start")
    await guest.tell("echo last words >/dev/hvc0")
    await client.execute("quit")
    await second.until(b"last words")
    assert await guest.status() == 0
    with open(f"{work}/out", "rb") as out:
        assert out.read() == b"for the file\r\n"


async def clients():
    """Several clients at once: each negotiates for itself, answers go to who asked, events to all."""
    async with Guest() as guest:
        await guest.until("guest-ready")
        first, second = await guest.client(), await guest.client()
        silent = QMPClient("silent")
        silent.negotiate = False
        await silent.connect(guest.socket)
        await refused(silent, "query-status", error="CommandNotFound", about="qmp_capabilities")
        heard = [Heard(client, "STOP") for client in (first, second)]
        answers = await asyncio.gather(first.execute("query-name"), second.execute("query-kvm"))
        assert answers == [{}, {"enabled": True, "present": True}]
        await first.execute("stop")
        assert [(await h.next())[0] for h in heard] == ["STOP", "STOP"]
        assert not (await second.execute("query-status"))["running"]
        await guest.part(first)
        await second.execute("cont")
        await guest.tell("true")
        await guest.part(silent)


async def stillness():
    """A stopped guest does nothing, however long; it goes on where it was."""
    async with Guest("-smp", "2") as guest:
        await guest.until("guest-ready")
        client = await guest.client()
        await guest.tell("(while :; do echo tick; sleep 0.1; done) & ticker=$!")
        for _ in range(20):
            await client.execute("stop")
            await client.execute("cont")
        await guest.until("tick")
        await client.execute("stop")
        await guest.fall_silent("tick")
        await client.execute("cont")
        await guest.until("tick")
        await guest.tell("kill $ticker")


async def monitor():
    """The inherited connection: it hears that the guest runs, however late it negotiates, and how it ends; its end is the engine's."""
    ours, theirs = socket.socketpair()
    async with Guest("-monitor-fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),)) as guest:
        theirs.close()
        await guest.until("guest-ready")
        lines = ours.makefile("rw", encoding="utf-8")
        ours.settimeout(DEADLINE_S)
        assert '"QMP"' in lines.readline()
        lines.write('{"execute":"qmp_capabilities"}\n')
        lines.flush()
        assert '"return"' in lines.readline()
        assert '"NACRE_RUNNING"' in lines.readline()
        await guest.tell("true")
        lines.close()
        ours.close()
        assert await guest.status() == 0


async def crash():
    """A guest that ends by a triple fault has crashed; one that resets has shut down."""
    for params, crashed, reason in (("reboot=t", True, "guest-panic"), ("reboot=k", False, "guest-reset")):
        async with Guest(kernel=("-append", f"quiet {params}"), stderr=asyncio.subprocess.PIPE) as guest:
            await guest.until("guest-ready")
            client = await guest.client()
            heard = Heard(client, "GUEST_CRASHED", "SHUTDOWN")
            guest.process.stdin.write(b"reboot -f\n")
            if crashed:
                event, data = await heard.next()
                assert event == "GUEST_CRASHED" and "triple fault" in data["reason"], data
            assert await heard.next() == ("SHUTDOWN", {"guest": True, "reason": reason})
            assert await guest.status() == 0
            said = (await guest.process.stderr.read()).decode()
            assert ("triple fault" in said) == crashed, said


async def read_pipe(fd):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0))
    return reader


def by_descriptor_options(fds):
    """Kernel, initramfs, disk, console and the file of another console, all by names of sets."""
    kernel, initrd, image, console, out = (f"/dev/fdset/{i}" for i in range(5))
    sets = [word for i, fd in enumerate(fds) for word in ("-add-fd", f"fd={fd},set={i}")]
    return [VMM, "-kernel", kernel, "-initrd", initrd, "-m", "128", "-append", "quiet",
            "-serial", f"file:{console}", "-drive", f"id=d,file={image}", "-device", "virtio-blk-device,drive=d",
            "-device", "virtio-serial-device", "-chardev", f"file,id=c,path={out}", "-device", "virtconsole,chardev=c",
            *sets]


async def by_descriptor():
    """What the command line names can be a descriptor, and is there after a reset, when the names are gone."""
    with tempfile.TemporaryDirectory(prefix="qmp.") as work, disk(1 << 20) as file:
        file.write(b"by descriptor\n")
        file.flush()
        initrd = make_initramfs(work, "read -r words </dev/vda; echo \"read $words\"; echo to the file >/dev/hvc0")
        out, console = os.pipe()
        fds = (os.open(KERNEL, os.O_RDONLY), os.open(initrd, os.O_RDONLY), file.fileno(), console,
               os.open(f"{work}/out", os.O_WRONLY | os.O_CREAT))
        guest = Guest(pass_fds=fds)
        guest.command = by_descriptor_options(fds) + ["-qmp", f"unix:{guest.socket},server,nowait"]
        async with guest:
            os.close(console)
            os.unlink(initrd)
            guest.talks = await read_pipe(out)
            client = await guest.client()
            for _ in range(2):
                await guest.until("read by descriptor")
                await guest.until("guest-ready")
                await client.execute("system_reset")
        with open(f"{work}/out", "rb") as written:
            assert written.read() == 2 * b"to the file\r\n"


async def reset_is_end():
    """What -no-reboot says of the guest's resets holds for system_reset, too; without it, a guest that runs not yet is as new."""
    for options, reason in ((("-no-reboot",), "host-qmp-system-reset"), ((), "host-qmp-quit")):
        async with Guest("-S", *options) as guest:
            client = await guest.client()
            heard = Heard(client, "RESET", "SHUTDOWN")
            await client.execute("system_reset")
            if not options:
                assert await heard.next() == ("RESET", {"guest": False, "reason": "host-qmp-system-reset"})
                await client.execute("quit")
            assert await heard.next() == ("SHUTDOWN", {"guest": False, "reason": reason})
            assert await guest.status() == 0


async def reboot():
    """With -action reboot=reset a guest that resets begins anew, as often as it likes, and what was plugged stays."""
    with disk(1 << 20) as file:
        async with Guest(*HOTPLUG, "-action", "reboot=reset") as guest:
            await guest.until("guest-ready")
            client = await guest.client()
            await plug_disk(client, file, "d0", "0")
            await sectors(guest, "vda", 2048)
            heard = Heard(client, "RESET", "SHUTDOWN")
            for _ in range(2):
                guest.process.stdin.write(b"reboot -f\n")
                assert await heard.next() == ("RESET", {"guest": True, "reason": "guest-reset"})
                await guest.until("guest-ready")
            await sectors(guest, "vda", 2048)


async def many():
    """Eight disks and three network interfaces come while the guest does I/O, and go."""
    files = [disk(4 << 20) for _ in range(9)]
    root = files[8].fileno()
    async with Guest(*HOTPLUG, "-smp", "2", "-drive", f"id=r,fd={root}", "-device",
                     "virtio-blk-device,drive=r,id=root", pass_fds=(root,)) as guest:
        await guest.until("guest-ready")
        client = await guest.client()
        await guest.tell("(while [ ! -e /stop ]; do dd if=/dev/zero of=/dev/vda bs=64k count=8 conv=fsync "
                         "2>/dev/null; done; echo >/stopped) &")
        for i in range(8):
            await plug_disk(client, files[i], f"d{i}", i + 1)
        for i, name in enumerate("bcdefghi"):
            await sectors(guest, f"vd{name}", 8192)
            await guest.tell(f"echo disk-{i} >/dev/vd{name} && sync")
        for i in range(3):
            with open(tap(f"nacre-qmp{i}"), "rb", buffering=0) as device:
                client.send_fd_scm(device.fileno())
                await client.execute("getfd", {"fdname": "t"})
            await client.execute("netdev_add", {"type": "tap", "id": f"n{i}", "fd": "t"})
            await client.execute("device_add", {"driver": "virtio-net-mmio", "id": f"nic{i}",
                                                "netdev": f"n{i}", "addr": str(i)})
            await guest.tell(f"ip link set eth{i} up")
        await refused(client, "device_add", {"driver": "virtio-net-mmio", "id": "nic9",
                                             "netdev": "n0"}, about="used by")
        for i in range(3):
            await client.execute("device_del", {"id": f"nic{i}"})
            await client.execute("netdev_del", {"id": f"n{i}"})
        for i in range(8):
            await unplug_disk(client, f"d{i}")
        await guest.tell("touch /stop; until [ -e /stopped ]; do sleep 0.1; done")
        for i in range(8):
            files[i].seek(0)
            assert files[i].read(7) == f"disk-{i}\n".encode(), i
    for file in files:
        file.close()


CASES = {case.__name__: case for case in (every_command, consoles, clients, stillness, monitor, crash, by_descriptor, reset_is_end,
                                        reboot, many)}

if __name__ == "__main__":
    asyncio.run(CASES[sys.argv[1]]())
