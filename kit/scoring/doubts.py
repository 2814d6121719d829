"""What speaks against the units of truths and images, from the values that are scored."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from kit.archive.mapping import SarInput
from kit.archive.reader import UNIT_REMEDY, scale_problem
from kit.doubt import Doubt
from kit.scoring.images import CHANNELS, Image
from kit.tiles.bands import unit_and_type_of_floats
from kit.tiles.float16 import float16_doubts
from kit.tiles.names import RGB_BANDS
from kit.tiles.units import Counts, float_doubts, optical_doubts, stack
from kit.tiles.values import count_values

_DN = 10_000  # more than DN of land; an image in 65535 levels is brighter somewhere
_EIGHT_BITS = 255
_DIM = 1 / 3  # DN 1000 of 3000, or a reflectance that only snow and cloud exceed


@dataclass(slots=True)
class Values:
    """The values of all truths and of all images of an archive, as far as units need them.

    `unscaled` are the numbers of truths and of images, called so, that cannot be brought to [0, 1],
    by their pixel types.
    """

    rows: list[Counts] = field(default_factory=list)
    float_truth: float | None = None
    uint16_image: int | None = None
    many_bands: int = 0
    unscaled: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_truth(self, pixels: Image) -> None:
        """Look at a truth [3, H, W], as its file holds it."""
        if pixels.dtype == np.uint16:
            self.rows.append(count_values("Sentinel2", pixels[None]))
        elif scale_problem(pixels):
            self.unscaled["truths", pixels.dtype.name] += 1
        elif pixels.dtype.kind == "f":
            self.float_truth = max(self.float_truth or 0.0, float(pixels.max()))

    def add_image(self, pixels: Image) -> None:
        """Look at an image [3 or more, H, W], as an archive holds it."""
        self.many_bands += len(pixels) > CHANNELS
        if pixels.dtype == np.uint16:
            self.uint16_image = max(self.uint16_image or 0, int(pixels.max()))
        elif scale_problem(pixels[:CHANNELS]):
            self.unscaled["images", pixels.dtype.name] += 1

    def doubts(self) -> tuple[Doubt, ...]:
        """What speaks against DN in truths, and 65535 levels in images."""
        found = [_of_truths(doubt) for doubt in optical_doubts(stack(self.rows))]
        if self.float_truth is not None and self.float_truth < _DIM:
            problem = f"truths: no value is above {self.float_truth:.3g}, as if of reflectance"
            found.append(Doubt(problem, "write DN as uint16, reflectance * 10000"))
        if self.uint16_image is not None and self.uint16_image <= _DN:
            unit = "8 bits" if self.uint16_image <= _EIGHT_BITS else "DN"
            problem = f"images: no value is above {self.uint16_image} of 65535, as if of {unit}"
            remedy = "write uint8" if unit == "8 bits" else "write DN / 3000 * 65535"
            found.append(Doubt(problem, remedy, impossible=unit == "8 bits"))
        for (which, kind), number in sorted(self.unscaled.items()):
            values = "floats outside 0 to 1" if kind.startswith("float") else kind
            problem = f"{which}: {number} hold {values}, which the server reads; only its measures"
            remedy = UNIT_REMEDY if which == "images" else "write DN as uint16"
            found.append(Doubt(f"{problem}, which stretch them, can be told", remedy))
        if self.many_bands:
            problem = f"images: {self.many_bands} have more than three bands; the first three count"
            found.append(Doubt(problem, "write red, green and blue alone"))
        return tuple(found)


def truth_floats(inputs: Iterable[SarInput]) -> tuple[Doubt, ...]:
    """What speaks against truths in tiles of floats, by their headers.

    Raises:
        InputError: a tile cannot be read, or its floats are neither reflectance nor DN.
    """
    tiles = {t.paths for sar in inputs for t in sar.truths if len(t.paths) == len(RGB_BANDS)}
    types = [unit_and_type_of_floats(paths) or ("", False) for paths in tiles]
    float16 = sum(coarse for _, coarse in types)
    found = [
        *float_doubts(Counter(unit for unit, _ in types)),
        *float16_doubts({"optical": (float16, len(tiles))}),
    ]
    return tuple(map(_of_truths, found))


def _of_truths(doubt: Doubt) -> Doubt:
    admitted = doubt.admitted and f"truths: {doubt.admitted}"
    return replace(doubt, problem=f"truths: {doubt.problem}", admitted=admitted)
