"""
Run a module as a child that does not outlive its parent: python -m perennial.runtime.child PARENT_PID MODULE ARGUMENT...

The kernel kills the child when the parent dies, however it dies. After asking the kernel for this, the child compares its
parent's id, because the parent may have died before.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Bind this process to its parent, then run the module."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(f"{module}: the process that started it has ended")
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
