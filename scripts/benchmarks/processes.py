"""What processes of a stack use: CPU time and memory, read from the kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

import psutil

from scripts.development.stack import Stack

OURS = ("web", "worker", "watcher")
BACKING = ("mongo", "redis", "emulator")


def cpu_ms(stack: Stack, names: Iterable[str] = OURS + BACKING) -> dict[str, float]:
    """Return the CPU milliseconds each named process has used so far, what it started included, dead or alive."""
    return {name: sum(map(_cpu_ms, stack.pids(name))) for name in names}


def _cpu_ms(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        # A recycled worker's time moves to its parent's children, so nothing is lost and nothing counted twice.
        return 1000.0 * (times.user + times.system + times.children_user + times.children_system)
    return 0.0


def spent(before: Mapping[str, float], after: Mapping[str, float], names: Iterable[str] = OURS) -> float:
    """Return the CPU milliseconds that the named processes used between two readings."""
    return sum(after[name] - before[name] for name in names)


def memory_mb(stack: Stack) -> dict[str, list[float]]:
    """Return the resident memory (PSS, MB) of web, watcher, the workers' parent and each worker, smallest first."""
    parent = stack.process("worker").pid
    return {
        "web": [pss_mb(pid) for pid in stack.pids("web")],
        "watcher": [pss_mb(pid) for pid in stack.pids("watcher")],
        "workers' parent": [pss_mb(parent)],
        "worker": sorted(pss_mb(pid) for pid in stack.pids("worker") if pid != parent),
    }


def pss_mb(pid: int) -> float:
    """Return the proportional set size: pages shared by n processes count 1/n in each, so the sum is what the machine lacks.

    0 of a process that has just ended, as a recycled worker does.
    """
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return float(psutil.Process(pid).memory_full_info().pss) / 1e6
    return 0.0


def web_mb(stack: Stack) -> float:
    """Return the memory of the web process."""
    return sum(pss_mb(pid) for pid in stack.pids("web"))
