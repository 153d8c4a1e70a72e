"""What an answer must have for a client that was generated from QEMU 7.2's schema: each member that is not optional there.

By command: where in the answer, "" for the answer itself (or each element of it), and the members. What is not there, as an
`inserted` is optional, has nothing to lack.
"""
REQUIRED = {
    "query-version": {"": "qemu package", "qemu": "major minor micro"},
    "query-commands": {"": "name"},
    "query-status": {"": "running singlestep status"},
    "query-kvm": {"": "enabled present"},
    "query-target": {"": "arch"},
    "query-machines": {"": "name cpu-max hotpluggable-cpus numa-mem-supported deprecated"},
    "query-uuid": {"": "UUID"},
    "query-cpus-fast": {"": "cpu-index qom-path thread-id target"},
    "query-hotpluggable-cpus": {"": "type vcpus-count props"},
    "add-fd": {"": "fdset-id fd"},
    "query-fdsets": {"": "fdset-id fds", "fds": "fd"},
    "query-block": {
        "": "device type removable locked",
        "inserted": "file ro drv backing_file_depth encrypted detect_zeroes bps bps_rd bps_wr iops iops_rd "
                    "iops_wr image cache write_threshold",
        "inserted.image": "filename format virtual-size",
        "inserted.cache": "writeback direct no-flush",
    },
    "query-blockstats": {
        "": "stats",
        "stats": "rd_bytes wr_bytes unmap_bytes rd_operations wr_operations flush_operations unmap_operations "
                 "rd_total_time_ns wr_total_time_ns flush_total_time_ns unmap_total_time_ns wr_highest_offset "
                 "rd_merged wr_merged unmap_merged failed_rd_operations failed_wr_operations "
                 "failed_flush_operations failed_unmap_operations invalid_rd_operations invalid_wr_operations "
                 "invalid_flush_operations invalid_unmap_operations account_invalid account_failed timed_stats",
    },
    "query-iothreads": {"": "id thread-id poll-max-ns poll-grow poll-shrink aio-max-batch"},
    "query-chardev": {"": "label filename frontend-open"},
    "query-qmp-schema": {"": "name meta-type"},
}


def at(answer, path):
    """All objects of the answer there."""
    found = answer if isinstance(answer, list) else [answer]
    for name in path.split(".") if path else ():
        below = [o[name] for o in found if name in o]
        found = [o for b in below for o in (b if isinstance(b, list) else [b])]
    return found


def lacking(command, answer):
    """The required members that are not there, as PATH.NAME."""
    return [f"{path}.{name}" for path, names in REQUIRED.get(command, {}).items()
            for o in at(answer, path) for name in names.split() if name not in o]
