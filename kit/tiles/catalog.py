"""A folder of tiles -> its scenes.

In: a folder in the official layout, flat or with `sent1/` and `sent2/` in it, of TIFFs, NetCDF
files or both; or one NetCDF file. Out: the scenes that have all their bands, sorted, and every file
or scene that was left out, with the reason. TIFFs are not opened here: a name says
everything that is needed, and whatever has a tile's name counts as one until it is read. Of a
NetCDF file all is read but the pixels. Refused by name: a folder that cannot be listed, or without
a tile.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import InputError
from kit.plain_text import printable
from kit.progress import Advance
from kit.tiles.names import BANDS, DTYPES, FORM, SUFFIXES, name_fields
from kit.tiles.netcdf import SUFFIX, Plane, read_head, read_places
from kit.tiles.netcdf_file import Head, libraries
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import (
    FOLDERS,
    SHIFTS,
    SPOTS,
    WIDTH,
    Locations,
    Scenes,
    sensor_and_place,
    spot_in,
)
from kit.tiles.unfinished import refuse_unfinished

REPORT_EVERY = 4096  # names between two calls of `advance`


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a folder holds; `others` is how many tiles of each sensor the kit does not use."""

    scenes: Scenes
    rejected: tuple[Rejection, ...]
    others: Mapping[str, int]

    def of(self, sensor: str) -> Scenes:
        """The scenes of one sensor."""
        first = bisect_left(self.scenes, sensor, key=lambda scene: scene.sensor)
        last = bisect_right(self.scenes, sensor, key=lambda scene: scene.sensor)
        return self.scenes[first:last]


def catalog(folder: Path, advance: Advance | None = None) -> Catalog:
    """Find the scenes under `folder`.

    Bands that the kit does not use (B1, B8, ...) are skipped; they are part of the data set and no
    mistake. So are sensors that it does not use, and a QA60 that another file has too: each part
    of the 2023 edition's Sentinel-2 repeats it.

    Args:
        folder: where the tiles are, or one NetCDF file.
        advance: called with (names and indices seen, 0) now and then; their number is not known.

    Raises:
        InputError: the folder does not exist, cannot be listed, holds no tile of Sentinel-1 or
            Sentinel-2, or is not finished; or it has NetCDF files, and xarray is not installed.
    """
    refuse_unfinished(folder)
    found = _Collector(Locations([os.path.join(folder, name, "") for name in FOLDERS]), advance)
    alone = folder.suffix == SUFFIX and not folder.is_dir()
    files = (
        [str(folder)]
        if alone
        else [f for number in range(len(FOLDERS)) for f in found.scan(number)]
    )
    found.open(files, alone=alone)
    if not found.scenes:
        raise found.no_scene(folder, alone=alone)
    texts: list[str] = []
    spots = array("I")
    shifts = {s: [SHIFTS[s, band] for band in bands] for s, bands in BANDS.items()}
    padding = {s: [0] * (WIDTH - len(bands)) for s, bands in BANDS.items()}
    for text in sorted(found.scenes):
        sensor, _, place = text.partition(" ")
        at = [spot_in(found.scenes[text], shift) for shift in shifts[sensor]]
        if 0 in at:
            lost = (f"no {band}" for band, spot in zip(BANDS[sensor], at, strict=True) if not spot)
            key = place.replace(" ", "_")
            found.reject(f"{sensor} {key}", "missing band", " and ".join(lost))
        else:
            texts.append(text)
            spots.extend(at)
            spots.extend(padding[sensor])
    scenes = Scenes(found.locations, texts, spots)
    return Catalog(scenes, tuple(found.rejected), dict(found.others))


