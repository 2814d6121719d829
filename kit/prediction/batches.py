"""Scenes that wait until a batch of their size is full, and the engines that predict them.

In: readings of scenes, in any order and of any size. Out: their images [3, H, W] as
uint16, over which [0, 1] is spread. Tiles
of the size of most are predicted by the engine that was chosen. Tiles of another, and quarter turns
of tiles that are not square, are predicted eagerly: a rare size is not worth building an engine.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kit.engines.engine import Engine
from kit.errors import CheckError
from kit.models.flips import average_views
from kit.models.infer import infer_tiles, to_levels, upload
from kit.prediction.pipeline import Input, Reading
from kit.progress import Report
from kit.runs.weights import Weights

Predicted = tuple[Reading, Input, NDArray[np.uint16]]
"""A scene, what the network was given of it, and the image [3, H, W]."""


def draw(
    weights: Weights, network: Callable[[Tensor], Tensor], planes: NDArray[np.float32], flips: int
) -> NDArray[np.uint16]:
    """Images [N, 3, H, W] of uint16, over which [0, 1] is spread.

    Args:
        weights: of the network.
        network: planes to images, both in [0, 1] and where they are computed.
        planes: what it is given, [N, C, H, W].
        flips: how many views are averaged, see `kit.models.flips`. Fitted models show a view as
            they show the scene, so one is enough for them.

    Raises:
        CheckError: an image is not finite.
    """
    views = 1 if weights.variant.is_fitted else flips
    images = to_levels(average_views(network, upload(planes), views))
    if images is None:
        name = weights.variant.name
        problem = f"{name}: the generator's output is not finite"
        raise CheckError(f"{problem}\n  train {name} again, with a smaller lr")
    return images


class Batches:
    """The scenes that wait for one network.

    Args:
        weights: of the network.
        flips: how many views of a scene are averaged, as `draw` takes it.
        record: called with an engine before an image that it has a part in is given back.
        report: takes a line about the engines.

    Attributes:
        engine: predicts the tiles of its size.
    """

    def __init__(
        self,
        weights: Weights,
        flips: int = 1,
        record: Callable[[Engine], object] = lambda _: None,
        report: Report = lambda _: None,
    ) -> None:
        self.engine: Engine | None = None
        self._weights = weights
        self._flips = flips
        self._record = record
        self._report = report
        self._waiting: list[tuple[Reading, Input]] = []
        self._eager: Engine | None = None
        self._waiting_eager: list[tuple[Reading, Input]] = []
        self._turned: Engine | None = None

    def add(self, reading: Reading, given: Input) -> list[Predicted]:
        """Take a scene in; returns those that were predicted, if a batch is full by now.

        Raises:
            CheckError: an image is not finite.
        """
        height, width = reading.radar.shape[1:]
        done = []
        if self.engine and self.engine.fits(height, width):
            engine, waiting = self.engine, self._waiting
        else:
            if not (self._eager and self._eager.fits(height, width)):
                done = self._predict(self._waiting_eager, self._eager)
                self._eager = Engine.eager(self._weights, (height, width), self._report)
            engine, waiting = self._eager, self._waiting_eager
        waiting.append((reading, given))
        return done if len(waiting) < engine.batch else done + self._predict(waiting, engine)

    def flush(self) -> list[Predicted]:
        """Predict the scenes that wait for a full batch; raises as `add`."""
        done = self._predict(self._waiting, self.engine)
        return done + self._predict(self._waiting_eager, self._eager)

    def _predict(
        self, waiting: list[tuple[Reading, Input]], engine: Engine | None
    ) -> list[Predicted]:
        batch = waiting.copy()
        waiting.clear()
        if not (batch and engine):
            return []
        planes = np.stack([given.planes for _, given in batch])
        images = draw(self._weights, partial(self._infer, engine), planes, self._flips)
        return [(*each, image) for each, image in zip(batch, images, strict=True)]

    def _infer(self, engine: Engine, planes: Tensor) -> Tensor:
        height, width = planes.shape[2:]
        if not engine.fits(height, width):
            engine = self._turned_engine(engine, height, width)
        self._record(engine)
        return infer_tiles(engine, planes, engine.batch)

    def _turned_engine(self, engine: Engine, height: int, width: int) -> Engine:
        """What predicts the quarter turns of tiles that are not square."""
        if not (self._turned and self._turned.fits(height, width)):
            self._turned = Engine.eager(self._weights, (height, width), self._report)
            if engine.name != self._turned.name:
                name = self._weights.variant.name
                self._report(f"{name}: quarter turns to {height}x{width} are predicted eagerly")
        return self._turned
