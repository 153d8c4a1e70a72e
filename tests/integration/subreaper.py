"""Does what conmon does: runs `nacre create` as a child subreaper, then waits for the process of the pid-file.

subreaper.py PIDFILE CREATE-COMMAND... ; then reads commands to run, a line each, from standard input (nacre start ...)
and at the end prints "exit STATUS" of the pid-file's process.
"""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    pid_file, create = sys.argv[1], sys.argv[2:]
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("prctl failed")
    signal.alarm(150)
    made = subprocess.run(create, stdin=subprocess.DEVNULL)
    if made.returncode:
        sys.exit(made.returncode)
    with open(pid_file) as f:
        pid = int(f.read())
    os.kill(pid, 0)
    for line in sys.stdin:
        if subprocess.run(["sh", "-c", line.replace("$PID", str(pid))]).returncode:
            print("failed:", line.strip(), flush=True)
    _, status = os.waitpid(pid, 0)
    print("exit", os.waitstatus_to_exitcode(status), flush=True)


main()