@dataclass(slots=True)
class _Collector:
    """What has been found so far: the spots of each scene, by its text."""

    locations: Locations
    advance: Advance | None
    scenes: dict[str, int] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    done: int = 0

    def reject(self, name: str, kind: str, reason: str) -> None:
        """List a file or a scene as left out."""
        self.rejected.append(Rejection(printable(name), kind, reason))

    def scan(self, number: int) -> list[str]:
        """Enter the TIFFs of one folder; returns its NetCDF files."""
        folder, scenes = self.locations.folders[number], self.scenes
        spot_of = {suffix: spot for spot, (n, suffix) in enumerate(SPOTS) if spot and n == number}
        first = len(self.rejected)
        again: list[tuple[str, str, int]] = []
        files: list[str] = []
        for name in _names(folder, optional=number > 0):
            self.done += 1
            if self.advance and self.done % REPORT_EVERY == 0:
                self.advance(self.done, 0)
            try:
                sensor, band, lon, lat, day, suffix = name_fields(name)
            except InputError as error:
                if os.path.splitext(name)[1].lower() in SUFFIXES:
                    self.reject(name, "name", error.problem)
                elif name.endswith(SUFFIX):
                    files.append(folder + name)
                continue
            shift = SHIFTS.get((sensor, band))
            if shift is None:
                if sensor not in BANDS:
                    self.others[sensor] += 1
                continue
            # A blank sorts before whatever a number holds, so that texts sort as their fields do.
            text = f"{sensor} {lon} {lat} {day}"
            before = scenes.get(text, 0)
            held, spot = spot_in(before, shift), spot_of[suffix]
            if held:
                again.append((text, band, max(held, spot)))
                spot = min(held, spot)
            scenes[text] = before + (spot - held << shift)
        # Only now is it settled which file of a tile is kept: a folder is listed in any order.
        for text, band, spot in again:
            sensor, place = sensor_and_place(text)
            kept = self._file_in(self.scenes[text], sensor, band, place)
            name = os.path.basename(str(self.locations.file(spot, sensor, band, place)))
            self.reject(name, "duplicate", f"the same tile as {kept}")
        self.rejected[first:] = sorted(self.rejected[first:], key=lambda item: item.name)
        if self.advance:
            self.advance(self.done, 0)
        return sorted(files)

    def open(self, files: Sequence[str], *, alone: bool) -> None:
        """Enter the planes of NetCDF files; one among others that cannot be read costs itself."""
        if files:
            libraries(files[0])  # refuses where no file can be read
        usable = []
        for file in files:
            try:
                head = read_head(file)
                bands = [band for band in BANDS.get(head.sensor, ()) if band in head.bands]
                _check_kind(file, head, bands)
            except InputError as error:
                if alone:
                    raise
                self.reject(os.path.basename(file), "NetCDF", error.problem)
            else:
                usable += [(file, head, bands)] if bands else []
        # A scene is read from one chunk if the file with most of its bands comes first.
        start = len(SPOTS)
        for file, head, bands in sorted(usable, key=lambda item: -len(item[2])):
            self.locations.files.append(file)
            self.locations.starts.append(start)
            self._enter(file, head.sensor, bands, start)
            start += head.scenes

    def _enter(self, file: str, sensor: str, bands: Sequence[str], start: int) -> None:
        """Enter the planes of one file, the spot of whose first index is `start`."""
        name = os.path.basename(file)
        for spot, place in enumerate(read_places(file), start):
            self.done += 1
            if self.advance and self.done % REPORT_EVERY == 0:
                self.advance(self.done, 0)
            if isinstance(place, InputError):
                self.reject(f"{sensor} {name}::{spot - start}", "name", place.problem)
                continue
            text = " ".join((sensor, *place))
            before = number = self.scenes.get(text, 0)
            if bands == ["QA60"] and not before:
                continue
            again = [band for band in bands if spot_in(before, SHIFTS[sensor, band])]
            for band in bands:
                if band not in again:
                    number += spot << SHIFTS[sensor, band]
            self.scenes[text] = number
            if again and again != ["QA60"]:
                key = "_".join(place)
                kept = self._file_in(before, sensor, again[0], key)
                reason = f"{', '.join(again)} of {name}::{spot - start}: the same tile as {kept}"
                self.reject(f"{sensor} {key}", "duplicate", reason)

    def _file_in(self, spots: int, sensor: str, band: str, place: str) -> str | Plane:
        """The file of a band, of the number that holds all spots of its scene."""
        return self.locations.file(spot_in(spots, SHIFTS[sensor, band]), sensor, band, place)

    def no_scene(self, folder: Path, *, alone: bool) -> InputError:
        """The error if there is no scene."""
        if alone:
            return InputError(folder, "holds no scene of Sentinel-1 or Sentinel-2")
        names = sum(item.kind == "name" for item in self.rejected)
        named = f" ({names} files have other names)" if names else ""
        if self.others:
            named += " of Sentinel1 or Sentinel2, but of " + ", ".join(sorted(self.others))
        problem = f"holds no tile{named}, nor do its sent1/ and sent2/"
        for item in [item for item in self.rejected if item.kind == "NetCDF"][:3]:
            problem += f"; {item.name}: {item.reason}"
        return InputError(folder, problem, remedy=f"tiles are called {FORM}")


def _check_kind(file: str, head: Head, bands: Sequence[str]) -> None:
    """Refuse images of a sensor that the kit uses if it cannot use them."""
    if not head.scenes:
        raise InputError(file, "holds no scene")
    wanted = BANDS.get(head.sensor)
    if wanted and not bands:
        raise InputError(file, f"holds {', '.join(head.bands)}, none of {', '.join(wanted)}")
    if wanted and head.dtype not in DTYPES[head.sensor]:
        expected = " or ".join(DTYPES[head.sensor])
        problem = f"pixels are {head.dtype}, and {head.sensor} tiles hold {expected}"
        raise InputError(file, problem, remedy=f"write {DTYPES[head.sensor][0]}")


def _names(folder: str, *, optional: bool) -> Iterator[str]:
    remedy = "give the folder that holds the tiles"
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name
    except (FileNotFoundError, NotADirectoryError) as error:
        if not optional:
            missing = isinstance(error, FileNotFoundError)
            problem = "no such folder" if missing else "is not a folder"
            raise InputError(Path(folder), problem, remedy=remedy) from None
    except OSError as error:
        raise InputError(
            Path(folder), f"cannot be listed ({error.strerror})", remedy=remedy
        ) from None
