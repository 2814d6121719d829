"""An output that is a link, a device or a pipe is written through or refused, never replaced."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from kit.archive.mapping import SarInput, Truth
from kit.archive.mapping_writer import write_mapping
from kit.errors import InputError, OutputError
from kit.figures.grid import write_grid
from kit.planning.plan import Plan, write_plan
from kit.scoring.error_table import write_images
from kit.storage import files
from kit.tiles.geotiff import write_geotiff
from kit.tiles.raster import Grid
from kit.translation.cog import write_cog

Write = Callable[[Path], object]


def mapping(path: Path) -> None:
    write_mapping((), path, "2022")


def sheet(path: Path) -> None:
    write_grid([[np.zeros((3, 8, 8))]], ["image"], ["scene"], path)


def per_scene(path: Path) -> None:
    write_images(path, [])


def plan(path: Path) -> None:
    write_plan(path, Plan(8.0, "CPU", 45, "mae", 5, False, 8, False, 0, (), {}, {}))


def geotiff(path: Path) -> None:
    write_geotiff(path, np.zeros((1, 8, 8), np.float32), GRID, ["VV"], {})


def translation(path: Path) -> None:
    with TemporaryDirectory() as folder:
        rows = [np.zeros((3, 8, 8), np.uint16)]
        write_cog(path, rows, np.dtype(np.uint16), (8, 8), GRID, {}, Path(folder))


GRID = Grid((10, 0, 0, 0, -10, 80), "EPSG:32633")
WRITERS = pytest.mark.parametrize("write", [sheet, per_scene, plan, geotiff, translation])


@pytest.fixture(autouse=True)
def devices_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is renamed in /dev: what fails here as root would take /dev/null from all others."""
    together = files.together

    def guarded(folder: Path) -> object:
        assert folder != Path("/dev")
        return together(folder)

    monkeypatch.setattr(files, "together", guarded)


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
    with open(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        write(tmp_path / "pipe")
        assert (tmp_path / "pipe").is_fifo()
        received = pipe.read().replace(b"pipe", b"file")  # a plan has its own name in it
    assert received == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("write", [sheet, per_scene, mapping, plan, geotiff, translation])
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


@WRITERS
def test_a_folder_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Is a directory"):
        write(tmp_path)


def test_the_truths_of_a_mapping_need_a_file_to_lie_beside() -> None:
    one = SarInput("a", ("b",), (Truth("c", (Path("d"),), ("b",)),))
    with pytest.raises(InputError, match="/dev/null: is not a regular file"):
        write_mapping([one], Path("/dev/null"), "2022")
    assert not Path("/dev/truth").exists()
