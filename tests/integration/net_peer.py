#!/usr/bin/env python3
# Both ends of a network test. Each byte that arrives is compared, so a frame lost, cut or garbled fails it.
#
#	net_peer.py serve PORT			echoes TCP streams and UDP datagrams, IPv4 and IPv6, until killed
#	net_peer.py ask PORT ADDRESS...		64 KiB and 1 MiB by TCP, datagrams of all sizes and 1 MiB of the
#						largest ones by UDP, there and back
import hashlib
import random
import socket
import sys
import threading

TCP_SIZES = (1 << 16, 1 << 20)
# one frame, one byte more than a frame of 1500, many fragments, the most UDP takes: 1 MiB of those
UDP_SIZES = (1, 1472, 1473, 9000) + (65507,) * 17
DEADLINE_S = 60


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve_stream(conn):
    with conn:
        data = bytearray()
        while chunk := conn.recv(65536):
            data += chunk
        conn.sendall(data)


def serve_tcp(sock):
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=serve_stream, args=(conn,), daemon=True).start()


def serve_udp(sock):
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


def bound(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    return sock


def serve(port):
    stream = bound(socket.SOCK_STREAM, port)
    stream.listen(16)
    datagram = bound(socket.SOCK_DGRAM, port)
    threads = [threading.Thread(target=serve_tcp, args=(stream,)),
               threading.Thread(target=serve_udp, args=(datagram,))]
    for thread in threads:
        thread.start()
    print("serving", flush=True)
    for thread in threads:
        thread.join()


def ask_tcp(address, port, size):
    data = random.randbytes(size)
    with socket.create_connection((address, port), timeout=DEADLINE_S) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        back = bytearray()
        while chunk := sock.recv(65536):
            back += chunk
        sender.join()
    if hashlib.sha256(back).digest() != hashlib.sha256(data).digest():
        sys.exit(f"tcp {address}: {len(back)} of {len(data)} bytes came back, or others")


# UDP may lose what is large; what arrives must be right, and something must.
def ask_udp(address, port, size):
    data = random.randbytes(size)
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        for _ in range(10):
            sock.sendto(data, (address, port))
            try:
                back, _ = sock.recvfrom(65536)
            except TimeoutError:
                continue
            if back != data:
                sys.exit(f"udp {address}: {size} bytes came back as {len(back)}, or others")
            return
    sys.exit(f"udp {address}: nothing of {size} bytes came back")


def ask(address, port):
    for size in TCP_SIZES:
        ask_tcp(address, port, size)
    for size in UDP_SIZES:
        ask_udp(address, port, size)
    print("ok", address, flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    for address in sys.argv[3:]:
        ask(address, int(sys.argv[2]))
