"""A folder is replaced by a complete one, or stays what it was."""

import errno
import os
from pathlib import Path

import pytest

from kit.errors import OutputError
from kit.storage import replacement


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_a_folder_is_replaced_when_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, fails: bool
) -> None:
    old, new = tmp_path / "set", tmp_path / "next"
    for folder in (old, new):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    if not exchange:  # as on NFS
        monkeypatch.setattr(replacement, "_exchange", lambda *rest: False)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path == new:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    if fails:
        if exchange:
            monkeypatch.setattr(replacement, "_exchange", lambda *rest: False)
        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(OutputError, match="set: cannot be written"):
            replacement.replace_folder(new, old)
        assert (old / "file").read_text() == "set"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["next", "set"]
    else:
        replacement.replace_folder(new, old)
        assert (old / "file").read_text() == "next"
        assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("existed", [True, False])
def test_a_folder_whose_name_cannot_be_synced_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, existed: bool
) -> None:
    old, new = tmp_path / "set", tmp_path / "next"
    for folder in (old, new) if existed else (new,):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    if not exchange:
        monkeypatch.setattr(replacement, "_exchange", lambda *rest: False)

    def fail(folder: Path) -> None:
        if folder == tmp_path:
            raise OutputError(errno.EIO, os.strerror(errno.EIO), str(folder))

    monkeypatch.setattr(replacement, "sync_folder", fail)
    with pytest.raises(OutputError):
        replacement.replace_folder(new, old)
    assert (new / "file").read_text() == "next"
    assert not existed or (old / "file").read_text() == "set"
    assert old.exists() == existed


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "mkdir", full)
    with (
        pytest.raises(OutputError, match=r"step-1: cannot be written \(Input/output error\)"),
        replacement.replacing(tmp_path / "step-1"),
    ):
        pass
    assert not list(tmp_path.iterdir())
