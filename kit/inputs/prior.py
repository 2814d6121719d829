"""The clear optical scenes of a place -> what the place usually looks like.

In: the pairs that a run is trained on, and a scene. Out: the prior of the scene, the median of the
clear optical scenes of its place at other dates, in the space that is learnt. A scene of the
hold-out, or of what a fold holds out, is none of these pairs, and so in no prior.
"""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from kit.averaging import average
from kit.ground import Place
from kit.inputs.cache import ArrayCache
from kit.pairs.table import Pair
from kit.scaling import UINT16_MAX, quantize
from kit.tiles.names import SceneKey

MOST = 8
"""Optical scenes of a prior: those nearest in date."""
_KEPT = 2**29  # bytes
_NEUTRAL = 0.5


class Priors:
    """The priors of scenes. Any number of threads may use it at a time.

    Args:
        pairs: what a run is trained on; those of Dataset-2 are clear.
        read: the optical image [3, H, W] of a pair in [0, 1], in the space that is learnt.
    """

    def __init__(self, pairs: Iterable[Pair], read: Callable[[Pair], NDArray[np.float32]]) -> None:
        self._read = read
        self._places: dict[Place, list[Pair]] = defaultdict(list)
        for pair in pairs:
            if pair.dataset2:
                self._places[pair.place].append(pair)
        self._cache = ArrayCache(_KEPT)

    def pairs_near(self, scene: SceneKey) -> list[Pair]:
        """The pairs of a prior of the scene, if all of the place are of its size."""
        return self._by_date(scene, self._places.get(scene.place, ()))

    def count(self, scene: SceneKey, size: tuple[int, int], without: SceneKey | None = None) -> int:
        """How many optical scenes the prior is the median of; arguments as for `image`."""
        return len(self._nearest(scene, size, without))

    def image(
        self, scene: SceneKey, size: tuple[int, int], without: SceneKey | None = None
    ) -> NDArray[np.float32] | None:
        """The median [3, H, W] in [0, 1]; None where the place has no clear scene of the size.

        Args:
            scene: of the radar; the `MOST` optical scenes nearest to its date count, of two equally
                near ones the earlier first.
            size: height and width.
            without: an optical scene that must not be looked at: in training the pair's own.

        Raises:
            InputError: the pixels of a pair cannot be read.
        """
        near = self._nearest(scene, size, without)
        if not near:
            return None
        key = tuple(str(pair.optical) for pair in near)
        levels, _ = self._cache.get(key, lambda: (self._median(near), len(near)))
        return levels.astype(np.float32) / np.float32(UINT16_MAX)

    def planes(
        self, scene: SceneKey, size: tuple[int, int], without: SceneKey | None = None
    ) -> NDArray[np.float32]:
        """The median and a plane of ones, [4, H, W]; grey and a plane of zeros where none is."""
        image = self.image(scene, size, without)
        return (
            no_prior(size)
            if image is None
            else np.concatenate([image, np.ones((1, *size), np.float32)])
        )

    def _nearest(
        self, scene: SceneKey, size: tuple[int, int], without: SceneKey | None
    ) -> list[Pair]:
        others = (
            pair
            for pair in self._places.get(scene.place, ())
            if pair.optical != without and (pair.height, pair.width) == size
        )
        return self._by_date(scene, others)

    @staticmethod
    def _by_date(scene: SceneKey, pairs: Iterable[Pair]) -> list[Pair]:
        def apart(pair: Pair) -> tuple[datetime.timedelta, datetime.date]:
            return abs(pair.optical.date - scene.date), pair.optical.date

        return sorted(pairs, key=apart)[:MOST]

    def _median(self, pairs: list[Pair]) -> NDArray[np.uint16]:
        # In integers, so that the median is exact and the same on every machine.
        return average([quantize(self._read(pair)) for pair in pairs], "median")


def no_prior(size: tuple[int, int]) -> NDArray[np.float32]:
    """The planes [4, H, W] of a place without a clear scene."""
    planes = np.zeros((4, *size), np.float32)
    planes[:3] = _NEUTRAL
    return planes
