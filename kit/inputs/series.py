"""The radar of a place at several dates -> one radar scene with less speckle.

In: radar scenes, and one of them. Out: the mean power of it and of those of its place that are
nearest in date, in dB again; how many these were. Power is averaged in linear units, over the
scenes that hold a measurement at a pixel: the mean of dB would be that of another quantity.
"""

import datetime
import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.ground import Place
from kit.inputs.cache import ArrayCache
from kit.scaling import radar_nodata
from kit.tiles.names import SceneKey
from kit.tiles.netcdf import Plane
from kit.tiles.scenes import Scene

_REMEDY = "put it back; a pack holds the radar of pairs alone, and other dates are read from tiles"


class RadarSeries:
    """The radar scenes of places. Any number of threads may use it at a time.

    Args:
        scenes: radar scenes, in any order.
        dates: how many are averaged at most.
        read: VV and VH of a scene in dB, [2, H, W]; raises InputError.
        places: the only ones that will be asked for; all if None.
        skip_unreadable: average the others where one cannot be read, instead of raising that.
        kept: bytes of means to keep, for those who ask for a scene again.
    """

    def __init__(
        self,
        scenes: Iterable[Scene],
        dates: int,
        read: Callable[[Scene], NDArray[np.float32]],
        *,
        places: Collection[Place] | None = None,
        skip_unreadable: bool = False,
        kept: int = 2**28,
    ) -> None:
        self._dates = dates
        self._read = read
        self._skip_unreadable = skip_unreadable
        found: dict[Place, list[Scene]] = defaultdict(list)
        for scene in scenes:
            place = scene.key.place
            if places is None or place in places:
                found[place].append(scene)
        self._places = {place: sorted(each, key=_date) for place, each in found.items()}
        self._cache = ArrayCache(kept)

    @property
    def sha256(self) -> str:
        """The fingerprint of which scenes there are, not of where their files lie."""
        digest = hashlib.sha256()
        for _, scenes in sorted(self._places.items()):
            digest.update("".join(f"{scene.key}\n" for scene in scenes).encode())
        return digest.hexdigest()

    def files(self, scene: SceneKey) -> tuple[str | Plane, ...]:
        """The tiles of the scenes `nearest`."""
        return tuple(file for each in self.nearest(scene) for file in each.files)

    def nearest(self, scene: SceneKey) -> list[Scene]:
        """The other scenes that are nearest to `scene` in date, of whatever size."""
        return self._others(scene)[: self._dates - 1]

    def average(self, scene: SceneKey, sar: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The mean power of a scene and of the nearest others of its size, and of how many it is.

        Args:
            scene: which.
            sar: its own VV and VH in dB, [2, H, W].

        Returns:
            dB [2, H, W], NaN where none of them holds a measurement, not to be changed; of one
            scene `sar` itself. Of two equally near scenes the earlier is chosen.

        Raises:
            InputError: a tile of another scene cannot be read.
        """
        if not self._others(scene):
            return sar, 1
        mean, count = self._cache.get(scene, lambda: self._mean(scene, sar))
        return (mean.astype(np.float32, copy=False), count) if count > 1 else (sar, 1)

    def _mean(self, scene: SceneKey, sar: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        series = [sar]
        for other in self._others(scene):
            if len(series) == self._dates:
                break
            try:
                found = self._read(other)
            except InputError as error:
                if self._skip_unreadable:
                    continue
                remedy = error.remedy or _REMEDY
                raise InputError(error.where, error.problem, remedy=remedy) from None
            if found.shape == sar.shape:
                series.append(found)
        # `sar` itself is never kept: its reader may take the memory for another scene.
        return (mean_power(series) if len(series) > 1 else sar[:0].copy()), len(series)

    def _others(self, scene: SceneKey) -> list[Scene]:
        """The other scenes of the place, the nearest in date first."""
        every = self._places.get(scene.place, [])
        at = bisect_left(every, scene.date, key=_date)
        # As many on either side as there may be needed, and some that may be of another size.
        near = every[max(0, at - 2 * self._dates) : at + 2 * self._dates + 1]
        others = [each for each in near if each.key != scene]
        return sorted(others, key=lambda each: (abs(each.key.date - scene.date), each.key.date))


def mean_power(series: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of scenes [2, H, W] in dB, over their power in linear units, as dB.

    A pixel of a scene without a measurement, by `kit.scaling.radar_nodata`, does not count; where
    no scene has one, the mean is NaN.
    """
    total = np.zeros(series[0].shape, np.float32)
    count = np.zeros(series[0].shape[1:], np.float32)
    for sar in series:
        measured = ~radar_nodata(sar)
        power = np.power(np.float32(10), np.where(measured, sar, 0) / np.float32(10))
        total += np.where(measured, power, 0)
        count += measured
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: NDArray[np.float32] = 10 * np.log10(total / count)
    return mean.astype(np.float32, copy=False)


def _date(scene: Scene) -> datetime.date:
    return scene.key.date
