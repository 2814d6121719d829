"""The accuracy check: how much an engine changes the predictions of eager float32, and the MAE.

In: tiles, with their truths where they are known, and the images that both predict. Out: how much
the images differ, and by which share the MAE changes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ANY = 1
"""A tolerance that checks nothing, as the MAE may double: it admits an unknown change, too."""

# On fewer tiles errors that happen to cancel hide a change that others would show.
_FEWEST = 4


@dataclass(frozen=True)
class Samples:
    """Tiles to check and to calibrate an engine with.

    `inputs` [N, C, H, W] in [0, 1] are what the check predicts from, and `optical` [N, 3, H, W] in
    [0, 1] the truth if there is one. `others` reads tiles [M, C, H, W] like the training data, or
    none. `known_mae` is the MAE of the weights on their hold-out, `source` says where the tiles are
    from.
    """

    inputs: NDArray[np.float32]
    optical: NDArray[np.float32] | None
    others: Callable[[], NDArray[np.float32]]
    known_mae: float | None
    source: str

    @cached_property
    def calibration(self) -> NDArray[np.float32]:
        """What to calibrate with, read on first use: better with `inputs` than not at all.

        Raises:
            InputError: one of the others cannot be read.
        """
        others = self.others()
        return others if len(others) else self.inputs


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How an engine's images differ from those of eager float32, in [0, 1].

    `mean` and `largest` are absolute differences. `mae_eager` and `mae` are None without truths.
    `change` is the share by which the MAE changes; without truths, or on fewer than four tiles, it
    is the upper bound that the mean difference gives, and without a known MAE either it is None.
    """

    tiles: int
    source: str
    mean: float
    largest: float
    mae_eager: float | None
    mae: float | None
    change: float | None

    def passes(self, tolerance: float) -> bool:
        """Whether the MAE changes by at most this share; if that is unknown, only with `ANY`."""
        if not math.isfinite(self.mean):
            return False
        return tolerance >= ANY if self.change is None else self.change <= tolerance

    def __str__(self) -> str:
        if not self.tiles:
            return self.source
        differences = f"mean difference {self.mean:.1e}, largest {self.largest:.1e}"
        if self.change is None:
            return f"{differences}; without truth or a known MAE, its change is unknown"
        bound = "at most " if self.mae is None or self.tiles < _FEWEST else ""
        return (
            f"{differences}, MAE changed by {bound}{100 * self.change:.2f} % ({self.tiles} tiles)"
        )


# Engines and manifests record this text, also those that version 0.1.0 wrote.
REFERENCE = Accuracy(
    0, "none: this is the reference that others have to equal", 0, 0, None, None, 0
)


def compare(
    samples: Samples, expected: NDArray[np.float32], found: NDArray[np.float32]
) -> Accuracy:
    """Compare images [N, 3, H, W] in [0, 1] of an engine with those of eager float32.

    Args:
        samples: the tiles that both predicted.
        expected: the images of eager float32.
        found: the images of the engine. Where one is not finite, all differences are infinite.
    """
    difference = np.abs(found - expected)
    mean, largest = float(difference.mean(dtype=np.float64)), float(difference.max())
    if not np.isfinite(largest):
        mean = largest = float("inf")
    before = after = change = None
    if samples.optical is not None:
        before = float(np.abs(expected - samples.optical).mean(dtype=np.float64))
        after = float(np.abs(found - samples.optical).mean(dtype=np.float64))
        net = len(expected) >= _FEWEST and np.isfinite(mean)
        change = (abs(after - before) if net else mean) / before
    elif samples.known_mae:
        change = mean / samples.known_mae
    return Accuracy(len(expected), samples.source, mean, largest, before, after, change)
