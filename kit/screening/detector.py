"""The second look: which scenes a cloud detector is shown, and what follows from what it finds.

In: what the cloud rule says of scenes, and the share of cloud and shadow that the detector found.
Out: which scenes Dataset-2 admits. Refused: an unknown detector or an unknown way to ask it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError, no_such

On = Literal["passed", "dropped", "all"]
DETECTORS = ("ukis",)


@dataclass(frozen=True, slots=True)
class Detector:
    """A cloud detector, and what it is asked.

    Args:
        name: "ukis", which is ukis-csmask.
        on: which scenes without nodata and QA60 cloud it looks at. "passed": what the rule passes
            must pass the detector too. "dropped": what the rule drops is admitted where the
            detector finds it clear. "all": both, so that the detector alone decides.
        max_flagged: a scene is clear where at most this share of its pixels is cloud or shadow.

    Raises:
        InputError: an unknown name or way, or a share outside 0 to 1.
    """

    name: str = "ukis"
    on: On = "passed"
    max_flagged: float = 0.01

    def __post_init__(self) -> None:
        if self.name not in DETECTORS:
            raise no_such("detector", self.name, DETECTORS)
        if self.on not in get_args(On):
            raise no_such("way to ask the detector", self.on, get_args(On))
        if not 0 <= self.max_flagged <= 1:
            raise InputError("max_flagged", f"is {self.max_flagged}", remedy="it must be in 0..1")

    def looks_at(self, passed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which scenes it has to see, by whether the rule passes them."""
        return {"passed": passed, "dropped": ~passed, "all": np.ones_like(passed)}[self.on]

    def admits(self, passed: NDArray[np.bool_], flagged: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which scenes are clear, by the rule and the share of pixels that are cloud or shadow.

        That share is NaN where there is no second look: such a scene is not clear by the detector.
        """
        clear = flagged <= self.max_flagged
        return {"passed": passed & clear, "dropped": passed | clear, "all": clear}[self.on]
