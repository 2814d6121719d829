"""What a kill leaves half written goes, and what another process is writing stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.errors import BusyError
from kit.storage import half_written
from kit.storage.files import atomic, refuse_existing, write_bytes
from kit.storage.half_written import new_part, sweep
from kit.storage.lock import lock

KILLED = """
import os, sys
from pathlib import Path
from kit.storage.files import atomic
with atomic(Path(sys.argv[1])) as part:
    part.write_text("half")
    part.with_name(".tmpA1b2").write_text("as safetensors does")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder in which a write was killed."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")])
    assert len(list(tmp_path.glob(".*.part/*"))) == 2
    return tmp_path


def test_the_next_write_removes_what_a_kill_left(left: Path) -> None:
    write_bytes(left / "other", b"")
    assert [path.name for path in left.iterdir()] == ["other"]


def test_who_locks_the_folder_removes_what_a_kill_left(left: Path) -> None:
    with lock(left):
        assert os.listdir(left) == [".lock"]


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_command_that_is_refused_removes_what_a_kill_left(
    left: Path, tmp_path: Path, through_a_link: bool
) -> None:
    path = left / "file"
    path.touch()
    if through_a_link:
        (tmp_path / "elsewhere").mkdir()
        path = tmp_path / "elsewhere" / "link"
        path.symlink_to(left / "file")
    with pytest.raises(BusyError, match=rf"{path.name}: exists\n  give another"):
        refuse_existing(path, "give another")
    assert not list(left.glob(".*"))
    refuse_existing(path, "give another", overwrite=True)


def test_what_lives_is_spared(tmp_path: Path) -> None:
    with atomic(tmp_path / "file") as part:
        part.write_text("half")
        for locked in (True, False):
            sweep(tmp_path, locked)
    assert (tmp_path / "file").read_text() == "half"


@pytest.mark.parametrize(("name", "unlocked"), [("_host", True), ("_boot", False)])
def test_of_another_host_only_the_owner_of_the_lock_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, unlocked: bool
) -> None:
    part = new_part(tmp_path)
    monkeypatch.setattr(half_written, name, lambda: "another")
    sweep(tmp_path, locked=False)
    assert part.exists() == unlocked
    sweep(tmp_path, locked=True)
    assert not part.exists()


def test_of_an_older_kit(tmp_path: Path) -> None:
    (tmp_path / ".scenes.parquet.4711.part").touch()
    (tmp_path / ".step-00000001.part").mkdir()
    sweep(tmp_path, locked=False)
    assert len(os.listdir(tmp_path)) == 2
    sweep(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
