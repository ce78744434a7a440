"""What a process that works for another does at its start.

It ends when the other does, goes first when memory runs out, and stays within a bound.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

FIRST_TO_GO = 500  # of 1000, by which the kernel raises this process among those that it ends when memory runs out
GIB = 2**30
LOOK_SECONDS = 1.0


def end_with(parent: int) -> None:
    """End this process when that of its parent has: nobody waits for its work any more."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, name="parent", daemon=True).start()


def go_first() -> None:
    """Have the kernel end this process before others when memory runs out."""
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists():
        adjust.write_text(str(FIRST_TO_GO))


def bound_memory(gigabytes: float | None) -> None:
    """Beyond its bound an allocation fails in this process, before the machine has none left for others."""
    if gigabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * GIB), int(gigabytes * GIB)))


def usable_cores() -> int:
    """How many cores this process may keep busy: those it may run on, and no more than its control group's share (cgroup v2 `cpu.max`)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or no limit ("max")
        return cores
