#!/usr/bin/python3
# tests/bench/inside.py GROUP: measures one group where guests run (tests/bench/run calls it, in the test host or directly)
# and writes build/bench/GROUP.json. The subjects of a case take turns, so that what drifts drifts for all of them; the first
# round is thrown away.

import importlib
import json
import os
import shutil
import statistics
import sys

sys.dont_write_bytecode = True
import monitors  # noqa: E402
import starts  # noqa: E402
from rows import GROUPS  # noqa: E402

OUT = os.path.realpath(f"{os.path.dirname(os.path.realpath(__file__))}/../../build/bench")


def copy_images():
    """To memory: a file that must be fetched would be measured too."""
    os.makedirs("/tmp/bench", exist_ok=True)
    shutil.copy("/usr/share/nacre/kernel-x86_64", monitors.KERNEL)
    shutil.copy(f"{OUT}/initramfs", monitors.INITRAMFS)


def measure_case(name, subjects, iterations, tracer):
    samples = {subject: {} for subject in subjects}
    for iteration in range(iterations):
        for subject, measure in subjects.items():
            fields = measure(tracer)
            print(f"bench: {name} {iteration} {subject}: " +
                  ", ".join(f"{field} {value:.3f}" for field, value in fields.items()),
                  file=sys.stderr, flush=True)
            if iteration > 0:
                for field, value in fields.items():
                    samples[subject].setdefault(field, []).append(value)
    return samples


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "samples": values}


def main():
    group = GROUPS[sys.argv[1]]
    module = importlib.import_module(group.module)
    copy_images()
    tracer = starts.Tracer() if group.module == "starts" else None
    fields = {}
    try:
        for name, subjects in module.cases():
            samples = measure_case(name, subjects, group.iterations, tracer)
            for subject, found in samples.items():
                for field, values in found.items():
                    fields.setdefault(field, {})[subject] = summary(values)
    finally:
        if tracer:
            tracer.close()
        shutil.rmtree("/tmp/bench", ignore_errors=True)
    result = {"group": sys.argv[1], "versions": monitors.versions(group.programs), "fields": fields}
    with open(f"{OUT}/{sys.argv[1]}.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


main()
