# How long a whole container takes: /bin/true of busybox, by the OCI command line and by containerd's ctr, against runc and
# crun. The callers are the same programs for all; what differs is the runtime.

import json
import os
import shutil
import subprocess
import time

IMAGE = "docker.io/nacre/busybox:latest"
BUNDLE = "/tmp/bench/bundle"
SHIMS = {
    "nacre": ["--runtime", "io.containerd.nacre.v2"],
    "runc": ["--runtime", "io.containerd.runc.v2"],
    "crun": ["--runtime", "io.containerd.runc.v2", "--runc-binary", "crun"],
}


def run_quietly(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stdout[-500:]!r}")


def make_bundle():
    shutil.rmtree(BUNDLE, ignore_errors=True)
    os.makedirs(BUNDLE)
    mount = f"{BUNDLE}/image"
    os.mkdir(mount)
    run_quietly(["ctr", "image", "mount", IMAGE, mount])
    try:
        shutil.copytree(mount, f"{BUNDLE}/rootfs", symlinks=True)
    finally:
        run_quietly(["ctr", "image", "unmount", "--rm", mount])
    subprocess.run(["runc", "spec"], cwd=BUNDLE, check=True)
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as file:
        spec = json.load(file)
    spec["process"].update(terminal=False, args=["/bin/true"])
    with open(f"{BUNDLE}/config.json", "w", encoding="utf-8") as file:
        json.dump(spec, file)


def timed(field, argv_of):
    count = 0

    def measure(_):
        nonlocal count
        count += 1
        argv = argv_of(f"bench-{os.getpid()}-{field}-{count}")
        start = time.monotonic_ns()
        run_quietly(argv)
        return {field: (time.monotonic_ns() - start) / 1e6}
    return measure


def oci(runtime):
    return timed("oci", lambda name: [runtime, "run", "--bundle", BUNDLE, f"{name}-{runtime}"])


def ctr(runtime):
    return timed("ctr", lambda name: ["ctr", "run", "--rm"] + SHIMS[runtime] +
                 [IMAGE, f"{name}-{runtime}", "/bin/true"])


def cases():
    make_bundle()
    yield ("oci", {runtime: oci(runtime) for runtime in SHIMS})
    yield ("ctr", {runtime: ctr(runtime) for runtime in SHIMS})
