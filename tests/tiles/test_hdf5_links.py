"""An HDF5 file that refers to another one is refused before that one is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import InputError
from kit.tiles import netcdf
from kit.tiles.catalog import catalog
from kit.tiles.netcdf_file import NcFile
from tests.helpers.netcdf import write_netcdf
from tests.helpers.tiles import key, radar

h5py = pytest.importorskip("h5py", reason="needs h5py: pip install h5py")
pytest.importorskip("h5netcdf", reason="needs h5netcdf: pip install h5netcdf")

SHAPE = (2, 2, 1, 8, 8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for place in range(2):
        radar(tmp_path / "tiles", key(place), size=8)
    write_netcdf(tmp_path / "tiles", tmp_path / "data" / "radar.nc", "Sentinel1")
    return tmp_path / "data" / "radar.nc"


def other(file: Path) -> Path:
    """A file elsewhere, whose numbers are nobody's pixels."""
    path = file.parent.parent / "secret.h5"
    with h5py.File(path, "w") as made:
        made["images"] = np.full(SHAPE, 42, np.float32)
    return path


def linked(opened: Any, path: Path) -> None:
    del opened["images"]
    opened["images"] = h5py.ExternalLink(str(path), "/images")


def linked_deeper(opened: Any, path: Path) -> None:
    opened.create_group("a").create_group("b")["c"] = h5py.ExternalLink(str(path), "/")


def virtual(opened: Any, path: Path) -> None:
    del opened["images"]
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource(str(path), "images", SHAPE)
    opened.create_virtual_dataset("images", layout)


def external(opened: Any, path: Path) -> None:
    del opened["images"]
    size = path.stat().st_size
    opened.create_dataset("images", SHAPE, np.float32, external=[(str(path), 0, size)])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (linked, "has a link to another file: images"),
        (linked_deeper, "has a link to another file: c"),
        (virtual, "images is a virtual data set"),
        (external, "the data of images are in another file"),
    ],
)
def test_what_lies_outside_is_refused(
    file: Path, change: Callable[[Any, Path], None], problem: str
) -> None:
    secret = other(file)
    with h5py.File(file, "r+") as opened:
        change(opened, secret)
    with pytest.raises(InputError, match=rf"radar\.nc: {problem}\n  fetch the file again"):
        NcFile(str(file))


def test_links_inside_are_no_reason(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened["again"] = h5py.SoftLink("/images")
        group = opened.create_group("group")
        group["round"] = group
        group["up"] = opened["/"]
    NcFile(str(file)).close()


@pytest.mark.slow
def test_too_many_objects_are_refused(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        for number in range(10_001):
            opened[f"{number}"] = h5py.SoftLink("/images")
    with pytest.raises(InputError, match=r"has more than 10,000 objects"):
        NcFile(str(file))


def test_first_contact_is_another_processs_wherever_a_file_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is contact with a file that has changed since, though its size and time are kept."""
    tried: list[str] = []
    monkeypatch.setattr(netcdf, "_try", tried.append)
    scene = catalog(file).scenes[0]
    planes = [item for item in scene.files if isinstance(item, netcdf.Plane)]
    netcdf.read_planes(planes)
    assert tried == [str(file)]
    file.touch()
    netcdf.read_planes(planes)
    netcdf.plane_size(planes[0])
    assert tried == [str(file)] * 2
    data, time = file.read_bytes(), file.stat().st_mtime_ns
    file.unlink()
    file.write_bytes(data)
    os.utime(file, ns=(time, time))
    netcdf.read_head(str(file))
    assert tried == [str(file)] * 3


@pytest.mark.slow
def test_the_first_process_has_no_more_memory_than_it_may_need(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = netcdf._TRIAL.replace("NcFile(sys.argv[1]).walk()", "held = bytes(2 * room)")
    assert greedy != netcdf._TRIAL
    monkeypatch.setattr(netcdf, "_TRIAL", greedy)
    monkeypatch.setattr(netcdf, "_BYTES", 2**28)
    with pytest.raises(InputError, match=r"radar\.nc: opening it takes more than 256 MiB"):
        netcdf._try(str(file))
