"""The cores that this process may use, and how its threads share them with other programs.

In: the affinity of the process, and the quota of its cgroup, as containers and clusters set it.
Out: a number of cores, from which every number of threads follows; and settings of OpenMP, which
its library reads once, when torch loads it.
"""

import math
import os
import platform
import sys
from functools import cache
from pathlib import Path

from kit.machine.cgroups import cgroups
from kit.machine.openmp import POLICY, SPINS, THREADS, affine_cores

# Turns of a loop in which a thread waits for others before it sleeps, where `kit.machine.spinning`
# cannot tell how many are best. libgomp's 300,000 keep a core from whoever has work for it.
_SPINS = "1000"
_COUNTED = Path("/proc/self/schedstat")  # where Linux counts how long a thread had no core
# One waits for the disk while another computes; more gain little where files are cached.
_AT_FILES = 2, 4


def cores() -> int:
    """How many cores this process may use; a part of one counts as one."""
    return math.ceil(_usable())


@cache
def processor(root: Path = Path("/")) -> str:
    """The processor's name; on Linux that of its first core.

    Args:
        root: of the file system that holds `proc`.
    """
    try:
        lines = (root / "proc" / "cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":") for line in lines)
    names = [value.strip() for field, _, value in named if field.strip() == "model name"]
    return (names or [platform.processor() or platform.machine()])[0]


def file_threads() -> int:
    """How many threads read files ahead, and how many write them: one for each core, 2 to 4."""
    least, most = _AT_FILES
    return min(most, max(least, cores()))


def loader_threads(for_card: bool, sharing: int = 1) -> int:
    """How many threads make batches during the steps of a training.

    Args:
        for_card: whether a card computes the steps. A processor needs its cores for them: on two a
            second thread was no faster than one.
        sharing: how many trainings, or ranks of one, share these cores.
    """
    return min(_AT_FILES[1], max(1, cores() // sharing)) if for_card else 1


def quota(root: Path = Path("/")) -> float | None:
    """The cores' worth of time that the cgroup of this process has, None if it has no limit.

    Args:
        root: of the file system that holds `proc` and `sys`.
    """
    limits = [limit for folder in cgroups("cpu", root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def share_cores() -> None:
    """Settle how many threads OpenMP starts, and how they wait for each other.

    It changes nothing once torch is imported, and nothing that the user has set. Where there is a
    thread for each core, and all of the core's time for it, `kit.machine.spinning` decides how they
    wait.
    """
    usable, affine = _usable(), affine_cores()
    if math.ceil(usable) < affine:  # which is all that OpenMP looks at
        os.environ.setdefault(THREADS, str(math.ceil(usable)))
    for_each_core = os.environ.get(THREADS, str(affine)) == str(affine)
    decided_later = for_each_core and usable == affine and _COUNTED.exists()
    if not decided_later and POLICY not in os.environ and "torch" not in sys.modules:
        os.environ.setdefault(SPINS, _SPINS)


def _usable() -> float:
    """How many cores' worth of time this process may use."""
    affine, allowed = affine_cores(), quota()
    return affine if allowed is None else min(affine, allowed)


def _limit(cgroup: Path) -> float | None:
    """The limit of one cgroup: of version 2 by `cpu.max`, of version 1 by two files."""
    try:
        if (cgroup / "cpu.max").exists():
            allowed, period = (cgroup / "cpu.max").read_text().split()
        else:
            allowed = (cgroup / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu.cfs_period_us").read_text()
        limit = float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # there is none, or it is "max"
        return None
    return limit if limit > 0 else None  # version 1 writes -1 for none
