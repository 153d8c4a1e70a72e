"""Runs a command on a pseudo-terminal and plays a script to it.

on_pty.py [--size ROWSxCOLS] [--expect TEXT | --send TEXT | --resize ROWSxCOLS]... -- COMMAND...

After --resize the command is told of it again each second until what is expected comes: it may not listen yet.
Prints what the terminal showed; exits with the command's status, or 99 when an expected text did not come in time.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

DEADLINE_S = 120


def set_size(fd, text):
    rows, cols = (int(n) for n in text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def read_some(fd, timeout):
    if not select.select([fd], [], [], timeout)[0]:
        return None
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def main():
    args = sys.argv[1:]
    split = args.index("--")
    script, command = args[:split], args[split + 1:]
    steps = list(zip(script[::2], script[1::2]))
    size = next((value for name, value in steps if name == "--size"), "24x80")
    deadline = time.monotonic() + DEADLINE_S

    pid, master = pty.fork()
    if pid == 0:
        set_size(0, size)
        os.execvp(command[0], command)
    set_size(master, size)

    seen, mark, resized = b"", 0, False
    for name, value in steps:
        if name == "--expect":
            while value.encode() not in seen[mark:]:
                left = max(0, deadline - time.monotonic())
                data = read_some(master, min(left, 1) if resized else left)
                if data is None and resized and left:
                    os.kill(pid, signal.SIGWINCH)
                    continue
                if not data:
                    sys.stdout.buffer.write(seen)
                    print(f"\nexpected {value!r}")
                    sys.exit(99)
                seen += data
            mark = seen.index(value.encode(), mark) + len(value)
        elif name == "--send":
            os.write(master, value.encode())
        elif name == "--resize":
            set_size(master, value)
            resized = True
    while True:
        data = read_some(master, max(0, deadline - time.monotonic()))
        if not data:
            break
        seen += data
    sys.stdout.buffer.write(seen)
    sys.stdout.flush()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        print(f"ended with {code}", file=sys.stderr)
    sys.exit(code)


main()
