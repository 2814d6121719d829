"""What the predictions are compared with: optical tiles, or the server's mapping.

In: the image names of an archive, and either official Sentinel-2 tiles, in a folder of TIFFs and
NetCDF files or in one such file, or the JSON mapping of the 2022 or the 2023 server. Out: for each
SAR input its submitted images and its truths, as paths; pixels are read when they are scored.
Refused by name: tiles of other places or dates, a mapping of another shape, a truth or a submission
that is not there.
"""

import datetime
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kit.archive.reader import name_danger
from kit.cli.console import Advance
from kit.errors import InputError
from kit.files import read_json
from kit.screening.counts import COLUMNS, count
from kit.screening.rule import CloudRule
from kit.tiles import netcdf
from kit.tiles.tiff import BANDS, RGB_BANDS, SUFFIXES, SceneKey, TileName, read_scene

# Anything may follow the date, such as the `_1` that numbers several images of one scene.
_SCENE = re.compile(r"(?<![\d.])-?\d+\.\d+_-?\d+\.\d+_\d{4}_\d{2}_\d{2}(?!\d)")
# How Python writes a list of names; one that needs an escape is no name of a file of the challenge.
_TEXT = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_LIST = re.compile(rf"\[{_TEXT}(?:, ?{_TEXT})*\]")
# Three times what 100,000 names take; what JSON unfolds to is some thirty times its text.
MAX_LIST_BYTES = 16 << 20
MAX_LISTED = 300_000
_REMEDY = (
    "give a folder of Sentinel-2 tiles or a .nc file of them, or the server's mapping of truths to "
    "submissions"
)


@dataclass(frozen=True, slots=True)
class Truth:
    """One true image and the submissions that are compared with it.

    `paths` are the three tiles B4, B3, B2, or one three-band TIFF.
    """

    name: str
    paths: tuple[Path, ...]
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
    """The SAR inputs that can be scored, and the names of the scenes or images that cannot."""

    inputs: tuple[SarInput, ...]
    unscored: tuple[str, ...]


def scene_in(name: str) -> SceneKey | None:
    """The scene `<lon>_<lat>_<YYYY>_<MM>_<DD>` that a file name speaks of, if any."""
    for match in _SCENE.finditer(PurePosixPath(name).name):
        try:
            return SceneKey.parse(match.group())
        except ValueError:  # the date is not in the calendar
            continue
    return None


def load_truth(
    path: Path, images: Sequence[str], window_days: int = 7, advance: Advance | None = None
) -> TruthSet:
    """Find the truths of an archive's images.

    Args:
        path: a folder of Sentinel-2 tiles or one NetCDF file of them, or the JSON mapping of the
            2022 or 2023 server.
        images: the names of the archive's images.
        window_days: for tiles, how far a truth may be from the SAR date, either way, inclusive.
        advance: called with the truths examined for clouds, and their number.

    Raises:
        InputError: there is no truth for any image, or the mapping or a file of it is not usable.
    """
    if path.is_dir() or path.suffix == netcdf.SUFFIX:
        return _from_tiles(path, images, window_days, advance)
    inputs = read_mapping(path, images)
    listed = {name for sar in inputs for name in sar.submissions}
    if missing := sorted(listed.difference(images)):
        problem = (
            f"the archive lacks {len(missing)} of its {len(listed)} images, {missing[0]} first"
        )
        raise InputError(path, problem, "package with --expected and the server's list of names")
    for sar in inputs:
        for file in (file for truth in sar.truths for file in truth.paths):
            if not file.is_file():
                raise InputError(file, "no such truth", f"{path.name} lists it for {sar.name}")
    return TruthSet(inputs, tuple(sorted(set(images) - listed)))


def read_mapping(path: Path, images: Sequence[str] = ()) -> tuple[SarInput, ...]:
    """The SAR inputs of a server's mapping, see `parse_mapping`.

    Raises:
        InputError: the file is missing, not JSON, or has another shape.
    """
    return parse_mapping(path, read_list(path, _REMEDY), images)


def read_list(path: Path, remedy: str) -> Any:
    """Read a server's list or mapping, which is JSON of some megabytes at most.

    Raises:
        InputError: the file is missing, larger, or not JSON; `remedy` is what the user is told.
    """
    try:
        # Reading a pipe would wait for somebody to write to it.
        if path.exists() and not path.is_file():
            raise InputError(path, "is not a file", remedy)
        if path.exists() and (size := path.stat().st_size) > MAX_LIST_BYTES:
            problem = f"has {size:,} bytes, no list of a server more than {MAX_LIST_BYTES:,}"
            raise InputError(path, problem, remedy)
        return read_json(path, remedy)
    except InputError:
        raise
    except RecursionError:
        raise InputError(path, "is nested too deeply for a list of names", remedy) from None
    except (OSError, ValueError) as error:  # a number of too many digits, a path with a NUL
        where = ascii(str(path))[1:-1]
        raise InputError(where, f"not readable as JSON ({error})", remedy) from None


