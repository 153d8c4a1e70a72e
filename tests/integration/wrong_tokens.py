#!/usr/bin/python3
# wrong_tokens.py SOCKET CMD...: knocks at a microVM's agent as no monitor would: with wrong tokens, with parts of one, with none.
# Each is turned away, those without a word after the agent's ten seconds; CMD works meanwhile and prints "heard".

import os
import socket
import subprocess
import sys

WRONG = 100
SILENT = 20  # fewer than the agent lets wait at its door
DEADLINE_S = 90


def knock(path, token):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(DEADLINE_S)
    stream.connect(path)
    stream.sendall(b"CONNECT 1024\n")
    line = b""
    while not line.endswith(b"\n"):
        line += stream.recv(1) or sys.exit("turned away before the token")
    assert line.startswith(b"OK "), line
    stream.sendall(token)
    return stream


def turned_away(stream):
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def main():
    path, command = sys.argv[1], sys.argv[2:]
    waiting = [knock(path, os.urandom(i)) for i in range(SILENT)]
    for _ in range(WRONG):
        assert turned_away(knock(path, os.urandom(32)))
    heard = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                           timeout=DEADLINE_S)
    assert heard.stdout == b"heard\n", heard.stdout
    assert all(turned_away(stream) for stream in waiting)


if __name__ == "__main__":
    main()
