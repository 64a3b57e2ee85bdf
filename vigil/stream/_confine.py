"""What a process that looks inside media from strangers gives up before it does, and how it is started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT")
"""Of the environment; proxies and credentials are not among them."""
MEMORY_BYTES = 2 << 30
CPU_S = 30
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def child_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of vigil as a child; nothing in the current folder is imported."""
    return (sys.executable, "-P", "-m", module, *arguments)


def child_environment(*more: str) -> dict[str, str]:
    """The environment of a child: `KEPT_VARIABLES` and `more`."""
    kept = {name: os.environ[name] for name in (*KEPT_VARIABLES, *more) if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def confine(*, network: bool) -> None:
    """Give up what decoding does not need. What the system does not offer is left out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        import resource

        if sys.platform == "linux":  # elsewhere the address space holds far more than what is used
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(5)
    if not network and sys.platform == "linux":
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)


def renew_cpu_budget() -> None:
    """Allow `CPU_S` more seconds of processor time; then the kernel ends the process."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, hard))