def parse_mapping(where: Path, mapping: Any, images: Sequence[str] = ()) -> tuple[SarInput, ...]:
    """The SAR inputs of a mapping that was read from `where`.

    2022: `{sar: {truth: [submission, ...]}}`. 2023: `{"['submission', ...]": [truth, ...]}`, whose
    keys are Python lists written as text. A submission listed without a folder means the one of
    `images` that has that name.

    Raises:
        InputError: it has another shape, or a name in it is not that of a file below `where`.
    """
    entries = {PurePosixPath(image).name: image for image in images}
    year = mapping_year(mapping)
    if year and (names := _count_names(mapping)) > MAX_LISTED:
        raise InputError(where, f"lists {names:,} names, more than {MAX_LISTED:,}", _REMEDY)
    if year == "2022":
        return tuple(_input_2022(where, key, listed, entries) for key, listed in mapping.items())
    if year == "2023":
        return tuple(_input_2023(where, key, listed, entries) for key, listed in mapping.items())
    raise InputError(where, "has the shape of neither the 2022 nor the 2023 mapping", _REMEDY)


def mapping_year(mapping: Any) -> str | None:
    """Which year's mapping has this shape: "2022", "2023", or None."""
    if isinstance(mapping, dict) and mapping:
        for year, kind in (("2022", dict), ("2023", list)):
            if all(isinstance(value, kind) for value in mapping.values()):
                return year
    return None


def _count_names(mapping: Mapping[str, Any]) -> int:
    lists = [
        names
        for value in mapping.values()
        for names in (value.values() if isinstance(value, dict) else [value])
    ]
    return sum(len(names) for names in lists if isinstance(names, list))


def _input_2022(
    where: Path, sar: str, listed: Mapping[str, Any], entries: Mapping[str, str]
) -> SarInput:
    if not listed:
        raise InputError(where, f"lists no truth for {sar[:80]!r}", _REMEDY)
    _plain(where, sar)
    truths = tuple(
        Truth(name, (where.parent / _plain(where, name),), _names(where, name, names, entries))
        for name, names in listed.items()
    )
    submissions = dict.fromkeys(name for truth in truths for name in truth.submissions)
    return SarInput(sar, tuple(submissions), truths)


def _input_2023(
    where: Path, key: str, listed: Sequence[Any], entries: Mapping[str, str]
) -> SarInput:
    # The server evaluates these keys as code; texts between quotes are all that they need to be.
    names = [text[1:-1] for text in re.findall(_TEXT, key)] if _LIST.fullmatch(key) else None
    submissions = _names(where, key, names, entries)
    truths = tuple(
        Truth(name, _tiles_of(where, name), submissions) for name in _names(where, key, listed, {})
    )
    return SarInput(submissions[0], submissions, truths)


