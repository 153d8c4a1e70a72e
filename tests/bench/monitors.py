# The command lines of the monitors that are compared: same kernel, same initramfs, same guest memory, one vCPU.
#
# QEMU gets what its documentation names for a fast microvm: no timer, no interrupt controller beside KVM's, no real-time
# clock, no option ROMs. It ends, as we do, when its guest resets by a triple fault.

import os
import subprocess

KERNEL = "/tmp/bench/kernel"
INITRAMFS = "/tmp/bench/initramfs"
MEMORY_MIB = 256
# Of the runtime's parameters for its guest kernel (config/vm_plan.c) those that a start without a pod feels; for all monitors.
APPEND = "reboot=t quiet initcall_blacklist=blake2s_mod_init,slab_late_init"
# What the vmm adds for its guest and another monitor could: the row "qemu, our parameters" has it too.
OURS = "panic=-1 noreplace-smp 8250.nr_uarts=0 reboot=t,force"

VMM = "/usr/libexec/nacre/vmm"
QEMU = "/usr/bin/qemu-system-x86_64"
MICROVM = "microvm,accel=kvm,pit=off,pic=off,rtc=off,x-option-roms=off,acpi=off"


def boot(append, hold=False):
    tail = " -- hold" if hold else ""
    return ["-kernel", KERNEL, "-initrd", INITRAMFS, "-m", str(MEMORY_MIB), "-smp", "1",
            "-append", append + tail]


def nacre(extra="", hold=False):
    serial = ["-serial", "stdio"] if hold else []
    return [VMM, "-machine", "microvm,pit=off"] + serial + boot(f"{APPEND} {extra}".strip(), hold)


def qemu(extra="", hold=False, memory_object=False):
    serial = "on" if hold else "off"
    machine = f"{MICROVM},isa-serial={serial}"
    if memory_object:
        machine += ",memory-backend=ram"
    console = ["-serial", "stdio"] if hold else ["-serial", "none"]
    append = f"{APPEND} {extra}".strip()
    if hold:
        append = f"console=ttyS0 {append}"
    return ([QEMU, "-M", machine, "-cpu", "host", "-nodefaults", "-no-user-config", "-display", "none",
             "-no-reboot"] + console + boot(append, hold))


def versions(programs):
    """What was compared, for the record."""
    def first_line(program):
        done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True, text=True)
        return done.stdout.partition("\n")[0]
    return {os.path.basename(program): first_line(program) for program in programs} | {
        "kernel of the host": os.uname().release}
