"""The mapping of a server: which truths its submissions are compared with.

In: the JSON of the 2022 or the 2023 server. Out: for each SAR input its submissions and its truths.
Refused by name: a mapping of another shape, a name that is not below its folder, one that fits two
images of the archive.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.archive.contents import ImageNames
from kit.archive.layout import LAYOUTS
from kit.archive.reader import name_danger
from kit.errors import InputError
from kit.storage.files import read_json
from kit.tiles.bands import read_stored, unit_of_floats
from kit.tiles.names import RGB_BANDS, SceneKey, TileName
from kit.tiles.netcdf import Plane
from kit.tiles.reader import read_scene
from kit.tiles.tiff import decode_tiff, honour_declared

# The server of 2023 puts this folder before the names of submissions and of truths by itself.
ROOT_2023 = LAYOUTS["2023"].root
# Anything may follow the date, such as the `_1` that numbers several images of one scene.
_SCENE = re.compile(r"(?<![\d.])-?\d+\.\d+_-?\d+\.\d+_\d{4}_\d{2}_\d{2}(?!\d)")
# How Python writes a list of names; one that needs an escape is no name of a file of the challenge.
_TEXT = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_LIST = re.compile(rf"\[{_TEXT}(?:, ?{_TEXT})*\]")
# Three times what 100,000 names take; what JSON takes in memory is some thirty times its text.
MAX_LIST_BYTES = 16 << 20
MAX_LISTED = 300_000
TRUTH_REMEDY = (
    "give a folder of Sentinel-2 tiles or a .nc file of them, or the server's mapping of truths to "
    "submissions"
)


@dataclass(frozen=True, slots=True)
class Truth:
    """One true image and the submissions that are compared with it.

    `paths` are the three tiles B4, B3, B2, or one three-band TIFF.
    """

    name: str
    paths: tuple[Path | Plane, ...]
    submissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SarInput:
    """One SAR input: the images submitted for it, and its truths."""

    name: str
    submissions: tuple[str, ...]
    truths: tuple[Truth, ...]

    def nearest(self, submission: str) -> Truth:
        """The truth nearest in date to the SAR input, the earlier of two; the first if undated."""
        sar = scene_in(self.name)

        def distance(truth: Truth) -> tuple[int, datetime.date]:
            key = scene_in(truth.name)
            if sar is None or key is None:
                return 0, datetime.date.min
            return abs(key.date - sar.date).days, key.date

        return min((t for t in self.truths if submission in t.submissions), key=distance)


@dataclass(frozen=True, slots=True)
class TruthSet:
    """The SAR inputs that can be scored, and the names of the scenes or images that cannot.

    `clear` says what truths of a folder had to be, and `left_out` counts those at the same places
    that were left out, by reason.
    """

    inputs: tuple[SarInput, ...]
    unscored: tuple[str, ...]
    clear: str = ""
    left_out: dict[str, int] = field(default_factory=dict)


def place_in(scene: str, submission: str) -> str:
    """The place of a SAR input, as its name says or else a submission's; its name if none does."""
    key = scene_in(scene) or scene_in(submission)
    return f"{key.lon}_{key.lat}" if key else scene


def scene_in(name: str) -> SceneKey | None:
    """The scene `<lon>_<lat>_<YYYY>_<MM>_<DD>` that a file name speaks of, if any."""
    for match in _SCENE.finditer(PurePosixPath(name).name):
        try:
            return SceneKey.parse(match.group())
        except ValueError:  # the date is not in the calendar
            continue
    return None


def read_mapping(path: Path, images: Sequence[str] = ()) -> tuple[SarInput, ...]:
    """The SAR inputs of a server's mapping, see `parse_mapping`.

    Raises:
        InputError: the file is missing, not JSON, or has another shape.
    """
    return parse_mapping(path, read_list(path, TRUTH_REMEDY), images)


def read_list(path: Path, remedy: str) -> Any:
    """Read a server's list or mapping, which is JSON of some megabytes at most.

    Raises:
        InputError: the file is missing, larger, or not JSON; `remedy` is the remedy of that error.
    """
    try:
        # Reading a pipe would wait for somebody to write to it.
        if path.exists() and not path.is_file():
            raise InputError(path, "is not a file", remedy=remedy)
        if path.exists() and (size := path.stat().st_size) > MAX_LIST_BYTES:
            problem = f"has {size:,} bytes; a server's list has at most {MAX_LIST_BYTES:,}"
            raise InputError(path, problem, remedy=remedy)
        return read_json(path, remedy)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a path with a NUL
        raise InputError(path, f"not readable as JSON ({error})", remedy=remedy) from None


