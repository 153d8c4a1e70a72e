"""A microVM run by hand, with a shell on its console and QMP on a socket, for qmp_cases.py.

The guest is Nacre's kernel with busybox: what it is told on the console it does. QMP is spoken by QEMU's own client.
"""
import asyncio
import os
import subprocess
import tempfile

from qemu.qmp import EventListener, QMPClient

VMM = "/usr/libexec/nacre/vmm"
KERNEL = "/usr/share/nacre/kernel-x86_64"
# The namespaces that an engine's jail begins with (nacre-vmm(8), -jail).
NAMESPACES = ["setpriv", "--clear-groups", "unshare", "--map-root-user", "--mount", "--pid", "--ipc",
              "--uts", "--fork", "--kill-child"]
DEADLINE_S = 240
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
%s
stty -echo
echo guest-ready
while read -r line; do
	eval "$line"
	echo "guest-did $?"
done
"""


def make_tree(work, first=""):
    """The path of a root file system whose init is the shell above; `first` comes before the shell."""
    tree = f"{work}/initramfs"
    for folder in ("bin", "dev", "mnt", "proc", "sys"):
        os.makedirs(f"{tree}/{folder}")
    subprocess.run(["cp", "/bin/busybox", f"{tree}/bin/busybox"], check=True)
    with open(f"{tree}/init", "w", encoding="utf-8") as init:
        init.write(INIT % first)
    os.chmod(f"{tree}/init", 0o755)
    return tree


def make_initramfs(work, first=""):
    """The path of an initramfs of that."""
    tree = make_tree(work, first)
    subprocess.run(f"find . | busybox cpio -o -H newc >{work}/initramfs.cpio", shell=True,
                   cwd=tree, check=True, stderr=subprocess.DEVNULL)
    return f"{work}/initramfs.cpio"


class Guest:
    """One engine and its guest: `async with Guest(...) as guest`. With `jail` it is confined to the directory guest.root."""

    def __init__(self, *options, pass_fds=(), kernel=("-append", "quiet"), jail=False, stderr=None):
        self.work = tempfile.mkdtemp(prefix="qmp.")
        self.root = f"{self.work}/root"
        self.socket = f"{self.work}/qmp.sock"
        self.console = ""
        self.clients = []
        self.command = [VMM, "-kernel", KERNEL, "-initrd",
                        make_initramfs(self.work), "-m", "128", "-serial", "stdio", *kernel,
                        "-qmp", f"unix:{self.socket},server,nowait", *options]
        if jail:
            os.mkdir(self.root)
            self.command = [*NAMESPACES, *self.command, "-jail", self.root]
        self.pass_fds = pass_fds
        self.stderr = stderr

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, pass_fds=self.pass_fds)
        self.listens, self.talks = self.process.stdin, self.process.stdout
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            await self.part(client)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        subprocess.run(["rm", "-rf", self.work], check=True)

    async def appears(self, path):
        """The engine makes that, unless it ends."""
        for _ in range(DEADLINE_S * 10):
            if os.path.exists(path):
                return
            if self.process.returncode is not None:
                raise AssertionError(f"the engine ended with {self.process.returncode}")
            await asyncio.sleep(0.1)
        raise AssertionError(f"there is no {path}")

    async def client(self):
        """One more client, greeted and negotiated."""
        await self.appears(self.socket)
        client = QMPClient("test")
        await client.connect(self.socket)
        self.clients.append(client)
        return client

    async def part(self, client):
        """The end of a client; that the engine has ended before is no fault of it."""
        try:
            await client.disconnect()
        except EOFError:
            pass
        if client in self.clients:
            self.clients.remove(client)

    async def until(self, text):
        """What the console says up to `text`, which it must."""
        while text not in self.console:
            data = await asyncio.wait_for(self.talks.read(4096), DEADLINE_S)
            if not data:
                raise AssertionError(f"the console ended without '{text}': {self.console}")
            self.console += data.decode(errors="replace")
        before, _, self.console = self.console.partition(text)
        return before.replace("\r", "")

    async def fall_silent(self, text):
        """What was on its way comes, and then nothing: who is not silent says `text` ten times a second and has no end."""
        quiet = False
        while not quiet:
            try:
                data = await asyncio.wait_for(self.talks.read(4096), 5)
                self.console += data.decode(errors="replace")
                assert self.console.count(text) < 200, "a stopped guest goes on talking"
            except asyncio.TimeoutError:
                quiet = True
        self.console = ""

    async def tell(self, command):
        """Has the guest's shell do it; what it printed."""
        self.listens.write(command.encode() + b"\n")
        await self.listens.drain()
        said = await self.until("guest-did ")
        status = await self.until("\n")
        assert status == "0", f"'{command}' in the guest: status {status}: {said}"
        return said.strip()

    async def status(self):
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)


class Heard:
    """The events a client has had since it was made, in order."""

    def __init__(self, client, *names):
        self.listener = EventListener(set(names) or None)
        client.register_listener(self.listener)

    async def next(self):
        event = await asyncio.wait_for(self.listener.get(), DEADLINE_S)
        return event["event"], event.get("data", {})