def _names(where: Path, key: str, names: object, entries: Mapping[str, str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(where, f"no list of names at {key[:80]!r}", _REMEDY)
    return tuple(entries.get(name, _plain(where, name)) for name in dict.fromkeys(names))


def _plain(where: Path, name: str) -> str:
    """A name of a mapping as a path below it; the server writes some with a `/` before them."""
    name = name.removeprefix("/")
    if problem := name_danger(name):
        raise InputError(where, f"{name[:80]!r} {problem}", _REMEDY)
    return name


def _tiles_of(where: Path, name: str) -> tuple[Path, ...]:
    key = scene_in(name)
    if key is None or not PurePosixPath(name).name.startswith("Sentinel2_"):
        raise InputError(where, f"no truth can be called {name}", "expected Sentinel2_<scene>.tiff")
    folder = (where.parent / name).parent
    return tuple(folder / str(TileName("Sentinel2", band, key)) for band in RGB_BANDS)


def _from_tiles(
    source: Path, images: Sequence[str], window_days: int, advance: Advance | None
) -> TruthSet:
    submissions: dict[SceneKey, list[str]] = defaultdict(list)
    for image in images:
        if (key := scene_in(image)) is None:
            raise InputError(image, "names no place and date", "a folder of truths needs them")
        submissions[key].append(image)
    tiles = _scan(source)
    near = _near(submissions, tiles, window_days)
    candidates = sorted({scene for scenes in near.values() for scene in scenes})
    clear = set()
    for done, scene in enumerate(candidates, 1):
        if _is_clear(tiles[scene]):
            clear.add(scene)
        if advance:
            advance(done, len(candidates))
    inputs = []
    for key, scenes in near.items():
        names = tuple(submissions[key])
        if truths := tuple(
            Truth(str(scene), tuple(tiles[scene][band] for band in RGB_BANDS), names)
            for scene in scenes
            if scene in clear
        ):
            inputs.append(SarInput(str(key), names, truths))
    if not inputs:
        raise _nothing_near(source, near, tiles, window_days)
    scored = {sar.name for sar in inputs}
    return TruthSet(tuple(inputs), tuple(str(key) for key in near if str(key) not in scored))


def _scan(source: Path) -> dict[SceneKey, dict[str, Path]]:
    tiles: dict[SceneKey, dict[str, Path]] = defaultdict(dict)
    for name, path in _tiles(source):
        if name.sensor == "Sentinel2" and name.band in BANDS["Sentinel2"]:
            tiles[name.scene].setdefault(name.band, path)
    complete = {key: bands for key, bands in tiles.items() if bands.keys() >= set(RGB_BANDS)}
    if not complete:
        raise InputError(source, f"holds no scene with {', '.join(RGB_BANDS)}", _REMEDY)
    return complete


def _tiles(source: Path) -> Iterator[tuple[TileName, Path]]:
    """All tiles in a folder and the folders in it, or in one NetCDF file; TIFFs come first."""
    files = _files(source)
    for path in files:
        if path.name.startswith("Sentinel2_") and path.suffix in SUFFIXES:
            # A folder of truths may hold other files too.
            with suppress(InputError):
                yield TileName.parse(path.name), path
    for file in (path for path in files if path.suffix == netcdf.SUFFIX):
        head = netcdf.read_head(str(file))
        bands = [band for band in BANDS.get(head.sensor, ()) if band in head.bands]
        for index, place in enumerate(netcdf.read_places(str(file)) if bands else ()):
            if isinstance(place, InputError):
                continue
            scene = SceneKey.parse("_".join(place))
            for band in bands:
                plane = netcdf.Plane(str(file), head.sensor, band, place, index)
                yield TileName(head.sensor, band, scene), Path(str(plane))


def _files(source: Path) -> list[Path]:
    """The files in a folder and in all below it, linked ones too but each once; or one file."""
    if not source.is_dir():
        return [source]
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for name, folders, files in os.walk(source, followlinks=True):
        status = os.stat(name)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        found += (Path(name, file) for file in files)
    return sorted(found)


def _near(
    keys: Iterable[SceneKey], scenes: Iterable[SceneKey], window_days: int
) -> dict[SceneKey, list[SceneKey]]:
    at: dict[tuple[str, str], list[SceneKey]] = defaultdict(list)
    for scene in sorted(scenes):
        at[scene.lon, scene.lat].append(scene)
    return {
        key: [s for s in at[key.lon, key.lat] if abs((s.date - key.date).days) <= window_days]
        for key in sorted(keys)
    }


def _is_clear(tiles: Mapping[str, Path]) -> bool:
    paths = [tiles[band] for band in BANDS["Sentinel2"] if band in tiles]
    scene = read_scene("Sentinel2", paths)
    qa60 = scene[3:] if len(scene) > 3 else np.zeros_like(scene[:1])
    counts = dict(zip(COLUMNS, count(scene[None, :3], qa60, CloudRule())[0], strict=True))
    return not (counts["nodata"] or counts["qa60"] or counts["cloud"])


def _nothing_near(
    folder: Path,
    near: Mapping[SceneKey, Sequence[SceneKey]],
    scenes: Iterable[SceneKey],
    window_days: int,
) -> InputError:
    if any(near.values()):
        problem = f"every truth within {window_days} days of a prediction has clouds or nodata"
        return InputError(folder, problem, "widen the window, or give more dates")
    for scene in sorted(scenes):
        for key in near:
            if (key.lon, key.lat) == (scene.lon, scene.lat):
                problem = f"no truth within {window_days} days: {key} is predicted, {scene} is true"
                return InputError(folder, problem, "widen the window, or give more dates")
    key, scene = min(near), min(scenes)
    problem = (
        f"holds other places: {key.lon}_{key.lat} is predicted, {scene.lon}_{scene.lat} is true"
    )
    return InputError(folder, problem, "give the truth of the predicted scenes")
