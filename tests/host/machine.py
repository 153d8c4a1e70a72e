# One QEMU machine with nested SVM: the process, its QMP monitor, its channels and its shares.
#
# Nothing here has a name that another run could meet or that a killed run could leave behind:
# channels are socket pairs, the console is a memfd, virtiofsd listens on an abstract socket, and
# every child dies with us (PR_SET_PDEATHSIG).
#
# Shares are plugged in after the boot, since QEMU cannot save a machine that has a vhost-user-fs
# device. Guest memory is a memfd of ours: virtiofsd maps it, and a saved machine's memory is copied
# by its data extents only, which is what makes both saving and restoring quick.

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess

QEMU = "qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
CHANNELS = ("ctl", "in", "out", "err")
SHARE_SLOTS = 8
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class HostError(Exception):
    """The host could not be started or used; the text says what to do."""


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(argv, fds, **kwargs):
    # A session of its own: the terminal's Ctrl-C reaches us alone, and we end the children.
    return subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, start_new_session=True,
                            preexec_fn=die_with_parent, **kwargs)


def qemu_version():
    if not shutil.which(QEMU):
        raise HostError(f"'{QEMU}' not found; install the packages of tests/host/host-packages")
    out = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return out.splitlines()[0]


def cpu_args(cpus, icount, rdrand):
    if not icount:
        # One more than the host works on: its init keeps all from the first one, and says why.
        return ["-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm,+npt", "-smp", str(cpus + 1)]
    # One instruction is one nanosecond, and no run differs from another: no wall clock, one thread,
    # and random instructions, if at all, from the seed. More than one CPU hangs.
    model = "EPYC,+svm,+npt" if rdrand else "EPYC,+svm,+npt,-rdrand,-rdseed"
    return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1",
            "-rtc", "base=2026-01-01,clock=vm", "-seed", "1",
            "-cpu", model]


def kernel_args(host_dir, icount):
    # TCG finds translated code by its virtual address: with random addresses every exec is
    # translated anew, which made processes twenty times as slow to start.
    append = "console=ttyS0 reboot=t panic=-1 quiet mitigations=off norandmaps"
    if icount:
        append += " nokaslr"
    return ["-kernel", f"{host_dir}/vmlinuz", "-initrd", f"{host_dir}/initramfs", "-append", append]


def device_args(host_dir):
    args = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-drive", f"file={host_dir}/root.erofs,if=none,id=root,format=raw,readonly=on,"
                      "file.locking=off",
            "-device", "virtio-blk-pci,drive=root",
            "-device", "virtio-serial-pci,id=serial,max_ports=8"]
    for number, name in enumerate(CHANNELS, 1):
        args += ["-device", f"virtserialport,bus=serial.0,nr={number},chardev={name},name={name}"]
    for slot in range(SHARE_SLOTS):
        args += ["-device", f"pcie-root-port,id=slot{slot},chassis={slot},slot={slot}"]
    return args


