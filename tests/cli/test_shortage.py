"""What runs out is told with what would help, and with its exit code."""

import errno
import os
import re
import sys

import pytest

import kit.cli.main


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError(), 3, "memory: this machine has too little(.|\n)*fewer --workers"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), 3, "--workers"),
        (OSError(errno.ENOSPC, "No space left on device"), 5, "a temporary file: cannot be"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "x"), 5, "x: cannot be written"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 3, "No such file"),
    ],
)
def test_it_is_an_error_of_the_kit(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    told: str,
) -> None:
    def fail(**options: str) -> None:
        raise error

    monkeypatch.setattr(kit.cli.main, "app", fail)
    monkeypatch.setattr(sys, "argv", ["kit", "train", "spade2"])
    with pytest.raises(SystemExit) as end:
        kit.cli.main.main()
    assert end.value.code == code
    assert re.search(told, capsys.readouterr().err)


def test_a_bug_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: str) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(kit.cli.main, "app", fail)
    monkeypatch.setattr(sys, "argv", ["kit", "train", "spade2"])
    with pytest.raises(RuntimeError, match="shapes differ"):
        kit.cli.main.main()
