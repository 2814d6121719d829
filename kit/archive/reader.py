"""An upload archive, read with care: a zip of three-band TIFFs that somebody made.

In: the zip. Out: the names of its images, and their pixels as arrays; nothing is ever extracted to
disk. Refused by name: what is not an intact zip, entries that point elsewhere, are links or
encrypted, or decompress to too much, and files that are not such images.
"""

import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.archive.contents import SUFFIX, Contents, sort_contents
from kit.archive.records import MAKE_AGAIN, broken, check_directory, check_members
from kit.archive.unpack import OTHER_METHODS, unpack
from kit.errors import InputError
from kit.scaling import UINT16_MAX
from kit.tiles.tiff import decode_tiff

# Far above any image of the challenge (0.4 MB), far below what a hostile archive may decompress to.
MAX_ENTRY_BYTES = 64 << 20
# Deflate packs an image of one colour a thousandfold; what is as large as this is no such image.
_LARGE_BYTES, _MAX_RATIO = 4 << 20, 200
_LONGEST_NAME, _LONGEST_PATH = 255, 4096
_SHOWN = 200  # characters of a name in an error
_BACKSLASH = r"has \ in its name where folders are separated by /"
_POWERSHELL = " (Windows PowerShell 5 writes such zips: zip with another program)"
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_FILE_TYPES = {0, stat.S_IFREG, stat.S_IFDIR}
UNIT_REMEDY = "write uint16 or uint8; floats must be in [0, 1]"
_LEAVE_OUT = "make the archive without it"
_LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): UINT16_MAX}
# All that Python's reader raises on damaged bytes, and RuntimeError where a password is needed.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, OSError,
    ValueError, OverflowError,
)  # fmt: skip


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        InputError: the file is missing, not an intact zip, or one that lists or holds too much.
    """
    try:
        # Opening a pipe would wait for somebody to write to it.
        other = path.exists() and not path.is_file()
        file = None if other else path.open("rb")
    except FileNotFoundError:
        raise InputError(path, "no such archive", remedy="make one: kit package") from None
    except OSError as error:
        remedy = "see its permissions and its disk"
        raise InputError(path, f"cannot be opened ({error})", remedy=remedy) from None
    except ValueError:
        problem = "its name has a NUL, or is not UTF-8"
        raise InputError(ascii(str(path)), problem, remedy="rename it") from None
    if file is None:
        raise InputError(path, "is not a file", remedy="give the zip itself")
    with file:
        check_directory(path, file)
        try:
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise broken(path, error) from None
        with archive:
            check_members(path, file, archive)
            yield archive


def read_contents(archive: zipfile.ZipFile) -> Contents:
    """The names of the images in an archive, and of what else is in it.

    Raises:
        InputError: there is none, an entry, image or not, is unsafe, or two are one file to
            some reader.
    """
    where = archive.filename or "archive"
    for entry in archive.infolist():
        if problem := danger(entry):
            raise InputError(
                where, f"{entry.orig_filename[:_SHOWN]!r} {problem}", remedy=_LEAVE_OUT
            )
    name, times = next(iter(Counter(archive.namelist()).most_common(1)), ("", 0))
    if times > 1:
        raise InputError(where, f"{name!r} occurs {times} times", remedy="keep one")
    for one, other in same_but_for_case(archive.namelist()):
        raise InputError(where, f"{other!r} differs from {one!r} only in case", remedy="keep one")
    contents = sort_contents(archive.namelist())
    if not contents.images:
        remedy = f"zip the images, each named *{SUFFIX}"
        raise InputError(where, f"contains no image named *{SUFFIX}", remedy=remedy)
    return contents


def danger(entry: zipfile.ZipInfo) -> str:
    """Why an entry must not be read or unpacked; empty if it may."""
    if problem := name_danger(entry.orig_filename):
        return problem + _POWERSHELL * (problem == _BACKSLASH)
    if entry.filename != entry.orig_filename:
        return f"has a second name, {entry.filename!r}"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in _FILE_TYPES:
        return "is a symbolic link" if kind == stat.S_IFLNK else "is not a regular file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, *OTHER_METHODS):
        return "is compressed by a method other than deflate, bzip2 and LZMA"
    return _bomb(entry.file_size, entry.compress_size)


def name_danger(name: str) -> str:
    """Why a name must not be in an archive or a list of one; empty if it may.

    A good name is a plain relative path with `/` between its parts; a folder's ends in one.
    """
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ".." in parts or ":" in name:
        return "points outside the archive's folder"
    if "\\" in name:
        return _BACKSLASH
    if not name.isprintable():
        return "has a name with control characters"
    if "" in parts or "." in parts:
        return "is not a plain path"
    if len(name.encode()) > _LONGEST_PATH:
        return f"has a path of more than {_LONGEST_PATH} bytes"
    if max(len(part.encode()) for part in parts) > _LONGEST_NAME:
        return f"has a name of more than {_LONGEST_NAME} bytes"
    return ""


def same_but_for_case(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names that are one file on a disk that ignores case and how accents are written."""
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if (other := seen.setdefault(folded, name)) != name:
            yield other, name


def _bomb(size: int, packed: int) -> str:
    if size > MAX_ENTRY_BYTES:
        return f"decompresses to {size >> 20} MiB, more than {MAX_ENTRY_BYTES >> 20}"
    if size > _LARGE_BYTES and size > _MAX_RATIO * packed:
        return f"decompresses to {size >> 20} MiB, {size // max(packed, 1):,} times its size"
    return ""


def read_image(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    """Read one image [3 or more, H, W] of an archive, in its own pixel type.

    Raises:
        InputError: the entry is missing, a danger, damaged, or an image of less than three bands.
    """
    where = f"{archive.filename}: {name}"
    try:
        entry = archive.getinfo(name)
    except KeyError:
        remedy = "name one that the archive holds"
        raise InputError(where, "no such entry", remedy=remedy) from None
    return decode_tiff(where, read_entry(archive, entry), more=True)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of one entry, whose sum and size are as the archive says.

    Raises:
        InputError: the entry is a danger, or damaged.
    """
    where = f"{archive.filename}: {entry.filename}"
    if problem := danger(entry):
        raise InputError(where, problem, remedy=_LEAVE_OUT)
    try:
        data = unpack(archive, entry)
    except _BROKEN as error:
        raise InputError(where, f"damaged ({error})", remedy=MAKE_AGAIN) from None
    if len(data) != entry.file_size:
        problem = (
            f"damaged (decompresses to {len(data):,} bytes, not the {entry.file_size:,} recorded)"
        )
        raise InputError(where, problem, remedy=MAKE_AGAIN)
    return data


def to_unit(where: str | Path, pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Pixels as values in [0, 1]: uint16 over 65535, uint8 over 255, floats as they are.

    Raises:
        InputError: another pixel type, or a float that is not in [0, 1].
    """
    if problem := scale_problem(pixels):
        raise InputError(where, problem, remedy=UNIT_REMEDY)
    return pixels.astype(np.float64) / _LEVELS.get(pixels.dtype, 1)


def scale_problem(pixels: NDArray[np.generic]) -> str:
    """Why pixels cannot be brought to [0, 1]; empty if they can."""
    if pixels.dtype in _LEVELS:
        return ""
    if pixels.dtype.kind != "f":
        return f"pixels are {pixels.dtype}"
    low, high = float(pixels.min()), float(pixels.max())
    # False for NaN too.
    return "" if low >= 0 and high <= 1 else f"its values are {low:g} to {high:g}"
