"""Disks of a running pod over its QMP socket: `qmp_pod.py SOCKET plug|unplug FILE...`, `qmp_pod.py SOCKET full FILE`, `... empty`.

A disk is named after its file, which goes over as a descriptor. Each call is a client of its own, as if many people did it.
"""
import asyncio
import os
import sys

from qemu.qmp import QMPClient
from qmp_cases import plug_disk, refused, unplug_disk


def name_of(path):
    return os.path.basename(path)


async def plug(client, *paths):
    for path in paths:
        with open(path, "r+b") as file:
            await plug_disk(client, file, name_of(path))
    known = {block["qdev"] for block in await client.execute("query-block") if "qdev" in block}
    assert {f"dev-{name_of(path)}" for path in paths} <= known, known


async def unplug(client, *paths):
    for path in paths:
        await unplug_disk(client, name_of(path))


async def full(client, path):
    """As many as configured, and not one more; who is refused has nothing to take back but what it has added."""
    try:
        with open(path, "r+b") as file:
            await plug_disk(client, file, name_of(path))
    except Exception as failure:
        assert "spare slots" in str(failure), failure
    else:
        raise AssertionError("there was a slot left")
    await client.execute("blockdev-del", {"node-name": name_of(path)})


async def empty(client):
    """Nothing that came is left."""
    assert await client.execute("query-fdsets") == []
    blocks = await client.execute("query-block")
    assert blocks == [], blocks
    await refused(client, "device_del", {"id": "dev-disk0"}, error="DeviceNotFound")


async def main(path, do, *args):
    client = QMPClient("pod")
    await client.connect(path)
    try:
        await {"plug": plug, "unplug": unplug, "full": full, "empty": empty}[do](client, *args)
    finally:
        await client.disconnect()


asyncio.run(main(*sys.argv[1:]))
