#!/usr/bin/python3
"""Drives every QMP command of a jailed engine: qmp_in_jail.py SOCKET DISK. Each must be answered, none may be left out.

A system call that is missing from the main thread's list ends the engine, and with it the connection."""
import array
import fcntl
import json
import os
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI_VNET_HDR = 0x5002


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.lines = self.sock.makefile("r")
        self.used = set()
        self.events = []
        assert "QMP" in self.read()

    def read(self):
        while True:
            line = self.lines.readline()
            assert line, "the engine is gone"
            message = json.loads(line)
            if "event" not in message:
                return message
            self.events.append(message["event"])

    def ask(self, name, passed=None, **arguments):
        """The answer of a command; `passed` is a descriptor to go with it."""
        self.used.add(name)
        text = json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"
        ancillary = []
        if passed is not None:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed]))]
        self.sock.sendmsg([text], ancillary)
        return self.read()

    def do(self, name, passed=None, **arguments):
        answer = self.ask(name, passed, **arguments)
        assert "return" in answer, (name, answer)
        return answer["return"]

    def refused(self, name, **arguments):
        answer = self.ask(name, **arguments)
        assert "error" in answer, (name, answer)
        return answer["error"]["desc"]


def disks(q, path):
    fd = os.open(path, os.O_RDWR)
    q.do("add-fd", fd, **{"fdset-id": 5})
    q.do("blockdev-add", **{"node-name": "n1", "driver": "file", "filename": "/dev/fdset/5"})
    q.do("device_add", driver="virtio-blk-device", drive="n1", id="b1")
    q.do("device_del", id="b1")
    q.do("blockdev-del", **{"node-name": "n1"})
    q.do("remove-fd", **{"fdset-id": 5})
    q.do("getfd", fd, fdname="x")
    q.do("closefd", fdname="x")
    # the host's files are out of reach, and asking for them is no crime
    answer = q.refused("blockdev-add", **{"node-name": "n2", "driver": "file", "filename": path})
    assert "is in its jail and opens nothing" in answer, answer


def network(q):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"", IFF_TAP_NO_PI_VNET_HDR))
    q.do("getfd", tap, fdname="t0")
    q.do("netdev_add", **{"type": "tap", "id": "nd", "fds": "t0"})
    q.do("device_add", driver="virtio-net-device", netdev="nd", id="nic1", mac="02:00:00:00:00:01")
    q.do("device_del", id="nic1")
    q.do("netdev_del", id="nd")
    q.refused("netdev_add", **{"type": "tap", "id": "nx", "ifname": "nacre-none"})


def chardevs(q):
    q.do("chardev-add", id="c1", backend={"type": "null", "data": {}})
    q.do("chardev-remove", id="c1")
    null = os.open("/dev/null", os.O_WRONLY)
    q.do("add-fd", null, **{"fdset-id": 6})
    q.do("chardev-add", id="c2", backend={"type": "file", "data": {"out": "/dev/fdset/6"}})
    q.do("chardev-remove", id="c2")
    answer = q.refused("chardev-add", id="c3", backend={"type": "file", "data": {"out": "/dev/null"}})
    assert "is in its jail and opens nothing" in answer, answer


def threads(q):
    """The host knows them by the numbers that are given."""
    for key, name, found in (("thread_id", "CPU", q.do("query-cpus")), ("thread-id", "CPU", q.do("query-cpus-fast")),
                             ("thread-id", "", q.do("query-iothreads"))):
        for thread in found:
            with open(f"/proc/{thread[key]}/comm", encoding="utf-8") as comm:
                assert comm.read().startswith(name), thread


def main():
    q = Client(sys.argv[1])
    q.do("qmp_capabilities")
    commands = {c["name"] for c in q.do("query-commands")}
    for name in sorted(c for c in commands if c.startswith("query-")):
        q.do(name)
    threads(q)
    q.refused("nacre-vcpu-unplugged", **{"cpu-index": 1})
    q.refused("nacre-start-times", **{"monotonic-us": {"started": 1}})
    q.do("cont")
    disks(q, sys.argv[2])
    network(q)
    chardevs(q)
    q.refused("system_powerdown")
    q.do("stop")
    q.do("system_reset")
    q.do("cont")
    q.do("system_reset")
    for event in ("STOP", "RESUME", "RESET", "DEVICE_DELETED"):
        assert event in q.events, (event, q.events)
    q.do("quit")
    left = commands - q.used
    assert not left, f"never driven: {sorted(left)}"


main()
