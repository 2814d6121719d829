"""Archive x truth -> scores, in the kit's own terms and in the server's.

In: an archive of predicted images, and a truth that `kit.scoring.truth` can load. Out: a row of
scores for the archive, and beside it one for each member, one for an image of one colour, and one
for the same archive with anchors or without; and the errors of every image. Refused by name: images
of another size than their truth, or with values that are not in [0, 1].
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.archive.mapping import SarInput, TruthSet, scene_in
from kit.archive.reader import open_archive, read_contents, read_image, to_unit
from kit.files import PREDICTIONS, AnyPath, finite
from kit.metrics import Scores, official_2022, official_2023, summarise
from kit.prediction.anchors import anchor
from kit.prediction.averaging import Averaging, averaging_text
from kit.prediction.members import Member, average_scene
from kit.progress import Advance
from kit.scaling import quantize
from kit.scoring.images import Image, ImageScore, measure_input, read_truth
from kit.scoring.provenance import find_provenance
from kit.scoring.truth import load_truth

Source = Callable[[str, Image], Image]
"""From a name and the archive's image of that name, to the image that a row scores.

Both are as an archive holds them: `kit.archive.reader.to_unit` brings them to [0, 1], and the
server stretches them as they are.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report; `kit.metrics.MEASURES` says what each number is."""

    name: str
    scores: Scores
    official_2022: float
    official_2023: float
    stretched_mae: float = math.nan
    stretched_psnr: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """The numbers of the row as JSON values; an infinite PSNR becomes None."""
        numbers = dataclasses.asdict(self)
        del numbers["name"], numbers["scores"]
        values: dict[str, Any] = finite(self.scores.as_dict() | numbers)
        return values


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of an archive, whose own row is the last.

    `unscored` are the scenes or images without a truth; `absent` are members without a row, because
    their predictions are missing, incomplete or of other weights. `other` is the archive as it
    would score with anchors, or without where it has them (see `kit.prediction.anchors`); None
    where that is not known. `images` are the errors behind the rows, and `inputs` the truths that
    they were measured by. `passed_over` are the files of the archive that are no images.
    """

    rows: tuple[Row, ...]
    unscored: tuple[str, ...]
    absent: tuple[str, ...] = ()
    other: Row | None = None
    images: tuple[ImageScore, ...] = ()
    inputs: tuple[SarInput, ...] = ()
    passed_over: tuple[str, ...] = ()

    def own_images(self) -> tuple[ImageScore, ...]:
        """The errors of the archive's own images."""
        return tuple(image for image in self.images if image.row == self.rows[-1].name)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with the archive's own numbers at the top."""
        return self.rows[-1].as_dict() | {
            "rows": [{"name": row.name} | row.as_dict() for row in self.rows],
            "other": self.other and {"name": self.other.name} | self.other.as_dict(),
            "unscored": list(self.unscored),
            "absent": list(self.absent),
            "passed_over": list(self.passed_over),
        }


def score(
    archive: AnyPath,
    truth: AnyPath,
    *,
    window_days: int = 7,
    predictions: AnyPath | None = PREDICTIONS,
    advance: Advance | None = None,
) -> Report:
    """Score an archive: uint16 over 65535, uint8 over 255, or floats in [0, 1].

    The manifest beside it, if it is of these bytes, gives the members, the target space,
    and the mean colour of the training.

    Args:
        archive: a zip of images [3, H, W].
        truth: Sentinel-2 tiles or the server's mapping, as `kit.scoring.truth.load_truth` takes
            them.
        window_days: how far a tile of the folder may be from the SAR date, either way, inclusive.
        predictions: where to look for the members' predictions; None for no rows of members.
        advance: called with the truths examined, then the SAR inputs scored, and their number.

    Raises:
        InputError: the archive, the truth or an image is not usable; says which.
    """
    archive, truth = Path(archive), Path(truth)
    predictions = Path(predictions) if predictions else None
    with open_archive(archive) as opened:
        contents = read_contents(opened)
    images = contents.images
    found = load_truth(truth, images, window_days, advance)
    made_from = find_provenance(archive, images, predictions)
    manifest = made_from.manifest
    report = compare(
        archive,
        found,
        ensemble_label(manifest.variants, manifest.averaging) or archive.name,
        manifest.target,
        manifest.mean_color,
        made_from.members,
        advance,
        averaging=manifest.averaging,
        stretch=manifest.stretch,
        absent=made_from.absent,
        scenes=manifest.scenes,
    )
    return dataclasses.replace(report, passed_over=contents.passed_over)


