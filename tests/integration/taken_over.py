#!/usr/bin/python3
"""Acts as somebody who has taken a monitor over.

taken_over.py broker PID: forged requests over the monitor's own socket to its broker, as PID's descriptor; one line each, what was
asked and the errno's name (or OK) that came back.
taken_over.py rebind PID ID BUNDLE: the same, with which the sandbox's own container is taken away and one of the same bundle is made
that has the host's root directory, or a file system of the kernel's, for its own.
taken_over.py garbage PID: a packet that is no request.
taken_over.py call PID NUMBER [ARG...]: a system call made by the process itself; prints what it returned, or the signal that ended it.
"""
import ctypes
import errno
import os
import signal
import socket
import stat
import struct
import sys

SYS_PIDFD_GETFD = 438
OPS = ("add share unshare forget hooks close-hooks mark-oom open-stream connect-guest connect-events record network join "
       "leave mtu seal end").split()

FORGED = [  # operation, container, value, texts
    ("add", 0, 0, ["etc", "/etc"]),
    ("add", 0, 0, ["x", "/proc/1/root"]),
    ("add", 0, 4711, ["x", "/tmp/x"]),
    ("share", 1, 0, ["bind", "/", "", "rbind", ""]),
    ("share", 99, 0, ["bind", "/", "", "rbind", ""]),
    ("forget", 0xffffffff, 0, []),
    ("hooks", 1, 99, []),
    ("hooks", 99, 0, []),
    ("mark-oom", 99, 0, []),
    ("open-stream", 0, 0, ["/etc/shadow"]),
    ("open-stream", 0, 0, ["file:///etc/cron.d/nacre-test"]),
    ("open-stream", 0, 1, ["fd://3"]),
    ("open-stream", 0, 1, ["/dev/kvm"]),
    ("record", 0, 0, ["{}"]),
    ("network", 0, 0, [""]),
    ("join", 0, 1, []),
    ("join", 0, 0xffffffff, []),
    ("leave", 0, 99, []),
    ("mtu", 0, 99, []),
    ("seal", 0, 1, []),
]

HOSTILE_ROOTS = [  # type, source, target, options
    ["overlay", "/", "", "bind"],
    ["overlay", "/", "", "rbind", "ro"],
    ["bind", "/", "", "rbind"],
    ["proc", "proc", ""],
    ["sysfs", "sysfs", ""],
    ["cgroup2", "cgroup2", ""],
]

libc = ctypes.CDLL(None, use_errno=True)


def checked(value):
    if value < 0:
        raise OSError(ctypes.get_errno(), "taking over")
    return value


def broker_socket(pid):
    """A duplicate of the one descriptor that is a socket of packets."""
    pidfd = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        if not stat.S_ISSOCK(os.stat(f"/proc/{pid}/fd/{name}").st_mode):
            continue
        sock = socket.socket(fileno=checked(libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)))
        if sock.type == socket.SOCK_SEQPACKET:
            return sock
    raise SystemExit("no socket to a broker")


def ask(sock, op, container, value, texts):
    return exchange(sock, op, container, value, texts)[0]


def exchange(sock, op, container, value, texts):
    """What came back, and the number with it."""
    packet = struct.pack("<III", OPS.index(op), container, value)
    sock.send(packet + b"".join(t.encode() + b"\0" for t in texts))
    answer, fds, _, _ = socket.recv_fds(sock, 4096, 4)
    for fd in fds:
        os.close(fd)
    code, number = struct.unpack_from("<II", answer)
    return errno.errorcode[code] if code else "OK", number


def rebind(sock, name, bundle):
    print("unshare", ask(sock, "unshare", 1, 0, []))
    outcome, number = exchange(sock, "add", 0, 0, [name, bundle])
    print("add", outcome)
    for mount in HOSTILE_ROOTS:
        print("share", *mount, ask(sock, "share", number, 0, mount + [""]))


# struct user_regs_struct of x86_64, as far as it is used here
REGS = 27
RAX, RDX, RSI, RDI, ORIG_RAX, RIP, R10, R9, R8 = 10, 12, 13, 14, 15, 16, 7, 8, 9
PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_SINGLESTEP, PTRACE_ATTACH, PTRACE_DETACH = 12, 13, 9, 16, 17


def ptrace(request, pid, data=None):
    checked(libc.ptrace(request, pid, None, data))


class NotWaiting(Exception):
    """The thread computes."""


def make_call(pid, number, args):
    """The process or thread waits in a system call: the instruction in front of where it stands makes another one."""
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    ptrace(PTRACE_ATTACH, pid)
    os.waitpid(pid, 0x40000000)  # __WALL
    before = (ctypes.c_ulonglong * REGS)()
    ptrace(PTRACE_GETREGS, pid, ctypes.addressof(before))
    if before[ORIG_RAX] == 2**64 - 1:
        ptrace(PTRACE_DETACH, pid)
        raise NotWaiting(pid)
    regs = (ctypes.c_ulonglong * REGS)(*before)
    regs[ORIG_RAX] = 2**64 - 1  # the interrupted call is not begun again by the kernel
    regs[RIP] -= 2
    regs[RAX] = number
    for where, value in zip((RDI, RSI, RDX, R10, R8, R9), args + [0] * 6):
        regs[where] = value % 2**64
    ptrace(PTRACE_SETREGS, pid, ctypes.addressof(regs))
    ptrace(PTRACE_SINGLESTEP, pid)
    _, status = os.waitpid(pid, 0x40000000)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    ptrace(PTRACE_GETREGS, pid, ctypes.addressof(regs))
    result = ctypes.c_longlong(regs[RAX]).value
    before[RIP] -= 2  # and waits again
    before[RAX] = before[ORIG_RAX]
    before[ORIG_RAX] = 2**64 - 1
    ptrace(PTRACE_SETREGS, pid, ctypes.addressof(before))
    ptrace(PTRACE_DETACH, pid)
    return errno.errorcode[-result] if -4096 < result < 0 else str(result)


def main():
    what, pid = sys.argv[1], int(sys.argv[2])
    if what == "broker":
        sock = broker_socket(pid)
        for op, container, value, texts in FORGED:
            print(op, *texts, ask(sock, op, container, value, texts))
    elif what == "rebind":
        rebind(broker_socket(pid), sys.argv[3], sys.argv[4])
    elif what == "garbage":
        broker_socket(pid).send(b"garbage")
    else:
        print(make_call(pid, int(sys.argv[3]), [int(a, 0) for a in sys.argv[4:]]))


if __name__ == "__main__":
    main()
