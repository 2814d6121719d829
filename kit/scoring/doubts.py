"""What speaks against the units of truths and images, from the values that are scored."""

from dataclasses import dataclass, field

import numpy as np

from kit.scoring.images import CHANNELS, Image
from kit.tiles.units import Counts, Doubt, optical_doubts, stack
from kit.tiles.values import count_values

_DN = 10_000  # more than DN of land; an image in 65535 levels is brighter somewhere
_DIM = 1 / 3  # DN 1000 of 3000, or a reflectance that only snow and cloud exceed


@dataclass(slots=True)
class Values:
    """The values of all truths and of all images of an archive, as far as units need them."""

    rows: list[Counts] = field(default_factory=list)
    float_truth: float | None = None
    uint16_image: int | None = None
    many_bands: int = 0

    def add_truth(self, pixels: Image) -> None:
        """Look at a truth [3, H, W], as its file holds it."""
        if pixels.dtype == np.uint16:
            self.rows.append(count_values("Sentinel2", pixels[None]))
        elif pixels.dtype.kind == "f":
            self.float_truth = max(self.float_truth or 0.0, float(pixels.max()))

    def add_image(self, pixels: Image) -> None:
        """Look at an image [3 or more, H, W], as an archive holds it."""
        self.many_bands += len(pixels) > CHANNELS
        if pixels.dtype == np.uint16:
            self.uint16_image = max(self.uint16_image or 0, int(pixels.max()))

    def doubts(self) -> tuple[Doubt, ...]:
        """What speaks against DN in truths, and 65535 levels in images."""
        found = [
            Doubt(f"truths: {doubt.problem}", doubt.remedy)
            for doubt in optical_doubts(stack(self.rows))
        ]
        if self.float_truth is not None and self.float_truth < _DIM:
            problem = f"truths: no value is above {self.float_truth:.3g}, as if of reflectance"
            found.append(Doubt(problem, "write DN as uint16, reflectance * 10000"))
        if self.uint16_image is not None and self.uint16_image <= _DN:
            problem = f"images: no value is above {self.uint16_image} of 65535, as if of DN"
            found.append(Doubt(problem, "write DN / 3000 * 65535"))
        if self.many_bands:
            problem = f"images: {self.many_bands} have more than three bands; the first three count"
            found.append(Doubt(problem, "write red, green and blue alone"))
        return tuple(found)
