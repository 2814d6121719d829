"""Scenes that wait until a batch of their size is full, and the engines that predict them.

In: readings of scenes, in any order and of any size. Out: their images [3, H, W] as uint16, over
which [0, 1] is spread. Tiles of the size of most are predicted by the engine that was chosen. Tiles
of another, and quarter turns of tiles that are not square, are predicted eagerly: a rare size is
not worth building an engine.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kit.engines.engine import Engine
from kit.errors import CheckError
from kit.models.infer import infer_tiles
from kit.prediction.pipeline import Input, Reading
from kit.prediction.predictor import Network, Predictor, predictor
from kit.progress import Report
from kit.runs.weights import Weights

Predicted = tuple[Reading, Input, NDArray[np.uint16]]
"""A scene, what the network was given of it, and the image [3, H, W]."""

Images = Callable[[], NDArray[np.uint16]]
"""Waits for a batch that was begun; its images [N, 3, H, W]."""


def begin(
    predictor: Predictor,
    weights: Weights,
    network: Network,
    planes: Sequence[NDArray[np.float32]],
    flips: int,
) -> Images:
    """Begin a batch; what is returned waits for its images, over which [0, 1] is spread.

    Args:
        predictor: of the device.
        weights: of the network.
        network: see `kit.prediction.predictor.Network`.
        planes: what it is given of each scene, [C, H, W] in [0, 1].
        flips: how many views are averaged, see `kit.models.flips`. Fitted models show a view as
            they show the scene, so one is enough for them.

    Raises:
        CheckError: when they are fetched, an image is not finite.
    """
    views = 1 if weights.variant.is_fitted else flips
    fetch = predictor.begin(network, planes, views)

    def images() -> NDArray[np.uint16]:
        found = fetch()
        if found is None:
            name = weights.variant.name
            problem = f"{name}: the generator's output is not finite"
            raise CheckError(f"{problem}\n  train {name} again, with a smaller lr")
        return found

    return images


class Batches:
    """The scenes that wait for one network.

    Args:
        weights: of the network.
        flips: how many views of a scene are averaged, as `begin` takes it.
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
        self._predictor = predictor()
        self._begun: deque[tuple[list[tuple[Reading, Input]], Images]] = deque()

    def add(self, reading: Reading, given: Input) -> list[Predicted]:
        """Take a scene in; returns those that were predicted, if a batch is full by now.

        On a card they are those of the batch before, which it predicted while this one was filled.

        Raises:
            CheckError: an image is not finite.
        """
        height, width = reading.radar.shape[1:]
        if self.engine and self.engine.fits(height, width):
            engine, waiting = self.engine, self._waiting
        else:
            if not (self._eager and self._eager.fits(height, width)):
                self._begin(self._waiting_eager, self._eager)
                self._eager = Engine.eager(self._weights, (height, width), self._report)
            engine, waiting = self._eager, self._waiting_eager
        waiting.append((reading, given))
        if len(waiting) == engine.batch:
            self._begin(waiting, engine)
        return self._fetch(self._predictor.ahead)

    def flush(self) -> list[Predicted]:
        """Predict the scenes that wait for a full batch; raises as `add`."""
        self._begin(self._waiting, self.engine)
        self._begin(self._waiting_eager, self._eager)
        return self._fetch(0)

    def _begin(self, waiting: list[tuple[Reading, Input]], engine: Engine | None) -> None:
        batch = waiting.copy()
        waiting.clear()
        if batch and engine:
            planes = [given.planes for _, given in batch]
            network = partial(self._infer, engine)
            images = begin(self._predictor, self._weights, network, planes, self._flips)
            self._begun.append((batch, images))

    def _fetch(self, ahead: int) -> list[Predicted]:
        """The batches that were begun, but for the last `ahead` of them."""
        done: list[Predicted] = []
        while len(self._begun) > ahead:
            batch, images = self._begun.popleft()
            done += [(*each, image) for each, image in zip(batch, images(), strict=True)]
        return done

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
