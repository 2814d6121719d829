"""The members of an ensemble -> their average of windows of a scene.

In: trained weights, an engine for each, and windows in dB. Out: images of uint16, the same as of a
single tile. Refused by name: members that are given other scenes too, or that predict another
space, and what needs a date without one.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kit.averaging import Averaging, average
from kit.engines.engine import Engine
from kit.errors import InputError
from kit.inputs.planes import InputPlanes
from kit.models.infer import infer_tiles
from kit.models.nafnet import ChannelAttention
from kit.prediction.batches import begin
from kit.prediction.predictor import Predictor, predictor
from kit.runs.weights import Weights
from kit.sources.units import SourceUnits, to_db
from kit.tiles.names import SceneKey

_NO_DATE = datetime.date(2000, 1, 1)
_SEES_ALL = (nn.InstanceNorm2d, ChannelAttention)


@dataclass(frozen=True, slots=True)
class Members:
    """Members with their engines, all for windows of one size.

    `date` is the scene's, for members that are given it. `predictor` predicts the windows.
    """

    weights: Sequence[Weights]
    engines: Sequence[Engine]
    averaging: Averaging
    flips: int
    date: datetime.date | None
    predictor: Predictor = field(default_factory=predictor)

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Images [N, 3, H, W] of windows [N, 2, H, W] in dB.

        Raises:
            CheckError: an image is not finite.
        """
        images = [
            self._predict(weights, engine, windows)
            for weights, engine in zip(self.weights, self.engines, strict=True)
        ]
        return average(images, self.averaging)

    def _predict(
        self, weights: Weights, engine: Engine, windows: NDArray[np.float32]
    ) -> NDArray[np.uint16]:
        network = partial(infer_tiles, engine, batch=engine.batch)
        planes = planes_of(weights, windows, self.date)
        return begin(self.predictor, weights, network, [*planes], self.flips)()


def planes_of(
    weights: Weights, windows: NDArray[np.float32], date: datetime.date | None
) -> NDArray[np.float32]:
    """What a network is given of windows [N, 2, H, W] in dB: the range that it was trained on."""
    planes = InputPlanes(weights.variant)
    scene = SceneKey("0.0", "0.0", date or _NO_DATE)
    asked = SourceUnits.as_trained("dB", weights.units)
    return np.stack([planes.of(scene, to_db(window, asked)).values for window in windows])


def check_members(members: Sequence[Weights], date: datetime.date | None) -> None:
    """Refuse members that a scene alone does not suffice for.

    Raises:
        InputError: names the member, and what it is given.
    """
    for weights in members:
        variant = weights.variant
        if variant.radar_dates > 1 or variant.prior:
            other = "a prior" if variant.prior else f"{variant.radar_dates} radar dates"
            problem = f"is given {other} of a place, and a scene is one date alone"
            raise InputError(variant.name, problem, remedy="give another --variant")
        if variant.date and date is None:
            problem = "is given the date of the radar, and a scene has none in its name"
            raise InputError(variant.name, problem, remedy="give it as --date YYYY-MM-DD")
        if variant.target != members[0].variant.target:
            first = members[0].variant
            problem = f"predicts {variant.target}, but {first.name} predicts {first.target}"
            remedy = "average only variants that were trained with the same target"
            raise InputError(variant.name, problem, remedy=remedy)


def seeing_whole_windows(members: Sequence[Weights]) -> tuple[str, ...]:
    """The members whose colours at a pixel depend on all of its window."""
    return tuple(
        each.variant.name
        for each in members
        if each.variant.tile_statistics
        or any(isinstance(module, _SEES_ALL) for module in each.generator.modules())
    )
