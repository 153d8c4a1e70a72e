# The rows of `make bench`, in the order of the table and the page. A row is a field that a case of some group measures: to add one, write
# its measurement into a group (starts.py, memory.py, containers.py: cases() yields a name and the subjects), and name it here.

from dataclasses import dataclass

import monitors


@dataclass(frozen=True)
class Row:
    group: str
    field: str
    title: str
    unit: str
    target_ratio: float = 0  # to the baseline; 0: none
    target_value: float = 0  # in `unit`; 0: none
    baseline: str = "qemu"


ROWS = (
    Row("starts", "entry", "exec to first guest instruction", "ms", target_ratio=0.25),
    Row("starts", "whole", "exec to guest init to exit", "ms", target_ratio=0.5),
    Row("starts-rdrand", "entry", "RDRAND: exec to first guest instruction", "ms", target_ratio=0.25),
    Row("starts-rdrand", "whole", "RDRAND: exec to guest init to exit", "ms", target_ratio=0.5),
    Row("memory", "rss", "RSS outside guest RAM", "MiB", target_value=2),
    Row("memory", "pss", "PSS outside guest RAM", "MiB"),
    Row("memory", "dirty", "private dirty outside guest RAM", "MiB", target_value=0.7),
    Row("containers", "oci", "run of /bin/true, OCI command line", "ms", baseline="runc"),
    Row("containers", "ctr", "ctr run of /bin/true", "ms", baseline="runc"),
)


@dataclass(frozen=True)
class Group:
    title: str
    module: str
    iterations: int  # the first is thrown away
    host: tuple      # options of tests/host/run where there is no KVM for Linux guests
    programs: tuple  # compared
    containerd: bool = False


MONITORS = (monitors.VMM, monitors.QEMU)
EXACT = ("--memory", "3072", "--icount")
GROUPS = {
    "starts": Group("Starts: same kernel, initramfs and 256 MiB of memory, one vCPU", "starts", 6, EXACT, MONITORS),
    # A processor without RDRAND makes a guest pay for each early random number, unless it is given a seed: both are shown.
    "starts-rdrand": Group("The same starts on a processor with RDRAND", "starts", 6, EXACT + ("--rdrand",), MONITORS),
    "memory": Group("Memory of the host beside the guest's: idle, with fs, vsock, blk and net", "memory", 3,
                    ("--memory", "3072"), MONITORS),
    "containers": Group("A whole container: /bin/true of busybox", "containers", 4,
                        ("--memory", "6144", "--containerd"), ("nacre", "runc", "crun", "containerd"),
                        containerd=True),
}
