"""Runs a module as a process that ends with its parent: `python -m deploy.local.child PARENT STATE MODULE`.

STATE only marks the process, so that a later start can tell its own orphans from other processes.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with(parent: int) -> None:
    """Ask the kernel to send SIGTERM when the parent dies, however it dies; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the suite that started this process has ended")


def main() -> None:
    """Become the module."""
    _, parent, _, module = sys.argv
    end_with(int(parent))
    sys.argv[1:] = []
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
