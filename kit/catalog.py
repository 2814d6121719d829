"""A folder of tiles -> its scenes.

In: a folder in the official layout, flat or with `sent1/` and `sent2/` in it. Out: the scenes that
have all their bands, sorted, and every file or scene that was left out, with the reason. Files are
neither opened nor looked at here: a name says everything that is needed, and whatever has a tile's
name counts as one until it is read. Refused by name: a folder that cannot be listed, or without a
tile.

A million files make a quarter of a million scenes. They are held as one text and one number each;
a `Scene` is made when it is asked for.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import overload

from kit.console import Advance
from kit.errors import InputError
from kit.tiles import BANDS, FORM, SUFFIXES, SceneKey, name_fields

TELL = 4096  # names between two calls of `advance`

# Where a band lies is its spot: the index in this list, 0 for nowhere. Of several files that are
# the same tile the one with the lowest spot is kept. The spots of a scene are one number of 3 bits
# a band, which `array("I")` holds for up to ten bands.
_FOLDERS = ("", "sent1", "sent2")
_SPOTS = [(0, ""), *((number, suffix) for number in range(3) for suffix in sorted(SUFFIXES))]
_BITS, _MASK = 3, 0b111
_SHIFTS = {
    (sensor, band): _BITS * index
    for sensor, bands in BANDS.items()
    for index, band in enumerate(bands)
}


@dataclass(frozen=True, slots=True)
class Scene:
    """All bands of one sensor at one place and date; `files` in the order of `BANDS[sensor]`."""

    sensor: str
    key: SceneKey
    files: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, as paths."""
        return tuple(map(Path, self.files))


class Scenes(Sequence[Scene]):
    """Scenes by sensor, place and date, each made anew when it is asked for; slices share memory.

    Args:
        folders: what stands before the name of a file in each of the three folders.
        texts: `<Sensor> <lon> <lat> <YYYY>_<MM>_<DD>` of each scene.
        spots: where its bands lie.
        rows: which of them are meant, all of them if not given.
    """

    __slots__ = ("_folders", "_rows", "_spots", "_texts")

    def __init__(
        self,
        folders: Sequence[str],
        texts: Sequence[str],
        spots: Sequence[int],
        rows: range | None = None,
    ) -> None:
        self._folders = folders
        self._texts = texts
        self._spots = spots
        self._rows = range(len(texts)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int, /) -> Scene: ...
    @overload
    def __getitem__(self, index: slice, /) -> "Scenes": ...
    def __getitem__(self, index: int | slice, /) -> "Scene | Scenes":
        if isinstance(index, slice):
            return Scenes(self._folders, self._texts, self._spots, self._rows[index])
        return self._scene(self._rows[index])

    def __iter__(self) -> Iterator[Scene]:
        return map(self._scene, self._rows)

    def _scene(self, row: int) -> Scene:
        sensor, place = _sensor_and_place(self._texts[row])
        files = [
            f"{self._folders[number]}{sensor}_{band}_{place}{suffix}"
            for band, (number, suffix) in _bands(sensor, self._spots[row]).items()
        ]
        return Scene(sensor, SceneKey.parse(place), tuple(files))


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that was left out, and why. `kind` groups reasons for the summary."""

    name: str
    kind: str
    reason: str

    @classmethod
    def unreadable(cls, scene: Scene, reason: str) -> "Rejection":
        """A scene that is left out because one of its tiles could not be read."""
        return cls(f"{scene.sensor} {scene.key}", "unreadable", reason)


def tally(rejected: Iterable[Rejection]) -> dict[str, int]:
    """How many were left out for each kind of reason, most frequent first."""
    return dict(Counter(item.kind for item in rejected).most_common())


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a folder holds."""

    folder: Path
    scenes: Scenes
    rejected: tuple[Rejection, ...]

    def of(self, sensor: str) -> Scenes:
        """The scenes of one sensor."""
        first = bisect_left(self.scenes, sensor, key=lambda scene: scene.sensor)
        last = bisect_right(self.scenes, sensor, key=lambda scene: scene.sensor)
        return self.scenes[first:last]


