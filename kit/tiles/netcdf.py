"""Scenes in the NetCDF files of the 2023 edition, by the names that their planes have in tables.

In: an `.nc` file, or names of planes. Out: what the file holds, or pixels. A plane is one band of
one scene, and its name stands wherever the path of a tile may:
`<file>.nc::<Sensor>_<BAND>_<lon>_<lat>_<YYYY>_<MM>_<DD>::<index>`. What it says of the scene is
compared with the file whenever it is read, so that a replaced file is noticed. Refused by
name: that, whatever `kit.tiles.netcdf_file` refuses, and anything that is no file.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit.errors import InputError
from kit.tiles.names import FIELDS
from kit.tiles.netcdf_file import Head, NcFile, Place, damaged, libraries
from kit.tiles.raster import Raster
from kit.tiles.regular_file import check_regular

SUFFIX = ".nc"
_MOST_OPEN = 16
_AT_ONCE = 4096  # HDF5 needs 7 KB for each chunk of a request, and each centre is a chunk
_NAME = re.compile(rf"(.+{re.escape(SUFFIX)})::{FIELDS}::(\d{{1,9}})", re.ASCII | re.DOTALL)
_SECONDS = 20  # of work, not of waiting for a disk; the largest files take 3
_BYTES = 2**30  # of memory beside what the libraries take; the largest files take 60 MB
_TRIAL = """
import json, resource, sys
seconds, room = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # a signal for each
from kit.tiles.netcdf_file import InputError, NcFile, libraries
libraries(sys.argv[1])
if sys.platform == "linux":
    pages = int(open("/proc/self/statm").read().split()[5])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    NcFile(sys.argv[1]).walk()
except InputError as error:
    print(json.dumps([error.problem, error.remedy]))
    sys.exit(error.exit_code)
except MemoryError:
    print(json.dumps([f"opening it takes more than {room >> 20} MiB", "fetch it again"]))
    sys.exit(InputError.exit_code)