def compare(
    archive: Path,
    truth: TruthSet,
    label: str,
    target: str,
    color: Sequence[float] | None,
    members: Sequence[Member],
    advance: Advance | None = None,
    *,
    averaging: Averaging = "mean",
    stretch: str = "keep",
    absent: tuple[str, ...] = (),
    scenes: Mapping[str, str] | None = None,
) -> Report:
    """Score an archive, its members and an image of one colour against a loaded truth.

    Args:
        archive: a zip of images [3, H, W].
        truth: what `kit.scoring.truth.load_truth` found for its images.
        label: the name of the archive's own row.
        target: "reflectance" or "minmax", the space of MAE, MSE and PSNR.
        color: mean red, green and blue in [0, 1]; None for no such row.
        members: whose predictions get a row each; one alone gets none, for it is the archive.
        advance: called with the SAR inputs scored, and their number.
        averaging: how the archive's images were made of its members' ones.
        stretch: "anchors" if the archive holds anchors, else "keep". What it scores without them is
            known from its members alone.
        absent: members of the archive that are not among `members`.
        scenes: the scenes that the members predicted, by image; those in the names if not given.

    Raises:
        InputError: an image or a truth is not usable; says which.
    """
    sources: dict[str, Source] = {}
    if color is not None:
        one_color = np.asarray(color, np.float64)[:, None, None]
        sources["mean colour"] = lambda name, image: np.broadcast_to(one_color, image.shape)
    if len(members) > 1:
        sources |= {
            member.variant: _average_of([member], "mean", scenes or {}) for member in members
        }
    sources[label] = as_sent
    other: tuple[str, Source] | None = None
    if stretch == "keep":
        other = "with anchors", _with_anchors
    elif members and not absent:
        other = "without anchors", _average_of(members, averaging, scenes or {})
    with open_archive(archive) as opened:

        def read(name: str) -> Image:
            return read_image(opened, name)

        report = compare_images(read, truth, sources, target, other=other, advance=advance)
    return dataclasses.replace(report, absent=absent)


def compare_images(
    read: Callable[[str], Image],
    truth: TruthSet,
    sources: Mapping[str, Source],
    target: str,
    *,
    other: tuple[str, Source] | None = None,
    advance: Advance | None = None,
) -> Report:
    """Score images against a loaded truth, a SAR input at a time.

    Args:
        read: gives the image [3, H, W] of a name, as an archive holds it.
        truth: the names, and their truths.
        sources: the rows, that of the images themselves last.
        target: "reflectance" or "minmax", the space of MAE, MSE and PSNR.
        other: the name and the source of `Report.other`.
        advance: called with the SAR inputs scored, and their number.

    Raises:
        InputError: an image or a truth is not usable; says which.
    """
    found = {name: _Found(source) for name, source in sources.items()}
    extra = _Found(other[1]) if other else None
    for done, sar in enumerate(truth.inputs, 1):
        truths = [read_truth(true, target) for true in sar.truths]
        images = {name: read(name) for name in sar.submissions}
        for row, part in [*found.items(), *([("", extra)] if extra else [])]:
            shown = {name: part.source(name, image) for name, image in images.items()}
            official, scored = measure_input(row, sar, truths, shown)
            part.official.append(official)
            part.images.extend(scored)
        if advance:
            advance(done, len(truth.inputs))
    return Report(
        rows=tuple(part.row(name) for name, part in found.items()),
        unscored=truth.unscored,
        other=extra.row(other[0]) if other and extra else None,
        images=tuple(image for part in found.values() for image in part.images),
        inputs=truth.inputs,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What is measured of one row: numbers alone, however many scenes there are."""

    source: Source
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
    """The source of an archive's own row: its images as they are."""
    return image


def _with_anchors(name: str, image: Image) -> Image:
    # Exact for uint16 and uint8, which is what archives hold.
    return anchor(quantize(to_unit(name, image)))


def ensemble_label(variants: Sequence[str], averaging: Averaging = "mean") -> str:
    """How a report calls the average of these variants; empty if there is none."""
    how = "" if averaging == "mean" else f"; {averaging_text(averaging)}"
    return f"ensemble ({', '.join(variants)}{how})" if variants else ""


def _average_of(
    members: Sequence[Member], averaging: Averaging, scenes: Mapping[str, str]
) -> Source:
    def prediction(name: str, image: Image) -> Image:
        scene = str(scene_in(scenes.get(name, name)))
        return average_scene(members, scene, averaging)

    return prediction
