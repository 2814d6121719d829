"""Scenes: all bands of one sensor at one place and date, and where the tile of each band lies.

A million files make a quarter of a million scenes. They are held as one text and a few numbers
each; a `Scene` is made when it is asked for.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

from kit.tiles.names import BANDS, SUFFIXES, SceneKey
from kit.tiles.netcdf import Plane
from kit.tiles.rejection import Rejection

# Where a band lies is its spot: 0 for nowhere, the index in this list for a TIFF, and from its end
# on one for each index of each NetCDF file. Of several tiles that are the same the one with the
# lowest spot is kept. The spots of a scene are one number of 32 bits a band.
FOLDERS = ("", "sent1", "sent2")
SPOTS = [(0, ""), *((number, suffix) for number in range(3) for suffix in sorted(SUFFIXES))]
_BITS, _MASK = 32, 0xFFFFFFFF
SHIFTS = {
    (sensor, band): _BITS * index
    for sensor, bands in BANDS.items()
    for index, band in enumerate(bands)
}
WIDTH = max(map(len, BANDS.values()))


def spot_in(spots: int, shift: int) -> int:
    """The spot of the band that has this shift, of the number that holds all of a scene."""
    return spots >> shift & _MASK


@dataclass(frozen=True, slots=True)
class Scene:
    """All bands of one sensor at one place and date; `files` in the order of `BANDS[sensor]`.

    A file is the path of a TIFF, or a plane of a NetCDF file.
    """

    sensor: str
    key: SceneKey
    files: tuple[str | Plane, ...]

    @property
    def paths(self) -> tuple[Path | Plane, ...]:
        """The files, those that are TIFFs as paths."""
        return tuple(file if isinstance(file, Plane) else Path(file) for file in self.files)

    def unreadable(self, reason: str) -> Rejection:
        """That this scene is left out, because one of its tiles could not be read."""
        return Rejection(f"{self.sensor} {self.key}", "unreadable", reason)


@dataclass(frozen=True, slots=True)
class Locations:
    """What spots stand for.

    `folders` is what stands before the name of a TIFF in each of `FOLDERS`. `files` are the NetCDF
    files, and `starts` the spot of index 0 of each.
    """

    folders: Sequence[str]
    files: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def file(self, spot: int, sensor: str, band: str, place: str) -> str | Plane:
        """The path of the TIFF of this place that lies at a spot, or the plane."""
        if spot < len(SPOTS):
            number, suffix = SPOTS[spot]
            return f"{self.folders[number]}{sensor}_{band}_{place}{suffix}"
        number = bisect_right(self.starts, spot) - 1
        lon, lat, day = place.split("_", 2)
        return Plane(self.files[number], sensor, band, (lon, lat, day), spot - self.starts[number])


class Scenes(Sequence[Scene]):
    """Scenes by sensor, place and date, each made when it is asked for; slices share memory.

    Args:
        locations: what the spots stand for.
        texts: `<Sensor> <lon> <lat> <YYYY>_<MM>_<DD>` of each scene.
        spots: where its bands lie, `WIDTH` numbers a scene.
        rows: which of them are meant, all of them if not given.
    """

    __slots__ = ("_locations", "_rows", "_spots", "_texts")

    def __init__(
        self,
        locations: Locations,
        texts: Sequence[str],
        spots: Sequence[int],
        rows: range | None = None,
    ) -> None:
        self._locations = locations
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
            return Scenes(self._locations, self._texts, self._spots, self._rows[index])
        return self._scene(self._rows[index])

    def __iter__(self) -> Iterator[Scene]:
        return map(self._scene, self._rows)

    def _scene(self, row: int) -> Scene:
        sensor, place = sensor_and_place(self._texts[row])
        spots = self._spots[row * WIDTH : (row + 1) * WIDTH]
        files = [
            self._locations.file(spot, sensor, band, place)
            for band, spot in zip(BANDS[sensor], spots, strict=False)
        ]
        return Scene(sensor, SceneKey.parse(place), tuple(files))


def sensor_and_place(text: str) -> tuple[str, str]:
    """Sensor, and `<lon>_<lat>_<YYYY>_<MM>_<DD>`, of a scene's text."""
    sensor, _, place = text.partition(" ")
    return sensor, place.replace(" ", "_")
