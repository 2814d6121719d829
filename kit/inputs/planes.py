"""What the network of a variant is given of a scene, for training and for prediction alike.

In: a radar scene, as dB. Out: its planes [C, H, W] in [0, 1], C being `Variant.input_channels`, in
this order: VV, VH; with `date` the sine and the cosine of the radar's day of the year.
"""

import datetime
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.pairs.source import Source
from kit.pairs.table import Pair
from kit.scaling import scale_optical, scale_radar
from kit.tiles.names import SceneKey
from kit.variants import Variant

_YEAR = 365.25  # days


@dataclass(frozen=True, slots=True)
class InputPlanes:
    """Makes the planes of scenes for `variant`. Any number of threads may use it at a time."""

    variant: Variant

    @property
    def is_radar_alone(self) -> bool:
        """Whether the network is given nothing but VV and VH of the scene."""
        return self.variant.input_channels == 2

    def of(
        self, scene: SceneKey, sar: NDArray[np.float32], nodata: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """All planes [C, H, W] of a radar scene, in [0, 1].

        Args:
            scene: of the radar.
            sar: VV and VH in dB, [2, H, W].
            nodata: what `kit.scaling.radar_nodata` finds there, if it is known.
        """
        radar = scale_radar(sar, nodata)
        beside = self.beside(scene, (radar.shape[1], radar.shape[2]))
        return radar if beside is None else np.concatenate([radar, beside])

    def beside(self, scene: SceneKey, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """The planes beside VV and VH, [C - 2, H, W] in [0, 1]; None if the variant has none."""
        if not self.variant.date:
            return None
        return season_planes(scene.date, size)


def season_planes(date: datetime.date, size: tuple[int, int]) -> NDArray[np.float32]:
    """Two planes [2, H, W] of one value each, in [0, 1].

    They are (1 + sin) / 2 and (1 + cos) / 2 of the day of the year, of which a turn is a year: the
    last day lies beside the first.
    """
    angle = 2 * math.pi * (date.timetuple().tm_yday - 1) / _YEAR
    values = np.array([1 + math.sin(angle), 1 + math.cos(angle)], np.float32) / 2
    return np.broadcast_to(values[:, None, None], (2, *size))


def read_pair(
    planes: InputPlanes, source: Source, pair: Pair
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One pair as the input [C, H, W] of the network and its optical image [3, H, W], in [0, 1].

    Raises:
        InputError: `source` cannot give its pixels.
    """
    with source.pixels(pair) as (sar, optical):
        return planes.of(pair.radar, sar), scale_optical(optical, planes.variant.target)


def read_optical(source: Source, pair: Pair, target: str) -> NDArray[np.float32]:
    """The optical image [3, H, W] of a pair in [0, 1], in the space of `target`.

    Raises:
        InputError: `source` cannot give its pixels.
    """
    with source.pixels(pair) as (_, optical):
        return scale_optical(optical, target)
