"""Made held-out predictions: a truth of each scene, and members that err in ways that are known."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.fitting.observations import Found, Observations, observe
from kit.scaling import quantize, stretch

Noise = Sequence[float]


class Made:
    """Scenes of 16 x 16 pixels at places of their own, and their members.

    Args:
        noise: of each member, the standard deviation of its errors.
        scenes: how many.
        bias: of each member, added everywhere.
        stretched: whether the truths are stretched.
    """

    def __init__(
        self,
        noise: Noise,
        scenes: int = 12,
        bias: Noise | None = None,
        stretched: bool = False,
        seed: int = 0,
        signal: float = 0.1,
    ) -> None:
        random = np.random.default_rng(seed)
        self.truths, self.images = [], []
        for _ in range(scenes):
            level = random.uniform(0.3, 0.6, (3, 1, 1))
            truth = (level + signal * random.normal(size=(3, 16, 16))).clip(0, 1)
            self.truths.append(stretch(truth) if stretched else truth)
            self.images.append(
                [
                    quantize((truth + off + sd * random.normal(size=truth.shape)).clip(0, 1))
                    for sd, off in zip(noise, bias or [0.0] * len(noise), strict=True)
                ]
            )
        self.scenes = tuple(f"scene {number}" for number in range(scenes))
        self.places = tuple((str(number), "0") for number in range(scenes))
        self.stretched = stretched

    @property
    def found(self) -> Callable[[], Found]:
        """What gives the images and the truths."""
        return lambda: zip(self.images, self.truths, strict=True)

    @property
    def observed(self) -> Observations:
        """What is kept of them."""
        return observe(self.scenes, self.places, self.found(), stretched=self.stretched)

    def values(self, member: int) -> NDArray[np.float64]:
        """All values of a member, in [0, 1]."""
        return np.stack([images[member] for images in self.images]) / 65535
