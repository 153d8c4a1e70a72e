# Saved states of booted hosts: a second host of the same kind is restored in about a second instead
# of booted in ten. A state is a folder beside the host's image, named by the hash of all it depends
# on, and made by the first run that had to boot. A state that does not come up is thrown away.

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time

from machine import HostError

KEEP_S = 7 * 24 * 3600


def state_path(machine):
    key = hashlib.sha256(machine.identity().encode()).hexdigest()[:16]
    return f"{machine.host_dir}/states/{key}"


def find_state(machine):
    path = state_path(machine)
    if not os.path.isdir(path):
        return None
    os.utime(path)
    return path


@contextlib.contextmanager
def only_one(machine):
    """Held while a state is made: another run that wants the same one waits, and then finds it."""
    folder = os.path.dirname(state_path(machine))
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def save_state(machine):
    """Save the booted machine; within only_one()."""
    path = state_path(machine)
    folder = os.path.dirname(path)
    remove_unused(folder)
    work = tempfile.mkdtemp(prefix="tmp.", dir=folder)
    try:
        machine.save(work)
        os.rename(work, path)
    except OSError as error:
        raise HostError(f"cannot save the booted host in '{path}': {error.strerror}; "
                        "make room or use --fresh") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_unused(folder):
    """What a killed run left behind, or nobody used for a week; the caller holds the lock."""
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        age_s = time.time() - os.stat(path).st_mtime
        if os.path.isdir(path) and (name.startswith("tmp.") or age_s > KEEP_S):
            shutil.rmtree(path, ignore_errors=True)


def drop_state(path):
    shutil.rmtree(path, ignore_errors=True)
