"""Archive x truth -> scores, in the kit's own terms and in the server's.

In: an archive of predicted images, and a truth that `kit.truth` can load. Out: a row of scores for
the archive, and beside it one for each member and one for a picture of one colour. Refused by name:
images of another size than their truth, or with values that are not in [0, 1].
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.archive import decode_image, image_names, open_archive, read_image, to_unit
from kit.console import Advance, finite
from kit.dataset import scale_optical
from kit.ensemble import Member, read_member
from kit.errors import InputError
from kit.files import read_json, sha256
from kit.metrics import Scores, mae, mse, official_2022, official_2023, stretch, summarise
from kit.tiles import read_scene
from kit.truth import SarInput, Truth, TruthSet, load_truth, scene_in

Image = NDArray[np.generic]
Source = Callable[[str, Image], Image]
"""From a name and the archive's image in [0, 1] of that name, to the image that a row scores."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report; `kit.metrics.RULES` says what each number is."""

    name: str
    scores: Scores
    official_2022: float
    official_2023: float

    def as_dict(self) -> dict[str, Any]:
        """The numbers of the row as JSON values; an infinite PSNR becomes None."""
        official = {"official_2022": self.official_2022, "official_2023": self.official_2023}
        values: dict[str, Any] = finite(dataclasses.asdict(self.scores) | official)
        return values


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of an archive, whose own row is the last.

    `unscored` are the scenes or images without a truth; `absent` are members without a row, because
    their predictions are gone or were made anew since.
    """

    rows: tuple[Row, ...]
    unscored: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with the archive's own numbers at the top."""
        return self.rows[-1].as_dict() | {
            "rows": [{"name": row.name} | row.as_dict() for row in self.rows],
            "unscored": list(self.unscored),
            "absent": list(self.absent),
        }


def score(
    archive: Path,
    truth: Path,
    *,
    window_days: int = 7,
    predictions: Path | None = None,
    advance: Advance | None = None,
) -> Report:
    """Score an archive: uint16 over 65535, uint8 over 255, or floats in [0, 1].

    The manifest beside it, if it is of these bytes, tells the members, the space that was learnt,
    and the mean colour of the training.

    Args:
        archive: a zip of images [3, H, W].
        truth: a folder of Sentinel-2 tiles, or the server's JSON mapping.
        window_days: how far a tile of the folder may be from the SAR date, either way, inclusive.
        predictions: where to look for the members' predictions; None for no rows of members.
        advance: called with the truths examined, then the SAR inputs scored, and their number.

    Raises:
        InputError: the archive, the truth or an image is not usable; says which.
    """
    with open_archive(archive) as opened:
        images = image_names(opened)
    found = load_truth(truth, images, window_days, advance)
    about = read_manifest(archive)
    members = [
        member
        for variant, weights in about.members.items()
        if (member := current(predictions, variant, weights, images))
    ]
    label = ensemble_label(tuple(about.members)) or archive.name
    report = compare(archive, found, label, about.target, about.color, members, advance)
    absent = about.members.keys() - {member.variant for member in members}
    return dataclasses.replace(report, absent=tuple(sorted(absent)))


def compare(
    archive: Path,
    truth: TruthSet,
    label: str,
    target: str,
    color: Sequence[float] | None,
    members: Sequence[Member],
    advance: Advance | None = None,
) -> Report:
    """Score an archive, its members and a picture of one colour against a loaded truth.

    Args:
        archive: a zip of images [3, H, W].
        truth: what `kit.truth.load_truth` found for its images.
        label: the name of the archive's own row.
        target: "reflectance" or "minmax", the space of MAE, MSE and PSNR.
        color: mean red, green and blue in [0, 1]; None for no such row.
        members: whose predictions get a row each; one alone gets none, for it is the archive.
        advance: called with the SAR inputs scored, and their number.

    Raises:
        InputError: an image or a truth is not usable; says which.
    """
    sources: dict[str, Source] = {}
    if color is not None:
        one_color = np.asarray(color, np.float64)[:, None, None]
        sources["mean colour"] = lambda name, image: np.broadcast_to(one_color, image.shape)
    if len(members) > 1:
        sources |= {member.variant: _prediction_of(member) for member in members}
    sources[label] = lambda name, image: image

    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    official: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sources}
    with open_archive(archive) as opened:
        for done, sar in enumerate(truth.inputs, 1):
            truths = [read_truth(true, target) for true in sar.truths]
            images = {
                name: to_unit(f"{archive}: {name}", read_image(opened, name))
                for name in sar.submissions
            }
            for row, source in sources.items():
                shown = {name: source(name, image) for name, image in images.items()}
                official[row].append(_official_errors(truths, shown))
                errors[row] += _errors(sar, truths, shown)
            if advance:
                advance(done, len(truth.inputs))
    rows = (
        Row(
            name,
            summarise(errors[name]),
            official_2022(official[name]),
            official_2023(official[name]),
        )
        for name in sources
    )
    return Report(tuple(rows), truth.unscored)


