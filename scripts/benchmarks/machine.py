"""What the figures were measured on, and what the processes of a stack use of it: CPU time and memory, read from the kernel."""

import contextlib
import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version

import psutil

from scripts.stack.stack import Stack

OURS = ("web", "worker", "watcher")
BACKING = ("mongo", "redis", "emulator")
SHOWN_VERSIONS = ("fal-client", "rq", "pymongo", "redis", "eventlet", "flask")


def facts() -> list[str]:
    """Return one line per fact, without names and paths: the page is public."""
    memory = psutil.virtual_memory().total / 2**30
    mongo = "mongod" if shutil.which("mongod") else "an embedded stand-in"
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN_VERSIONS)
    return [
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"MongoDB: {mongo}; Redis, storage folder, emulator and load generator on the same machine, so take the ratios",
        f"{versions}; {sys.implementation.name}",
    ]


@contextlib.contextmanager
def cpu_ms(stack: Stack) -> Iterator[dict[str, float]]:
    """Yield what holds, once the block has ended, the CPU milliseconds that each process used meanwhile, what it started included."""
    before = {name: sum(map(_cpu_ms, stack.pids(name))) for name in OURS + BACKING}
    spent: dict[str, float] = {}
    yield spent
    spent.update({name: sum(map(_cpu_ms, stack.pids(name))) - before[name] for name in before})


def _cpu_ms(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        # A recycled worker's time moves to its parent's children, so nothing is lost and nothing counted twice.
        return 1000.0 * sum(psutil.Process(pid).cpu_times()[:4])
    return 0.0


def memory_mb(stack: Stack) -> dict[str, list[float]]:
    """Return the resident memory (PSS, MB) of web, watcher, the workers' parent and each worker, smallest first."""
    parent = stack.process("worker").pid
    return {
        "web": [_pss_mb(pid) for pid in stack.pids("web")],
        "watcher": [_pss_mb(pid) for pid in stack.pids("watcher")],
        "workers' parent": [_pss_mb(parent)],
        "worker": sorted(_pss_mb(pid) for pid in stack.pids("worker") if pid != parent),
    }


def web_mb(stack: Stack) -> float:
    """Return the memory of the web process."""
    return sum(_pss_mb(pid) for pid in stack.pids("web"))


def _pss_mb(pid: int) -> float:
    """Return the proportional set size: pages shared by n processes count 1/n in each, so the sum is what the machine lacks.

    0 of a process that has just ended, as a recycled worker does.
    """
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return float(psutil.Process(pid).memory_full_info().pss) / 1e6
    return 0.0


@contextlib.contextmanager
def peak_of(read: Callable[[], Mapping[str, Sequence[float]]], *, every_s: float) -> Iterator[dict[str, float]]:
    """Read again and again, from a thread, while the block runs; yield the largest value that was seen under each name.

    It reads once at the beginning and once at the end too: a worker that is recycled in between was seen before that.
    """
    peak, done = dict[str, float](), threading.Event()

    def look() -> None:
        for name, values in read().items():
            peak[name] = max([peak.get(name, 0.0), *values])

    def watch() -> None:
        while not done.wait(every_s):
            look()

    look()
    thread = threading.Thread(target=watch, name="peak")
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        look()


@contextlib.contextmanager
def only_web_runs(stack: Stack) -> Iterator[None]:
    """Hold workers and watcher: what is left to measure is the web process. They must run again to end when they are told to."""
    for name in ("worker", "watcher"):
        stack.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in ("worker", "watcher"):
            stack.kill(name, signal.SIGCONT)
