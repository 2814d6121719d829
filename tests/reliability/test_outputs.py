"""An output that is a link, a device or a pipe is written through or refused, never replaced."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kit.archive.mapping import SarInput, Truth, TruthSet
from kit.archive.mapping_writer import write_mapping
from kit.errors import InputError, OutputError
from kit.figures.grid import write_grid
from kit.scoring.error_table import write_images

Write = Callable[[Path], object]


def mapping(path: Path) -> None:
    write_mapping(TruthSet((), ()), path, "2022")


def sheet(path: Path) -> None:
    write_grid([[np.zeros((3, 8, 8))]], ["image"], ["scene"], path)


def per_scene(path: Path) -> None:
    write_images(path, [])


WRITERS = pytest.mark.parametrize("write", [sheet, per_scene])


@WRITERS
def test_a_device_stays_one(write: Write) -> None:
    before = Path("/dev/null").stat()
    write(Path("/dev/null"))
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode) and after.st_ino == before.st_ino


@WRITERS
def test_a_full_device_is_named(write: Write) -> None:
    with pytest.raises(OutputError, match="/dev/full: cannot be written") as caught:
        write(Path("/dev/full"))
    assert caught.value.exit_code == 5


@WRITERS
def test_a_pipe_gets_the_bytes_of_the_file(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as thread:
        received = thread.submit((tmp_path / "pipe").read_bytes)
        write(tmp_path / "pipe")
        assert received.result() == (tmp_path / "file").read_bytes()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("write", [sheet, per_scene, mapping])
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed(write: Write, exists: bool, tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "elsewhere" / "real"
    real.parent.mkdir()
    if exists:
        real.write_text("old, and longer")
    link.symlink_to(real)
    write(link)
    assert link.is_symlink() and real.stat().st_size != len("old, and longer")
    assert sorted(path.name for path in real.parent.iterdir()) == ["real"]


@pytest.mark.parametrize("write", [sheet, per_scene])
def test_a_folder_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Is a directory"):
        write(tmp_path)


def test_the_truths_of_a_mapping_need_a_file_to_lie_beside() -> None:
    one = TruthSet((SarInput("a", ("b",), (Truth("c", (Path("d"),), ("b",)),)),), ())
    with pytest.raises(InputError, match="/dev/null: is not a regular file"):
        write_mapping(one, Path("/dev/null"), "2022")
    assert not Path("/dev/truth").exists()
