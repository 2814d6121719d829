"""Where tensors lie."""

import subprocess
import sys
from pathlib import Path

import pytest

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_PROGRAM = """
import torch
from kit.machine.device import keep_memory
keep_memory()
tensor = torch.ones(1 << 24)
lines = open("/proc/self/smaps").read().splitlines()
print(sum("VmFlags" in line and " hg" in line for line in lines))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not _SETTING.exists() or "[never]" in _SETTING.read_text(), reason="no transparent huge pages"
)
def test_memory_that_is_kept_is_in_large_pages() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert int(done.stdout) > 0, done.stderr