"""
_REPLACED = "the file has been replaced: run kit prepare DATA again"


@dataclass(frozen=True, slots=True)
class Plane:
    """One band of the scene at `index` of a file."""

    file: str
    sensor: str
    band: str
    place: Place
    index: int

    def __str__(self) -> str:
        return f"{self.file}::{self.sensor}_{self.band}_{'_'.join(self.place)}::{self.index}"

    @classmethod
    def parse(cls, text: str) -> "Plane | None":
        """The plane that a text names, or None if it is a path."""
        match = _NAME.fullmatch(text) if "::" in text else None
        if match is None:
            return None
        file, sensor, band, lon, lat, day, index = match.groups()
        return cls(file, sensor, band, (lon, lat, day), int(index))


File = str | Path | Plane
"""Where the pixels of a band are: the path of a TIFF, or a plane."""


def parse_file(text: str) -> str | Plane:
    """What a table names: a plane, or the path of a TIFF as it is."""
    return Plane.parse(text) or text


def file_of(file: File) -> str:
    """The file on disk: of a plane the one that it lies in, of a path itself."""
    return file.file if isinstance(file, Plane) else os.fspath(file)


def read_head(file: str) -> Head:
    """What kind of scenes a file holds.

    Raises:
        InputError: the file cannot be read or has another form, or xarray is not installed.
    """
    with _LOCK:
        return _opened(file).head


def read_places(file: str) -> Iterator[Place | InputError]:
    """For each index of a file longitude, latitude and date as in names; or what is wrong with it.

    Raises:
        InputError: the file cannot be read or has another form.
    """
    with _LOCK:
        scenes = _opened(file).head.scenes
    for start in range(0, scenes, _AT_ONCE):
        stop = min(start + _AT_ONCE, scenes)
        try:
            with _LOCK:
                places = _opened(file).places(start, stop)
        except ValueError as error:  # InputError is one
            known = error if isinstance(error, InputError) else damaged(file, error)
            places = [known] * (stop - start)
        yield from places


def read_planes(planes: Sequence[Plane]) -> list[Raster]:
    """Read planes, of the file's own pixel type.

    A scene is inflated once, however many of its bands are asked for. Threads may read side by
    side.

    Raises:
        InputError: a file cannot be read, or has another scene at the index.
    """
    scenes: dict[tuple[str, str, Place, int], tuple[Head, list[Raster]]] = {}
    result = []
    for plane in planes:
        key = plane.file, plane.sensor, plane.place, plane.index
        if key not in scenes:
            scenes[key] = _read_scene(plane)
        head, bands = scenes[key]
        if plane.band not in head.bands:
            raise InputError(
                str(plane), f"the file holds {', '.join(head.bands)}", remedy=_REPLACED
            )
        result.append(bands[head.bands.index(plane.band)])
    return result


def plane_size(plane: Plane) -> tuple[int, int]:
    """Height and width of a plane, without its pixels.

    Raises:
        InputError: the file cannot be read or has another form.
    """
    with _LOCK:
        head = _opened(plane.file).head
    return head.height, head.width


def plane_dtype(plane: Plane) -> str:
    """The pixel type of a plane; raises as `plane_size`."""
    with _LOCK:
        return _opened(plane.file).head.dtype


def _try(file: str) -> None:
    """Let another process open a file first.

    There are damaged files that HDF5 never finishes opening, that crash it, or fill the memory.
    """
    command = [sys.executable, "-P", "-c", _TRIAL, file, str(_SECONDS), str(_BYTES)]
    trial = subprocess.run(command, capture_output=True)
    if trial.returncode == InputError.exit_code:
        problem, remedy = json.loads(trial.stdout)
        raise InputError(file, problem, remedy=remedy)
    if trial.returncode == -signal.SIGXCPU:
        problem = f"HDF5 did not finish opening it within {_SECONDS} s of CPU time"
        raise InputError(file, problem, remedy="fetch it again")
    if trial.returncode < 0:
        problem = f"opening it crashes HDF5 ({signal.Signals(-trial.returncode).name})"
        raise InputError(file, problem, remedy="fetch it again")


def _read_scene(plane: Plane) -> tuple[Head, list[Raster]]:
    """All bands of the scene that a plane is of, as the file has them, and what they are."""
    with _LOCK:
        file = _opened(plane.file)
        if file.head.sensor != plane.sensor:
            raise InputError(str(plane), f"the file holds {file.head.sensor}", remedy=_REPLACED)
        if plane.index >= file.head.scenes:
            problem = f"the file has only {file.head.scenes} scenes"
            raise InputError(str(plane), problem, remedy=_REPLACED)
        try:
            found = file.places(plane.index, plane.index + 1)[0]
            inflate = file.fetch(plane.index)
        except ValueError as error:
            raise damaged(str(plane), error) from None
    if found != plane.place:
        other = found.problem if isinstance(found, InputError) else "_".join(found)
        raise InputError(str(plane), f"the file has another scene there: {other}", remedy=_REPLACED)
    try:
        return file.head, inflate()
    except ValueError as error:
        raise damaged(str(plane), error) from None


# HDF5 lets one thread in at a time; xarray neither more, nor a fork while it is at work.
_LOCK = threading.RLock()
_OPEN: dict[str, tuple[tuple[int, ...], NcFile]] = {}
_TRIED: dict[str, tuple[int, ...]] = {}


def _opened(path: str) -> NcFile:
    """The file as this process has opened it, if it is still the one that lies there."""
    libraries(path)
    _guard()
    identity = _identity(path)
    before, file = _OPEN.pop(path, (None, None))
    if file is None or before != identity:
        if file is not None:
            file.close()
        if _TRIED.get(path) != identity:
            _try(path)
            _TRIED[path] = identity
        file = NcFile(path)
    _OPEN[path] = identity, file
    if len(_OPEN) > _MOST_OPEN:
        # It was opened, or used, before all others.
        _OPEN.pop(next(iter(_OPEN)))[1].close()
    return file


def _identity(path: str) -> tuple[int, ...]:
    """What changes when a file is replaced."""
    found = check_regular(path, "a NetCDF file")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _in_child() -> None:
    """A process shares no open file with the one that it was forked from."""
    _OPEN.clear()
    _LOCK.release()


@cache
def _guard() -> None:
    """Let no fork happen while a file is read; called when h5py is there.

    h5py holds a lock of its own during a fork. Reading acquires ours before h5py's, and so must
    a fork: the hooks that were registered last are called first.
    """
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_in_child
    )
