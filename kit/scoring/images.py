"""The errors of each image: the images of one SAR input x its truths.

In: images in [0, 1] and what `kit.scoring.truth` found for them. Out: the server's errors, and a
row of numbers for each image, as a Parquet table if wanted; a few hundred bytes a row, so thousands
of scenes fit in memory. Refused by name: an image of another size than its truth, a truth without
data.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.archive.mapping import SarInput, Truth, read_pixels
from kit.archive.reader import to_unit
from kit.errors import InputError
from kit.files import output
from kit.metrics import errors, mae, mse, psnr
from kit.scaling import scale_optical, stretch

Image = NDArray[np.generic]


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
    """A truth: in [0, 1], where it holds data, and as the server stretches it."""

    truth: Truth
    unit: Image
    valid: NDArray[np.bool_]
    stretched: Image


def read_truth(truth: Truth, target: str) -> TrueImage:
    """Read a truth; tiles and uint16 images hold DN, other images are in [0, 1] or 0 to 255."""
    pixels = read_pixels(truth)
    if pixels.dtype == np.uint16:
        unit: Image = scale_optical(pixels.astype(np.uint16, copy=False), target)
    else:
        unit = to_unit(str(truth.paths[0]), pixels)
        unit = stretch(unit) if target == "minmax" else unit
    valid = (pixels != 0).any(axis=0)
    if not valid.any():
        raise InputError(str(truth.paths[0]), "is nodata everywhere", remedy="leave this truth out")
    return TrueImage(truth, unit, valid, stretch(pixels))


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
        the errors of each image.

    Raises:
        InputError: an image is of another size than its truth, or not in [0, 1]; says which.
    """
    official = np.full((len(truths), len(images)), np.inf)
    scored = []
    places = {true.truth: place for place, true in enumerate(truths)}
    for column, (name, pixels) in enumerate(images.items()):
        stretched = stretch(pixels)
        image = to_unit(name, pixels)
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


def worst(images: Iterable[ImageScore], count: int) -> tuple[ImageScore, ...]:
    """The `count` images of largest MAE, worst first; of equal ones the first by name."""
    return tuple(sorted(images, key=lambda image: (-image.mae, image.submission))[:count])


def write_images(path: Path, images: Sequence[ImageScore]) -> None:
    """Write one row an image as Parquet; the PSNR of an image without error is infinite."""
    table = pa.table(
        {
            "row": pa.array([image.row for image in images], pa.string()),
            "scene": pa.array([image.scene for image in images], pa.string()),
            "submission": pa.array([image.submission for image in images], pa.string()),
            "truth": pa.array([image.truth for image in images], pa.string()),
            "mae": pa.array([image.mae for image in images], pa.float64()),
            "mse": pa.array([image.mse for image in images], pa.float64()),
            "psnr": pa.array([psnr(image.mse) for image in images], pa.float64()),
            "stretched_mae": pa.array([image.stretched_mae for image in images], pa.float64()),
            "stretched_mse": pa.array([image.stretched_mse for image in images], pa.float64()),
            "stretched_psnr": pa.array([psnr(i.stretched_mse) for i in images], pa.float64()),
            **{
                name: pa.array([image.errors[name] for image in images], pa.float64())
                for name in (images[0].errors if images else ())
                if name not in ("mae", "mse")
            },
            "valid_pixels": pa.array([image.valid for image in images], pa.int64()),
        }
    )
    # Arrow does not say which file it could not write.
    with output(path) as part, part.open("wb") as file:
        pq.write_table(table, file)


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape[1:]))
