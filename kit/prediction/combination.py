"""How the images of several members become the one that is sent.

In: the members' images [3, H, W] of one scene, uint16. Out: their average, brought to the server's
space where an affine says how, and with anchors where it is to have them; exact to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kit.anchors import anchor
from kit.averaging import Averaging, average, averaging_text
from kit.prediction.affine import Affine

Stretch = Literal["keep", "anchors"]


@dataclass(frozen=True, slots=True)
class Combination:
    """An average, what follows it, and whether anchors come last."""

    averaging: Averaging = "mean"
    affine: Affine | None = None
    stretch: Stretch = "keep"

    def apply(self, images: Sequence[NDArray[np.uint16]]) -> NDArray[np.uint16]:
        """The image [3, H, W] that the images of the members make.

        Raises:
            ValueError: as `kit.averaging.average`.
        """
        averaged = average(images, self.averaging)
        # An average of one colour stays one, so that the check of an archive refuses it.
        one_color = (averaged == averaged[:, :1, :1]).all()
        if self.affine:
            averaged = self.affine.apply(averaged)
        return anchor(averaged) if self.stretch == "anchors" and not one_color else averaged

    def space(self, target: str) -> str:
        """The space of the images that are made of members in `target`, a value of `Variant`'s.

        An affine brings them to the server's.
        """
        return "minmax" if self.affine else target

    @property
    def text(self) -> str:
        """The average as `--average` takes it, and whether an affine follows; "mean" is usual."""
        return averaging_text(self.averaging) + ("; affine" if self.affine else "")


PLAIN = Combination()
"""The mean as it is."""
