"""What memory is available, and that no more than that is taken."""

import resource
from pathlib import Path

import pytest
import torch

from kit.machine.memory import available_memory, within_memory
from tests.machine.test_cores import cgroup

MEMINFO = "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 4000 kB\n"
V1 = "4:memory:/jobs/7\n0::/\n"


@pytest.mark.parametrize(
    ("lines", "files", "kilobytes"),
    [
        ("0::/\n", {}, 4000),
        ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "1024\n"}, 4000),
        ("0::/a\n", {"a/memory.max": "2048000\n", "a/memory.current": "1024000\n"}, 1000),
        (
            "0::/a\n",
            {
                "a/memory.max": "2048000\n",
                "a/memory.current": "1024000\n",
                "a/memory.stat": "anon 5\ninactive_file 512000\n",
            },
            1500,
        ),
        ("0::/a/b\n", {"a/memory.max": "2048000\n", "a/memory.current": "2048000\n"}, 0),
        ("0::/a\n", {"a/memory.max": "1024\n", "a/memory.current": "2048\n"}, 0),
        (
            V1,
            {
                "memory/jobs/7/memory.limit_in_bytes": "3072000\n",
                "memory/jobs/7/memory.usage_in_bytes": "2048000\n",
                "memory/jobs/7/memory.stat": "total_inactive_file 1024000\n",
            },
            2000,
        ),
        ("0::/a\n", {"a/memory.max": "nonsense\n"}, 4000),
    ],
)
def test_the_least_of_machine_and_cgroups_is_available(
    tmp_path: Path, lines: str, files: dict[str, str], kilobytes: int
) -> None:
    below = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    root = cgroup(tmp_path, lines, {"proc/meminfo": MEMINFO, **below})
    assert available_memory(root) == kilobytes * 1024


def test_what_is_available_is_not_known_elsewhere_than_on_linux(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with within_memory(tmp_path):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_an_allocation_beyond_what_is_available_fails(tmp_path: Path) -> None:
    root = cgroup(tmp_path, "0::/\n", {"proc/meminfo": "MemAvailable: 100000 kB\n"})
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with within_memory(root), pytest.raises(RuntimeError, match="memory"):
        torch.empty(2**30, dtype=torch.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert torch.empty(2**30, dtype=torch.uint8).numel() == 2**30  # which nothing fills
