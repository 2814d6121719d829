"""The upload archive: a zip of three-band TIFFs, written the same byte for byte and read with care.

In: names and encoded images, or the zip that somebody made of them. Out: the zip, or its images as
arrays; nothing is ever extracted to disk. Refused by name: what is not a whole zip, entries that
point elsewhere or unfold to too much, and files that are not an image [3, H, W].
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from kit.errors import InputError

SUFFIX = ".tiff"
# Far above any image of the challenge (0.4 MB), far below what a hostile archive may unfold to.
MAX_ENTRY_BYTES = 64 << 20
MAX_VALUES = 32 << 20
_LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
# All that Python's reader raises on damaged bytes, and RuntimeError where a password is needed.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError, ValueError,
)  # fmt: skip


def write_archive(path: Path, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip whose bytes depend on nothing but the entries: no clock, no umask, no owner.

    The entries are written as they come, so an iterator keeps one of them in memory at a time.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compresslevel=6)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        InputError: the file is missing or not a whole zip.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(path, "no such archive", "make one: kit package") from None
    except _BROKEN as error:
        raise InputError(path, f"not a whole zip ({error})", "make it again: kit package") from None
    with archive:
        yield archive


def image_names(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """The names of the images in an archive, sorted.

    Raises:
        InputError: there is none, or an entry, image or not, is a danger.
    """
    for entry in archive.infolist():
        if problem := danger(entry):
            raise InputError(archive.filename or "archive", f"{entry.orig_filename!r} {problem}")
    names = sorted({name for name in archive.namelist() if name.endswith(SUFFIX)})
    if not names:
        raise InputError(archive.filename or "archive", f"holds no image called *{SUFFIX}")
    return tuple(names)


def danger(entry: zipfile.ZipInfo) -> str:
    """Why an entry must not be read or unpacked; empty if it may."""
    name = entry.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        return "points outside the archive's folder"
    if not name.isprintable():
        return "has a name with control characters"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by a method other than deflate"
    if entry.file_size > MAX_ENTRY_BYTES:
        return f"unfolds to {entry.file_size >> 20} MiB, more than {MAX_ENTRY_BYTES >> 20}"
    return ""


def read_image(archive: zipfile.ZipFile, entry: str | zipfile.ZipInfo) -> NDArray[np.generic]:
    """Read one image [3, H, W] of an archive, in its own pixel type.

    Raises:
        InputError: the entry is missing, a danger, damaged, or not an image of three bands.
    """
    where = f"{archive.filename}: {entry if isinstance(entry, str) else entry.filename}"
    try:
        info = archive.getinfo(entry) if isinstance(entry, str) else entry
    except KeyError:
        raise InputError(where, "no such entry") from None
    if problem := danger(info):
        raise InputError(where, problem)
    try:
        data = archive.read(info)
    except _BROKEN as error:
        raise InputError(where, f"damaged ({error})") from None
    return decode_image(where, data)


def decode_image(where: str | Path, data: bytes) -> NDArray[np.generic]:
    """Decode a TIFF of three bands as [3, H, W]; bands may come last, as the server allows.

    Raises:
        InputError: `where` is not such a TIFF.
    """
    try:
        with MemoryFile(data) as memory, rasterio.open(memory.name, driver="GTiff") as image:
            size = f"{image.count}x{image.height}x{image.width}"
            if image.count * image.height * image.width > MAX_VALUES:
                raise InputError(where, f"claims {size} pixels, more than an image holds")
            pixels: NDArray[np.generic] = image.read()
    except RasterioError as error:
        cause = str(error.__cause__ or error).replace("\n", " ")
        raise InputError(where, f"not readable as a TIFF ({cause})") from None
    if pixels.shape[2] == 3:
        pixels = pixels.transpose(2, 0, 1)
    if pixels.shape[0] != 3:
        raise InputError(where, f"is {size} where 3 bands belong")
    return pixels


def to_unit(where: str | Path, pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Pixels as values in [0, 1]: uint16 over 65535, uint8 over 255, floats as they are.

    Raises:
        InputError: another pixel type, or a float that is not in [0, 1].
    """
    unit = pixels.astype(np.float64)
    if pixels.dtype in _LEVELS:
        return unit / _LEVELS[pixels.dtype]
    if pixels.dtype.kind != "f":
        raise InputError(where, f"pixels are {pixels.dtype}", "uint16, uint8 or floats are read")
    if not (unit.min() >= 0 and unit.max() <= 1):  # false for NaN too
        problem = f"its values are {unit.min():g} to {unit.max():g}"
        raise InputError(where, problem, "floats are in [0, 1]")
    return unit