def catalog(folder: Path, advance: Advance | None = None) -> Catalog:
    """Find the scenes under `folder`.

    Bands that the kit does not use (B1, B8, ...) are passed over; they are part of the data set and
    no mistake.

    Args:
        folder: where the tiles are.
        advance: told (names seen, 0) now and then; how many there will be is not known.

    Raises:
        InputError: the folder does not exist, cannot be listed, or holds no tile of Sentinel-1 or
            Sentinel-2.
    """
    folders = [os.path.join(folder, name, "") for name in _FOLDERS]
    scenes: dict[str, int] = {}
    rejected: list[Rejection] = []
    done = 0
    for number in range(len(folders)):
        done = _scan(folders, number, scenes, rejected, done, advance)
    if not scenes:
        named = f" ({len(rejected)} files have other names)" if rejected else ""
        raise InputError(folder, f"holds no tile{named}, nor do its sent1/ and sent2/",
                         f"tiles are called {FORM}")  # fmt: skip
    texts: list[str] = []
    spots = array("I")
    for text in sorted(scenes):
        sensor, place = _sensor_and_place(text)
        found = _bands(sensor, scenes[text])
        if missing := [f"no {band}" for band in BANDS[sensor] if band not in found]:
            reason = " and ".join(missing)
            rejected.append(Rejection(f"{sensor} {place}", "missing band", reason))
        else:
            texts.append(text)
            spots.append(scenes[text])
    return Catalog(folder, Scenes(folders, texts, spots), tuple(rejected))


def _scan(
    folders: Sequence[str],
    number: int,
    scenes: dict[str, int],
    rejected: list[Rejection],
    done: int,
    advance: Advance | None,
) -> int:
    """Enter the tiles of one folder in `scenes`; returns the names seen so far."""
    spot_of = {suffix: spot for spot, (n, suffix) in enumerate(_SPOTS) if spot and n == number}
    left_out: list[Rejection] = []
    again: list[tuple[str, str, int]] = []
    for name in _names(folders[number], optional=number > 0):
        done += 1
        if advance and done % TELL == 0:
            advance(done, 0)
        try:
            sensor, band, lon, lat, day, suffix = name_fields(name)
        except InputError as error:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                left_out.append(Rejection(_printable(name), "name", error.problem))
            continue
        shift = _SHIFTS.get((sensor, band))
        if shift is None:
            continue
        # A blank sorts before whatever a number holds, so that the texts sort as their fields do.
        text = f"{sensor} {lon} {lat} {day}"
        before = scenes.get(text, 0)
        held, spot = before >> shift & _MASK, spot_of[suffix]
        if held:
            again.append((text, band, max(held, spot)))
            spot = min(held, spot)
        scenes[text] = before + (spot - held << shift)
    # Only now is it settled which file of a tile is kept: a folder is listed in any order.
    for text, band, spot in again:
        sensor, place = _sensor_and_place(text)
        kept, suffix = _bands(sensor, scenes[text])[band]
        stem = f"{sensor}_{band}_{place}"
        reason = f"the same tile as {folders[kept]}{stem}{suffix}"
        left_out.append(Rejection(f"{stem}{_SPOTS[spot][1]}", "duplicate", reason))
    rejected += sorted(left_out, key=lambda item: item.name)
    if advance:
        advance(done, 0)
    return done


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
            raise InputError(Path(folder), problem, remedy) from None
    except OSError as error:
        raise InputError(Path(folder), f"cannot be listed ({error.strerror})", remedy) from None


@cache
def _bands(sensor: str, spots: int) -> dict[str, tuple[int, str]]:
    """The bands that are there, in order, each with the number of its folder and its suffix."""
    found = {band: spots >> _SHIFTS[sensor, band] & _MASK for band in BANDS[sensor]}
    return {band: _SPOTS[spot] for band, spot in found.items() if spot}


def _sensor_and_place(text: str) -> tuple[str, str]:
    sensor, _, place = text.partition(" ")
    return sensor, place.replace(" ", "_")


def _printable(name: str) -> str:
    """A name that is not UTF-8 with its odd bytes spelt out, so that a table can hold it."""
    return os.fsencode(name).decode(errors="backslashreplace")
