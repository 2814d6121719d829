"""The errors of each image: the images of one SAR input x its truths.

In: images in [0, 1] and what `kit.scoring.truth` found for them. Out: the server's errors, and
those of each image; a few hundred bytes an image, so thousands of scenes fit in memory. Refused by
name: an image of another size than its truth, a truth without data.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.archive.image_check import stretch_findings
from kit.archive.mapping import SarInput, Truth, place_in, read_stored_and_meant
from kit.archive.reader import scale_problem, to_unit
from kit.errors import InputError
from kit.metrics import MEASURES, errors, mae, mse
from kit.scaling import scale_optical, stretch

Image = NDArray[np.generic]
CHANNELS = 3  # red, green and blue, which the server reads of any number of bands


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image against the truth nearest in date.

    `row` is the line of the report: the archive, a member, or the mean colour. `errors`, by the
    names of `kit.metrics.MEASURES`, are in [0, 1] over the `valid` pixels that hold data; the
    stretched ones are over all pixels.
    """

    row: str
    scene: str
    submission: str
    truth: str
    errors: dict[str, float]
    stretched_mae: float
    stretched_mse: float
    valid: int

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self.errors["mae"]

    @property
    def mse(self) -> float:
        """Mean squared error."""
        return self.errors["mse"]


class TrueImage(NamedTuple):
    """A truth: in [0, 1], where it holds data, as the server stretches it, and in its own unit.

    `unit` is NaN where nobody can tell what the values are in (see `in_unit`).
    """

    truth: Truth
    unit: Image
    valid: NDArray[np.bool_]
    stretched: Image
    pixels: Image


def read_truth(truth: Truth, target: str) -> TrueImage:
    """Read a truth; tiles and uint16 images hold DN, other images are in [0, 1] or 0 to 255.

    What its files declare of nodata and of colours holds for the kit's own measures; the server
    looks at the numbers alone.

    Raises:
        InputError: it cannot be read, not even by the server, or holds no data.
    """
    stored, pixels = read_stored_and_meant(truth)
    if pixels.dtype == np.uint16:
        unit: Image = scale_optical(pixels.astype(np.uint16, copy=False), target)
    else:
        check_stretch(str(truth.paths[0]), pixels)
        unit = in_unit(str(truth.paths[0]), pixels)
        unit = stretch(pixels) if target == "minmax" else unit
    valid = (pixels != 0).any(axis=0)
    if not valid.any():
        raise InputError(str(truth.paths[0]), "is nodata everywhere", remedy="leave this truth out")
    return TrueImage(truth, unit, valid, stretch(stored), pixels)


def in_unit(where: str, pixels: Image) -> NDArray[np.float64]:
    """An image in [0, 1]; NaN where nobody can tell its scale, which the server can do without."""
    return np.full(pixels.shape, np.nan) if scale_problem(pixels) else to_unit(where, pixels)


def check_stretch(where: str, pixels: Image) -> None:
    """Refuse an image that not even the server can make use of.

    Raises:
        InputError: its GDAL cannot read the pixel type, or its stretch overflows.
    """
    for finding in stretch_findings(where, pixels) if scale_problem(pixels) else ():
        if not finding.harmless:
            raise InputError(where, finding.problem, remedy=finding.remedy)


def measure_input(
    row: str, sar: SarInput, truths: Sequence[TrueImage], images: Mapping[str, Image]
) -> tuple[NDArray[np.float64], list[ImageScore]]:
    """What one row of a report errs in one SAR input.

    Args:
        row: its name.
        sar: the input.
        truths: the truths of the input, as read.
        images: the image [3, H, W] of each submission of the input, as an archive holds it.

    Returns:
        The MSE [truths, submissions] as the server computes it, infinite where none is listed; and
        the errors of each image; NaN are those in [0, 1] of an image or a truth that `in_unit`
        cannot bring there.

    Raises:
        InputError: an image is of another size than its truth; says which.
    """
    official = np.full((len(truths), len(images)), np.inf)
    scored = []
    places = {true.truth: place for place, true in enumerate(truths)}
    for column, (name, pixels) in enumerate(images.items()):
        image = in_unit(name, pixels)
        stretched = stretch(pixels)
        for place, true in enumerate(truths):
            if name not in true.truth.submissions:
                continue
            if image.shape != true.unit.shape:
                sizes = f"{_size(image)} where its truth {true.truth.name} is {_size(true.unit)}"
                raise InputError(
                    name, f"is {sizes}", remedy="predict scenes of the size of the truth"
                )
            official[place, column] = mse(stretched, true.stretched)
        place = places[sar.nearest(name)]
        nearest = truths[place]
        scored.append(
            ImageScore(
                row=row,
                scene=sar.name,
                submission=name,
                truth=nearest.truth.name,
                errors=errors(image, nearest.unit, nearest.valid),
                stretched_mae=mae(stretched, nearest.stretched),
                stretched_mse=float(official[place, column]),
                valid=int(nearest.valid.sum()),
            )
        )
    return official, scored


def worst(
    images: Iterable[ImageScore], count: int, measure: str = "mae", *, by_place: bool = False
) -> tuple[ImageScore, ...]:
    """The images of largest error by a measure, worst first; of equal ones the first by name.

    Args:
        images: to choose from.
        count: how many at most.
        measure: a key of `kit.metrics.MEASURES`; of an official one the error of one image counts.
        by_place: the worst image of each place alone, places of largest mean error first.
    """

    def error(image: ImageScore) -> float:
        return _error(image, measure)

    ranked = sorted(images, key=lambda image: (-error(image), image.submission))
    if by_place:
        places: dict[str, list[ImageScore]] = {}
        for image in ranked:
            places.setdefault(place_in(image.scene, image.submission), []).append(image)
        means = {name: statistics.fmean(map(error, them)) for name, them in places.items()}
        ranked = [places[name][0] for name in sorted(places, key=lambda name: -means[name])]
    return tuple(ranked[:count])


def _error(image: ImageScore, measure: str) -> float:
    if measure in image.errors:
        value = MEASURES[measure].sign * image.errors[measure]
    elif measure == "stretched_mae":
        value = image.stretched_mae
    else:
        value = image.mse if measure.startswith("psnr") else image.stretched_mse
    # NaN orders nothing: where an image has no errors in [0, 1], the server's counts.
    return image.stretched_mse if math.isnan(value) else value


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape[1:]))