class Machine:
    def __init__(self, host_dir, memory_mib, cpus, icount, rdrand=False):
        self.host_dir = host_dir
        self.prepared = ""  # what else a saved state holds
        self.memory_mib = memory_mib
        self.args = (cpu_args(cpus, icount, rdrand) + kernel_args(host_dir, icount) +
                     device_args(host_dir))
        self.console = os.memfd_create("console")
        fcntl.fcntl(self.console, fcntl.F_SETFL, os.O_APPEND)
        self.children = []
        self.channels = {}
        self.shares = 0
        self.qmp_file = None

    def identity(self):
        """What a saved state depends on: the same text boots the same machine."""
        args = [arg.replace(self.host_dir, "HOST") for arg in self.args]
        return "\n".join([qemu_version(), str(self.memory_mib), self.prepared] + args)

    def start(self, state=None):
        self.ram = os.memfd_create("ram")
        os.ftruncate(self.ram, self.memory_mib << 20)
        fds = [self.console, self.ram]
        size = f"{self.memory_mib}M"
        args = [QEMU, "-M", "q35,memory-backend=ram", "-m", size, "-object",
                f"memory-backend-file,id=ram,size={size},share=on,"
                f"mem-path=/proc/self/fd/{self.ram}",
                "-chardev", f"file,id=console,append=on,path=/proc/self/fd/{self.console}",
                "-serial", "chardev:console"] + self.args
        theirs = []
        for name in CHANNELS + ("qmp",):
            mine, other = socket.socketpair()
            self.channels[name] = mine
            theirs.append(other)
            args += ["-chardev", f"socket,id={name},fd={other.fileno()}"]
        args += ["-mon", "chardev=qmp,mode=control"]
        if state:
            copy_data(f"{state}/ram", self.ram)
            args += ["-incoming", "defer"]
        self.qemu = spawn(args, fds + [s.fileno() for s in theirs], stdout=self.console,
                          stderr=self.console)
        self.children.append(self.qemu)
        for other in theirs:
            other.close()
        self.qmp_open()
        if state:
            self.restore(f"{state}/devices")

    # --- QMP -------------------------------------------------------------------------------

    def qmp_open(self):
        self.qmp_file = self.channels["qmp"].makefile("r")
        if not self.qmp_file.readline():
            raise HostError(f"{QEMU} ended at once")
        self.qmp("qmp_capabilities")

    def qmp(self, command, fd=None, **arguments):
        request = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        if fd is None:
            self.channels["qmp"].sendall(request)
        else:
            socket.send_fds(self.channels["qmp"], [request], [fd])
        return self.qmp_until(lambda reply: "return" in reply or "error" in reply, command)

    def qmp_until(self, wanted, doing):
        for line in self.qmp_file:
            reply = json.loads(line)
            if wanted(reply):
                if "error" in reply:
                    raise HostError(f"{QEMU}: {doing}: {reply['error']['desc']}")
                return reply.get("return")
        raise HostError(f"{QEMU} ended during '{doing}'")

    # --- Saved state -----------------------------------------------------------------------

    def migration_setup(self):
        self.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "x-ignore-shared", "state": True},
            {"capability": "events", "state": True}])

    def migration_end(self, doing):
        def ended(event):
            return (event.get("event") == "MIGRATION" and
                    event["data"]["status"] in ("completed", "failed"))
        status = []
        self.qmp_until(lambda e: ended(e) and (status.append(e["data"]["status"]) or True), doing)
        if status != ["completed"]:
            raise HostError(f"{QEMU}: {doing} failed")

    def save(self, folder):
        """Write the machine, which has no share yet, into an empty folder; it runs on."""
        self.migration_setup()
        self.qmp("stop")
        with open(f"{folder}/devices", "wb") as file:
            self.qmp("getfd", fd=file.fileno(), fdname="state")
            self.qmp("migrate", uri="fd:state")
            self.migration_end("save")
        ram = os.open(f"{folder}/ram", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(ram, self.memory_mib << 20)
        copy_data(f"/proc/self/fd/{self.ram}", ram)
        os.close(ram)
        self.qmp("cont")

    def restore(self, path):
        self.migration_setup()
        with open(path, "rb") as file:
            self.qmp("getfd", fd=file.fileno(), fdname="state")
            self.qmp("migrate-incoming", uri="fd:state")
            self.migration_end("restore")
        self.qmp("cont")

    # --- Shares ----------------------------------------------------------------------------

    def plug_share(self, folder):
        """Plug a host folder in as a virtiofs device; its tag."""
        if self.shares == SHARE_SLOTS:
            raise HostError(f"more than {SHARE_SLOTS} shared folders")
        tag = f"share{self.shares}"
        name = f"nacre-{os.getpid()}-{tag}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + name)
        listener.listen(1)
        self.children.append(spawn(
            [VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={folder}", "-o", "cache=auto",
             "-o", "log_level=warn"],
            [listener.fileno()], stdout=self.console, stderr=self.console))
        listener.close()
        address = {"type": "unix", "data": {"path": name, "abstract": True, "tight": True}}
        self.qmp("chardev-add", id=tag, backend={
            "type": "socket", "data": {"addr": address, "server": False}})
        self.qmp("device_add", driver="vhost-user-fs-pci", id=f"dev-{tag}", chardev=tag, tag=tag,
                 bus=f"slot{self.shares}")
        self.shares += 1
        return tag

    def unplug_shares(self):
        """Take all shares away again; the guest has unmounted them."""
        for slot in range(self.shares):
            self.qmp("device_del", id=f"dev-share{slot}")
            self.qmp_until(lambda e: e.get("event") == "DEVICE_DELETED" and
                           e["data"].get("device") == f"dev-share{slot}", "unplug a share")
            self.qmp("chardev-remove", id=f"share{slot}")
        self.shares = 0

    # --- End -------------------------------------------------------------------------------

    def console_lines(self):
        text = os.pread(self.console, os.fstat(self.console).st_size, 0)
        lines = text.decode(errors="replace").replace("\r", "").splitlines()
        return [line for line in lines if "TCG doesn't support requested feature" not in line]

    def kill(self):
        for child in self.children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()


def copy_data(source, target_fd):
    """Copy the data extents of a sparse file over a file of the same size that has none."""
    with open(source, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            os.lseek(target_fd, at, os.SEEK_SET)
            while at < hole:
                done = os.sendfile(target_fd, file.fileno(), at, hole - at)
                if done == 0:
                    raise HostError(f"'{source}' became shorter while it was copied")
                at += done
