"""Where tensors lie."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kit.machine import device

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


@pytest.fixture
def out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A card whose driver is older than torch's CUDA."""

    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old.\nUpdate it")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(device, "DRIVER", tmp_path)


TOO_OLD = (
    "there is a card, and the processor is used in its place: "
    "The NVIDIA driver on your system is too old."
)


def test_why_a_card_is_not_used_is_said(out_of_reach: None, monkeypatch) -> None:
    assert device.unreached() == TOO_OLD
    with monkeypatch.context() as hidden:
        hidden.setenv("CUDA_VISIBLE_DEVICES", "")
        assert not device.unreached()
    with monkeypatch.context() as reached:
        reached.setattr(torch.cuda, "is_available", lambda: True)
        assert not device.unreached()
    monkeypatch.setattr(device, "DRIVER", Path("no driver"))
    assert not device.unreached()
