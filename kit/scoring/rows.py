"""Images x truths -> the rows of a report, a SAR input at a time.

In: the truths of SAR inputs, what reads an image, and for each row what makes its image of that.
Out: the scores of each row, and the errors of every image. Refused by name: images of another size
than their truth, or that the server cannot stretch; units that are wrong.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.archive.mapping import TruthSet
from kit.doubt import Units, settle
from kit.metrics import official_2022, official_2023, summarise
from kit.progress import Advance
from kit.scoring.doubts import Values
from kit.scoring.images import (
    CHANNELS,
    Image,
    ImageScore,
    check_stretch,
    measure_input,
    read_truth,
)
from kit.scoring.report import Report, Row

MakeImage = Callable[[str, Image], Image]
"""From a name and the archive's image of that name, to the image that a row scores.

Both are as an archive holds them: `kit.archive.reader.to_unit` brings them to [0, 1], and the
server stretches them as they are.
"""


def compare_images(
    where: Path,
    read: Callable[[str], Image],
    truth: TruthSet,
    makers: Mapping[str, MakeImage],
    target: str,
    *,
    hidden: Mapping[str, MakeImage] | None = None,
    units: Units = "check",
    advance: Advance | None = None,
) -> tuple[Report, tuple[Row, ...]]:
    """Score images against a loaded truth, a SAR input at a time.

    Args:
        where: what an error about units names.
        read: gives the image [3 or more, H, W] of a name, as an archive holds it.
        truth: the names, and their truths.
        makers: the rows, that of the images themselves last.
        target: "reflectance" or "minmax", the space of MAE, MSE and PSNR.
        hidden: makers of more rows, which are not in the report.
        units: what becomes of doubts about units.
        advance: called with the SAR inputs scored, and their number.

    Returns:
        The report, and the rows of `hidden`.

    Raises:
        InputError: an image or a truth is not usable; says which. Or its units are wrong.
    """
    found = {name: _Found(make) for name, make in makers.items()}
    extra = {name: _Found(make) for name, make in (hidden or {}).items()}
    values = _measure(read, truth, found | extra, target, advance)
    report = Report(
        rows=tuple(part.row(name) for name, part in found.items()),
        unscored=truth.unscored,
        clear=truth.clear,
        left_out=truth.left_out,
        images=tuple(image for part in found.values() for image in part.images),
        inputs=truth.inputs,
        doubts=settle(where, values.doubts(), units),
    )
    return report, tuple(part.row(name) for name, part in extra.items())


def score_inputs(
    where: Path,
    read: Callable[[str], Image],
    truth: TruthSet,
    target: str,
    *,
    units: Units = "check",
    advance: Advance | None = None,
) -> tuple[dict[str, Row], tuple[str, ...]]:
    """The row of each SAR input by name, and doubts about units; arguments as `compare_images`.

    A row is as if the truth had no other input, but units are judged by all of them.
    """
    found = _Found(as_sent)
    values = _measure(read, truth, {"": found}, target, advance)
    images = groupby(found.images, key=attrgetter("scene"))
    rows = {
        scene: _Found(as_sent, [official], [*those]).row(scene)
        for official, (scene, those) in zip(found.official, images, strict=True)
    }
    return rows, settle(where, values.doubts(), units)


def _measure(
    read: Callable[[str], Image],
    truth: TruthSet,
    found: "Mapping[str, _Found]",
    target: str,
    advance: Advance | None,
) -> Values:
    """Measure all rows, and return the values that units are judged by."""
    values = Values()
    for done, sar in enumerate(truth.inputs, 1):
        truths = [read_truth(true, target) for true in sar.truths]
        images = {name: read(name) for name in sar.submissions}
        for true in truths:
            values.add_truth(true.pixels)
        for image in images.values():
            values.add_image(image)
        images = {name: image[:CHANNELS] for name, image in images.items()}
        for name, image in images.items():
            check_stretch(name, image)
        for row, part in found.items():
            shown = {name: part.make(name, image) for name, image in images.items()}
            official, scored = measure_input(row, sar, truths, shown)
            part.official.append(official)
            part.images.extend(scored)
        if advance:
            advance(done, len(truth.inputs))
    return values


@dataclass(frozen=True, slots=True)
class _Found:
    """What is measured of one row: numbers alone, however many scenes there are."""

    make: MakeImage
    official: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)
    images: list[ImageScore] = dataclasses.field(default_factory=list)

    def row(self, name: str) -> Row:
        stretched = summarise(
            [{"mae": image.stretched_mae, "mse": image.stretched_mse} for image in self.images]
        )
        return Row(
            name=name,
            scores=summarise([image.errors for image in self.images]),
            official_2022=official_2022(self.official),
            official_2023=official_2023(self.official),
            stretched_mae=stretched.mae,
            stretched_psnr=stretched.psnr,
        )


def as_sent(name: str, image: Image) -> Image:
    """The maker of an archive's own row: its images as they are."""
    return image
