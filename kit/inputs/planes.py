"""What the network of a variant is given of a scene, for training and for prediction alike.

In: a radar scene, as dB. Out: its planes [C, H, W] in [0, 1], C being `Variant.input_channels`, in
this order: VV and VH, the mean power of `radar_dates` dates; with `date` the sine and the cosine of
the radar's day of the year; with `prior` the median of the place's clear optical scenes at other
dates, as B4, B3, B2, and a plane that is 1 where there is one.
"""

import datetime
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.inputs.prior import Priors, no_prior
from kit.inputs.series import RadarSeries
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.scaling import scale_optical, scale_radar
from kit.tiles.names import SceneKey
from kit.tiles.netcdf import Plane
from kit.variants.settings import Variant

_YEAR = 365.25  # days


class Planes(NamedTuple):
    """The planes [C, H, W] of a scene, in [0, 1], and of how many dates they are made."""

    values: NDArray[np.float32]
    radar_dates: int
    prior_dates: int


@dataclass(frozen=True, slots=True)
class InputPlanes:
    """Makes the planes of scenes. Any number of threads may use it at a time.

    `kit.runs.planes` makes it for a run.

    Args:
        variant: says which planes there are.
        series: the radar of other dates, if `variant.radar_dates` is more than 1.
        priors: if `variant.prior` is true.
    """

    variant: Variant
    series: RadarSeries | None = None
    priors: Priors | None = None

    def __post_init__(self) -> None:
        """Refuse a variant whose planes could not be made."""
        lacks_series = self.variant.radar_dates > 1 and self.series is None
        if lacks_series or (self.variant.prior and self.priors is None):
            raise ValueError(f"{self.variant.name} is given other scenes too")

    @property
    def is_radar_alone(self) -> bool:
        """Whether the network is given nothing but VV and VH of the scene itself."""
        return self.variant.input_channels == 2 and self.series is None

    def names(self, scene: SceneKey) -> list[str]:
        """The scenes that the planes of a radar scene are made of, itself first.

        Optical ones, of a prior, have a mark: those of two sensors may have one name.
        """
        others = self.series.nearest(scene) if self.series else ()
        optical = self.priors.pairs_near(scene) if self.priors else ()
        radar = (scene, *(each.key for each in others))
        return [*map(str, radar), *(f"prior:{pair.optical}" for pair in optical)]

    def files(self, scene: SceneKey) -> tuple[str | Plane, ...]:
        """The tiles of other scenes that the planes of a radar scene are made of."""
        radar = self.series.files(scene) if self.series else ()
        near = self.priors.pairs_near(scene) if self.priors else ()
        optical = (path for pair in near for path in pair.optical_paths)
        return *radar, *(str(path) if isinstance(path, Path) else path for path in optical)

    def of(
        self,
        scene: SceneKey,
        sar: NDArray[np.float32],
        nodata: NDArray[np.bool_] | None = None,
        without: SceneKey | None = None,
        hide_prior: bool = False,
    ) -> Planes:
        """All planes of a radar scene.

        Args:
            scene: of the radar.
            sar: VV and VH in dB, [2, H, W].
            nodata: what `kit.scaling.radar_nodata` finds there, if it is known.
            without: an optical scene that no prior may show: that of the pair.
            hide_prior: make the planes of a place that has none.

        Raises:
            InputError: a tile of another scene cannot be read.
        """
        mean, dates = self.radar(scene, sar)
        radar = scale_radar(mean, nodata if mean is sar else None)
        size = sar.shape[1], sar.shape[2]
        beside = self.beside(scene, size, without, hide_prior)
        visible = self.priors if not hide_prior else None
        priors = visible.count(scene, size, without) if visible else 0
        values = radar if beside is None else np.concatenate([radar, beside])
        return Planes(values, dates, priors)

    def radar(self, scene: SceneKey, sar: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The radar in dB that becomes VV and VH, and of how many dates it is."""
        return self.series.average(scene, sar) if self.series else (sar, 1)

    def beside(
        self,
        scene: SceneKey,
        size: tuple[int, int],
        without: SceneKey | None = None,
        hide_prior: bool = False,
    ) -> NDArray[np.float32] | None:
        """The planes beside VV and VH, [C - 2, H, W] in [0, 1]; None if the variant has none.

        With `hide_prior` they are those of a place without a prior.
        """
        made = [season_planes(scene.date, size)] if self.variant.date else []
        if self.priors:
            priors = self.priors
            made.append(no_prior(size) if hide_prior else priors.planes(scene, size, without))
        return np.concatenate(made) if len(made) > 1 else made[0] if made else None


def season_planes(date: datetime.date, size: tuple[int, int]) -> NDArray[np.float32]:
    """Two planes [2, H, W] of one value each, in [0, 1].

    They are (1 + sin) / 2 and (1 + cos) / 2 of the day of the year, of which a turn is a year: the
    last day lies beside the first.
    """
    angle = 2 * math.pi * (date.timetuple().tm_yday - 1) / _YEAR
    values = np.array([1 + math.sin(angle), 1 + math.cos(angle)], np.float32) / 2
    return np.broadcast_to(values[:, None, None], (2, *size))


def read_pair(
    planes: InputPlanes, reader: PairReader, pair: Pair, hide_prior: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One pair as the input [C, H, W] of the network and its optical image [3, H, W], in [0, 1].

    With `hide_prior` the input is that of a place without a prior.

    Raises:
        InputError: `reader` cannot give its pixels, or a tile of another scene cannot be read.
    """
    with reader.pixels(pair) as (sar, optical):
        made = planes.of(pair.radar, sar, without=pair.optical, hide_prior=hide_prior)
        return made.values, scale_optical(optical, planes.variant.target)


def read_optical(reader: PairReader, pair: Pair, target: str) -> NDArray[np.float32]:
    """The optical image [3, H, W] of a pair in [0, 1], in the space of `target`.

    Raises:
        InputError: `reader` cannot give its pixels.
    """
    with reader.pixels(pair) as (_, optical):
        return scale_optical(optical, target)
