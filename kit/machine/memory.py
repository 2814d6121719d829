"""The memory of the machine that this process may still take, and no more than that.

In: what the kernel says of the machine, of this process and of its cgroups. Out: a number of bytes;
allocations beyond it fail, where Linux would grant them and then kill the process that uses them.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kit.machine.cgroups import cgroups

_KEPT_BACK = 0.1  # of what is available, for other programs
# Of a cgroup of version 2 and 1: its limit, what it uses, and what of that is cached files.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# How torch says that an allocation has failed, on a processor and on a card.
_REFUSED = ("DefaultCPUAllocator", "can't allocate memory", "out of memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error is that memory has run out, in Python or in torch."""
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in _REFUSED)
    return told or isinstance(error, MemoryError)


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take without swapping, None where it is not known.

    Args:
        root: of the file system that holds `proc` and `sys`.
    """
    with suppress(OSError, ValueError, KeyError):  # another system than Linux
        free = _fields(root / "proc/meminfo")["MemAvailable:"] * 1024
        left = [room for each in cgroups("memory", root) if (room := _left(each)) is not None]
        return max(0, min([free, *left]))
    return None


@contextmanager
def within_memory(root: Path = Path("/")) -> Iterator[None]:
    """Have allocations fail meanwhile that would take more memory than is available.

    Where that is not known, or where a lower limit is set already, nothing is changed.

    Args:
        root: of the file system that holds `proc` and `sys`.
    """
    available = available_memory(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if available is None:
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + int(available * (1 - _KEPT_BACK))
    limits = [most, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _left(cgroup: Path) -> int | None:
    """What a cgroup leaves, cached files taken as free; None if it has no limit."""
    for limit, used, cached in _CGROUP_FILES:
        with suppress(OSError, ValueError):  # of another version, or "max"
            files = _fields(cgroup / "memory.stat").get(cached, 0)
            return _number(cgroup / limit) - _number(cgroup / used) + files
    return None


def _number(path: Path) -> int:
    return int(path.read_text())


def _fields(path: Path) -> dict[str, int]:
    """The first number of each line, by the word before it; none of a file that is not there."""
    text = path.read_text() if path.exists() else ""
    lines = (line.split() for line in text.splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
