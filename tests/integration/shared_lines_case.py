"""A guest with more devices than interrupt lines (qmp.bats): disks behind shared lines are written and read all at once, and one of
them goes meanwhile."""
import asyncio

from qmp_cases import disk, plug_disk, sectors, unplug_disk
from qmp_guest import Guest

SLOTS = 40
# There are 19 lines; from the 20th slot on they are shared, from the last one downwards (vmm/arch/arch.h, arch_virtio_slot).
LINES = ((18, 19, 38), (17, 20, 39), (16, 21), (1, 36), (0, 37))
DISKS = sorted(slot for line in LINES for slot in line)
GOES = 19
MIB = 1 << 20
BYTES = 8 << 14
# One disk, over and over, with data that no other disk and no other round has, until all are told to stop; its last round stays on it.
WORK = ("work() { n=0; while [ ! -e /stop ]; do n=$((n + 1)); "
        'yes "$1 round $n" | dd of=/dev/$1 bs=16k count=8 iflag=fullblock conv=fsync || return; '
        f'yes "$1 round $n" | head -c {BYTES} | cmp -n {BYTES} - /dev/$1 || return; '
        "echo $n >/new-$1; mv /new-$1 /rounds-$1; done; touch /fine-$1; }")


def name_of(slot):
    """vda, .., vdz, vdaa, ..: as Linux counts."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "vd" + (letters[slot // 26 - 1] if slot >= 26 else "") + letters[slot % 26]


def devices_of(line):
    """Of a line of /proc/interrupts."""
    return {int(word.strip(",").removeprefix("virtio")) for word in line.split() if word.startswith("virtio")}


async def wait(guest, condition):
    await guest.tell(f"n=0; until {condition} || [ $n = 1200 ]; do n=$((n + 1)); sleep 0.1; done; [ $n -lt 1200 ]")


async def goes_on(guest, slots):
    """Each of those disks comes to the end of two more rounds."""
    for slot in slots:
        name = name_of(slot)
        await guest.tell(f"from=$(cat /rounds-{name} 2>/dev/null || echo 0)")
        await wait(guest, f"[ $(($(cat /rounds-{name} 2>/dev/null || echo 0) - from)) -ge 2 ]")


async def plug_all(guest, client, files):
    for slot in DISKS:
        await plug_disk(client, files[slot], f"d{slot}", slot)
    for slot in DISKS:
        await sectors(guest, name_of(slot), MIB >> 9)
    seen = [devices_of(line) for line in (await guest.tell("cat /proc/interrupts")).splitlines()]
    for line in LINES:
        assert any(set(line) <= devices for devices in seen), (line, seen)


def expect_last_round(file, name, n):
    line = f"{name} round {n}\n".encode()
    file.seek(0)
    assert file.read(BYTES) == (line * (BYTES // len(line) + 1))[:BYTES], (name, n)


async def drive(guest, files):
    client = await guest.client()
    staying = [slot for slot in DISKS if slot != GOES]
    await guest.tell("dmesg -n 1")  # what fails on a disk that goes is no word of the shell's
    await plug_all(guest, client, files)
    await guest.tell(WORK)
    for slot in DISKS:
        await guest.tell(f"work {name_of(slot)} >/said-{name_of(slot)} 2>&1 &")
    await goes_on(guest, DISKS)
    await unplug_disk(client, f"d{GOES}")
    await sectors(guest, name_of(GOES), 0)
    await goes_on(guest, staying)
    await guest.tell("touch /stop")
    for slot in staying:
        await wait(guest, f"[ -e /fine-{name_of(slot)} ]")
        expect_last_round(files[slot], name_of(slot), await guest.tell(f"cat /rounds-{name_of(slot)}"))


async def main():
    files = {slot: disk(MIB) for slot in DISKS}
    async with Guest("-machine", f"type=microvm,hotplug-blk={SLOTS}", "-smp", "2") as guest:
        await guest.until("guest-ready")
        await drive(guest, files)


asyncio.run(main())