def ensemble_label(variants: Sequence[str]) -> str:
    """How a report calls the average of these variants; empty if there is none."""
    return f"ensemble ({', '.join(variants)})" if variants else ""


class TrueImage(NamedTuple):
    """A truth: in [0, 1], where it holds data, and as the server stretches it."""

    truth: Truth
    unit: Image
    valid: NDArray[np.bool_]
    stretched: Image


def read_truth(truth: Truth, target: str) -> TrueImage:
    """Read a truth; tiles and uint16 images hold DN, other images are in [0, 1] or 0 to 255."""
    if len(truth.paths) == 1:
        pixels = decode_image(truth.paths[0], truth.paths[0].read_bytes())
    else:
        pixels = read_scene("Sentinel2", truth.paths)
    if pixels.dtype == np.uint16:
        unit: Image = scale_optical(pixels.astype(np.uint16, copy=False), target)
    else:
        unit = to_unit(truth.paths[0], pixels)
        unit = stretch(unit) if target == "minmax" else unit
    valid = (pixels != 0).any(axis=0)
    if not valid.any():
        raise InputError(truth.paths[0], "is nodata everywhere", "leave this truth out")
    return TrueImage(truth, unit, valid, stretch(pixels))


def _official_errors(
    truths: Sequence[TrueImage], images: Mapping[str, Image]
) -> NDArray[np.float64]:
    """MSE [truths, submissions] as the server computes it, infinite where none is listed."""
    errors = np.full((len(truths), len(images)), np.inf)
    for column, (name, image) in enumerate(images.items()):
        stretched = stretch(image)
        for row, true in enumerate(truths):
            if name not in true.truth.submissions:
                continue
            if image.shape != true.unit.shape:
                sizes = f"{_size(image)} where its truth {true.truth.name} is {_size(true.unit)}"
                raise InputError(name, f"is {sizes}", "predict scenes of the size of the truth")
            errors[row, column] = mse(stretched, true.stretched)
    return errors


def _errors(
    sar: SarInput, truths: Sequence[TrueImage], images: Mapping[str, Image]
) -> list[tuple[float, float]]:
    """MAE and MSE of each submission, against the truth nearest in date."""
    true = {image.truth: image for image in truths}
    errors = []
    for name, image in images.items():
        _, unit, valid, _ = true[sar.nearest(name)]
        errors.append((mae(image, unit, valid), mse(image, unit, valid)))
    return errors


def _prediction_of(member: Member) -> Source:
    def prediction(name: str, image: Image) -> Image:
        return to_unit(name, member.load(str(scene_in(name))))

    return prediction


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape[1:]))


class Manifest(NamedTuple):
    """What an archive's manifest says: weights of each member, target space, mean colour."""

    members: dict[str, str]
    target: str
    color: Sequence[float] | None


def read_manifest(archive: Path) -> Manifest:
    """What the manifest beside an archive says of it; nothing if there is none for these bytes."""
    path = archive.with_suffix(".json")
    if not path.exists():
        return Manifest({}, "reflectance", None)
    remedy = "make it again: kit package --overwrite; or move this file away"
    manifest = read_json(path, remedy)
    try:
        if manifest["sha256"] != sha256(archive):
            return Manifest({}, "reflectance", None)
        members = {member["variant"]: member["weights_sha256"] for member in manifest["members"]}
        return Manifest(members, manifest["target"], manifest["members"][0]["mean_color"])
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(path, f"not a manifest of an archive ({error!r})", remedy) from None


def current(
    predictions: Path | None, variant: str, weights: str, images: Sequence[str]
) -> Member | None:
    """The member, if its predictions are still there and of the weights that made the archive."""
    if predictions is None or not (predictions / variant / "manifest.json").exists():
        return None
    member = read_member(predictions / variant)
    scenes = {str(scene_in(image)) for image in images}
    complete = all((member.folder / f"{scene}.npy").exists() for scene in scenes)
    return member if complete and member.weights_sha256 == weights else None
