"""The accuracy gate: what an engine changes, compared with eager float32.

In: tiles, with their truths where they are known, and two ways to draw them. Out: how far the
pictures are apart, and what that does to the MAE.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Samples:
    """Tiles to try an engine on.

    `radar` [N, 2, H, W] in [0, 1] is compared on, and `optical` [N, 3, H, W] in [0, 1] is its truth
    if there is one. `calibration` [M, 2, H, W] in [0, 1] is like what the network was trained on.
    `known_mae` is that of the weights on their hold-out, `source` where the tiles are from.
    """

    radar: NDArray[np.float32]
    optical: NDArray[np.float32] | None
    calibration: NDArray[np.float32]
    known_mae: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison found, in [0, 1].

    `change` is the share of its MAE that the engine loses or gains. Without truths it is the
    largest that the mean difference allows; without a known MAE either, there is none.
    """

    tiles: int
    source: str
    mean: float
    largest: float
    mae_eager: float | None
    mae: float | None
    change: float | None

    def passes(self, tolerance: float) -> bool:
        """Whether the engine's pictures may stand for those of eager float32."""
        return self.change is not None and self.change <= tolerance

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.tiles:
            return self.source
        words = f"mean difference {self.mean:.1e}, largest {self.largest:.1e}"
        if self.change is None:
            return f"{words}; no truth to say what that does to the MAE"
        bound = "" if self.mae is not None else "at most "
        return f"{words}, MAE changed by {bound}{100 * self.change:.2f} % ({self.tiles} tiles)"


REFERENCE = Verdict(0, "none: this is the reference that others have to equal", 0, 0, None, None, 0)


def compare(samples: Samples, expected: NDArray[np.float32], found: NDArray[np.float32]) -> Verdict:
    """Compare pictures [N, 3, H, W] in [0, 1] of an engine with those of eager float32."""
    apart = np.abs(found - expected)
    # A difference that is not a number is the largest there is.
    mean, largest = float(apart.mean(dtype=np.float64)), float(apart.max())
    if not np.isfinite(largest):
        mean = largest = float("inf")
    before = after = change = None
    if samples.optical is not None:
        before = float(np.abs(expected - samples.optical).mean(dtype=np.float64))
        after = float(np.abs(found - samples.optical).mean(dtype=np.float64))
        change = abs(after - before) / before if np.isfinite(mean) else mean
    elif samples.known_mae:
        change = mean / samples.known_mae
    return Verdict(len(expected), samples.source, mean, largest, before, after, change)