def parse_mapping(where: Path, mapping: Any, images: Sequence[str] = ()) -> tuple[SarInput, ...]:
    """The SAR inputs of a mapping that was read from `where`.

    2022: `{sar: {truth: [submission, ...]}}`. 2023: `{"['submission', ...]": [truth, ...]}`, whose
    keys are Python lists written as text. A submission listed without a folder means the one of
    `images` that has that name.

    Raises:
        InputError: it has another shape, a name in it is not that of a file below `where`, or one
            fits two images.
    """
    entries = ImageNames(images)
    year = mapping_year(mapping)
    if year and (names := _count_names(mapping)) > MAX_LISTED:
        raise InputError(
            where, f"lists {names:,} names, more than {MAX_LISTED:,}", remedy=TRUTH_REMEDY
        )
    if year == "2022":
        return tuple(_input_2022(where, key, listed, entries) for key, listed in mapping.items())
    if year == "2023":
        return tuple(_input_2023(where, key, listed, entries) for key, listed in mapping.items())
    raise InputError(
        where, "has the shape of neither the 2022 nor the 2023 mapping", remedy=TRUTH_REMEDY
    )


def mapping_year(mapping: Any) -> str | None:
    """Which year's mapping has this shape: "2022", "2023", or None."""
    if isinstance(mapping, dict) and mapping:
        for year, kind in (("2022", dict), ("2023", list)):
            if all(isinstance(value, kind) for value in mapping.values()):
                return year
    return None


def read_pixels(truth: Truth) -> NDArray[np.generic]:
    """The pixels [3, H, W] of a truth as its files hold them, which is what the server sees."""
    return read_stored_and_meant(truth)[0]


def read_stored_and_meant(truth: Truth) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """`read_pixels` of a truth, and red, green and blue by what its files declare of them.

    In the latter, pixels that they declare invalid are 0 in all bands.
    """
    first, *others = truth.paths
    if isinstance(first, Path) and not others:
        stored = decode_tiff(first, first.read_bytes())
        return stored, honour_declared(first, stored)
    meant = read_scene("Sentinel2", truth.paths)
    # Where nothing is blank, nothing was declared to be.
    whole = meant.any(axis=0).all() and not unit_of_floats(truth.paths)
    return (meant if whole else read_stored("Sentinel2", truth.paths)), meant


def _count_names(mapping: Mapping[str, Any]) -> int:
    lists = [
        names
        for value in mapping.values()
        for names in (value.values() if isinstance(value, dict) else [value])
    ]
    return sum(len(names) for names in lists if isinstance(names, list))


def _input_2022(where: Path, sar: str, listed: Mapping[str, Any], entries: ImageNames) -> SarInput:
    if not listed:
        raise InputError(where, f"lists no truth for {sar[:80]!r}", remedy=TRUTH_REMEDY)
    _plain(where, sar)
    truths = tuple(
        Truth(name, (where.parent / _plain(where, name),), _names(where, name, names, entries))
        for name, names in listed.items()
    )
    submissions = dict.fromkeys(name for truth in truths for name in truth.submissions)
    return SarInput(sar, tuple(submissions), truths)


def _input_2023(where: Path, key: str, listed: Sequence[Any], entries: ImageNames) -> SarInput:
    # The server evaluates these keys as code; texts between quotes are all that they need to be.
    names = [text[1:-1] for text in re.findall(_TEXT, key)] if _LIST.fullmatch(key) else None
    submissions = _names(where, key, names, entries)
    truths = tuple(
        Truth(name, _tiles_of(where, name), submissions)
        for name in _names(where, key, listed, ImageNames(()))
    )
    return SarInput(submissions[0], submissions, truths)


def _names(where: Path, key: str, names: object, entries: ImageNames) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(where, f"no list of names at {key[:80]!r}", remedy=TRUTH_REMEDY)
    plain = dict.fromkeys(_plain(where, name) for name in names)
    return tuple(entries.find(name) or name for name in plain)


def _plain(where: Path, name: str) -> str:
    """A name of a mapping as a path below it; the server writes some with a `/` before them."""
    name = name.removeprefix("/")
    if problem := name_danger(name):
        raise InputError(where, f"{name[:80]!r} {problem}", remedy=TRUTH_REMEDY)
    return name


def _tiles_of(where: Path, name: str) -> tuple[Path, ...]:
    key = scene_in(name)
    if key is None or not PurePosixPath(name).name.startswith("Sentinel2_"):
        raise InputError(
            where, f"{name} cannot be the name of a truth", remedy="expected Sentinel2_<scene>.tiff"
        )
    tiles = [str(TileName("Sentinel2", band, key)) for band in RGB_BANDS]
    beside = (where.parent / name).parent
    # That server reads files.json from the folder that holds the folder of the tiles.
    below = (where.parent / ROOT_2023 / name).parent
    folder = below if (below / tiles[0]).is_file() and not (beside / tiles[0]).is_file() else beside
    return tuple(folder / tile for tile in tiles)
