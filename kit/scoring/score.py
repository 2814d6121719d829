"""Archive x truth -> scores, in the kit's own terms and in the server's.

In: an archive of predicted images, and a truth that `kit.scoring.truth` can load. Out: a row of
scores for the archive, and beside it one for each member, some for baselines, and one for the same
archive with anchors or without; and the errors of every image. What the server can stretch though
nobody knows its scale, such as int16, has the server's measures alone. Refused by name: images of
another size than their truth, or that the server cannot stretch.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kit.anchors import anchor
from kit.archive.mapping import TruthSet, scene_in
from kit.archive.reader import open_archive, read_contents, read_image, scale_problem, to_unit
from kit.colors import Colors
from kit.doubt import Units, settle
from kit.metrics import check_measure
from kit.prediction.combination import PLAIN, Combination
from kit.prediction.members import Member, combine_scene, seen_in_training
from kit.progress import Advance
from kit.scaling import quantize
from kit.scoring.advice import Packaging, advised
from kit.scoring.baselines import NO_BASELINES, Baselines, find_baselines
from kit.scoring.constants import constants, image_with_meaning, row_with_meaning
from kit.scoring.doubts import truth_floats
from kit.scoring.images import Image
from kit.scoring.provenance import find_provenance
from kit.scoring.report import Report, Variation
from kit.scoring.rows import MakeImage, as_sent, compare_images
from kit.scoring.truth import load_truth
from kit.storage.files import PREDICTIONS, WORK, AnyPath
from kit.variants.fold_names import is_fold


def score(
    archive: AnyPath,
    truth: AnyPath,
    *,
    window_days: int = 7,
    units: Units = "check",
    predictions: AnyPath | None = PREDICTIONS,
    work: AnyPath | None = WORK,
    measure: str | None = None,
    advance: Advance | None = None,
) -> Report:
    """Score an archive: uint16 over 65535, uint8 over 255, floats in [0, 1], or what is stretched.

    The manifest beside it, if it is of these bytes, gives the members, the target space,
    and the colours of the training.

    Args:
        archive: a zip of images [3, H, W].
        truth: Sentinel-2 tiles or the server's mapping, as `kit.scoring.truth.load_truth` takes
            them.
        window_days: how far a tile of the folder may be from the SAR date, either way, inclusive.
        units: what becomes of doubts about units.
        predictions: where to look for the predictions of the members and of baselines; None for no
            rows of them.
        work: the folder of tables whose pairs say which tiles are clear, as `load_truth` takes it.
        measure: a key of `kit.metrics.MEASURES` that advice goes by; the layout's if None.
        advance: called with the truths examined, then the SAR inputs scored, and their number.

    Raises:
        InputError: the archive, the truth or an image is not usable; says which. Or the values of
            truths or images are impossible; or `units` is "strict", and there is a doubt.
    """
    archive, truth = Path(archive), Path(truth)
    check_measure(measure)
    predictions = Path(predictions) if predictions else None
    with open_archive(archive) as opened:
        contents = read_contents(opened)
    images = contents.images
    tables = Path(work) if work else None
    found = load_truth(truth, images, window_days, advance, work=tables)
    made_from = find_provenance(archive, images, predictions)
    manifest = made_from.manifest
    baselines = NO_BASELINES
    if predictions:
        shown = {str(manifest.scene(image)) for image in images}
        baselines = find_baselines(
            predictions, manifest.variants, manifest.target, shown, made_from.members
        )
    report = compare(
        archive,
        found,
        ensemble_label(manifest.variants, manifest.combination) or archive.name,
        manifest.target,
        manifest.colors,
        made_from.members,
        advance,
        combination=manifest.combination,
        absent=made_from.absent,
        baselines=baselines,
        scenes=manifest.scenes,
        where=truth,
        units=units,
    )
    made = Packaging(
        variants=manifest.variants,
        combination=manifest.combination,
        layout=manifest.layout,
        layout_file=manifest.layout_file,
        expected=manifest.expected,
        fitted=manifest.ensemble if manifest.fitted else "",
    )
    trained_on = manifest.trained_on | baselines.trained_on
    report = dataclasses.replace(
        report,
        passed_over=contents.passed_over,
        trained_on=seen_in_training(trained_on, scored_scenes(report, manifest.scenes)),
    )
    return advised(report, made, measure)


def scored_scenes(report: Report, scenes: Mapping[str, str]) -> list[str]:
    """The scenes that an archive was scored on, where `scenes` has that of each of its images."""
    return [scenes.get(image.submission, image.submission) for image in report.own_images()]


def compare(
    archive: Path,
    truth: TruthSet,
    label: str,
    target: str,
    colors: Colors | None,
    members: Sequence[Member],
    advance: Advance | None = None,
    *,
    combination: Combination = PLAIN,
    absent: tuple[str, ...] = (),
    baselines: Baselines = NO_BASELINES,
    scenes: Mapping[str, str] | None = None,
    where: Path | None = None,
    units: Units = "check",
) -> Report:
    """Score an archive, its members and baselines against a loaded truth.

    Args:
        archive: a zip of images [3, H, W].
        truth: what `kit.scoring.truth.load_truth` found for its images.
        label: the name of the archive's own row.
        target: "reflectance" or "minmax", the space of MAE, MSE and PSNR, and of the members'
            images. An archive that is in another, by an affine, has none of the three.
        colors: of the training; None for no row of a constant.
        members: whose predictions get a row each, the folds of a variant one together; one alone
            gets none, for it is the archive.
        advance: called with the SAR inputs scored, and their number.
        combination: how the archive's images were made of its members' ones. What it scores
            without anchors, where it has them, is known from its members alone.
        absent: members of the archive that are not among `members`.
        baselines: what else gets a row, with anchors where the archive has them.
        scenes: the scenes that the members predicted, by image; those in the names if not given.
        where: what an error about units names; the archive if None.
        units: what becomes of doubts about units.

    Raises:
        InputError: an image or a truth is not usable; says which. Or its units are wrong.
    """
    where = where or archive
    told = settle(where, truth_floats(truth.inputs), units)
    makers: dict[str, MakeImage] = {}
    if colors:
        makers |= constants(colors)
    for name, folds in baselines.members.items():
        plain = _combined(folds, PLAIN, scenes or {})
        makers[name] = _anchored(plain) if combination.stretch == "anchors" else plain
    variants = _variants(members, absent)
    makers |= {name: _combined(folds, PLAIN, scenes or {}) for name, folds in variants.items()}
    makers[label] = as_sent
    other: tuple[str, MakeImage] | None = None
    if combination.stretch == "keep":
        other = "with anchors", _anchored(as_sent)
    elif members and not absent:
        without = dataclasses.replace(combination, stretch="keep")
        other = "without anchors", _combined(members, without, scenes or {})
    hidden = dict([other]) if other else {}
    hidden |= {_anchored_name(name): _anchored(makers[name]) for name in variants}
    with open_archive(archive) as opened:

        def read(name: str) -> Image:
            return read_image(opened, name)

        report, hidden_rows = compare_images(
            where, read, truth, makers, target, hidden=hidden, units=units, advance=advance
        )
    made = (label, other[0]) if other else (label,)
    elsewhere = {name for name, folds in baselines.members.items() if folds[0].target != target}
    elsewhere |= {*made} if combination.space(target) != target else set()
    rows = tuple(row_with_meaning(row, elsewhere) for row in report.rows)
    hidden_rows = tuple(row_with_meaning(row, elsewhere) for row in hidden_rows)
    found = {row.name: row for row in (*rows, *hidden_rows)}
    otherwise = "anchors" if combination.stretch == "keep" else "keep"
    variations = [Variation("", otherwise, found[other[0]])] if other else []
    for name in variants:
        variations.append(Variation(name, "keep", found[name]))
        variations.append(Variation(name, "anchors", found[_anchored_name(name)]))
    return dataclasses.replace(
        report,
        rows=rows,
        images=tuple(image_with_meaning(image, elsewhere) for image in report.images),
        absent=absent,
        baselines=tuple(baselines.members),
        missing_trees=baselines.missing_trees,
        variations=tuple(variations),
        doubts=(*told, *report.doubts),
    )


def _anchored(make: MakeImage) -> MakeImage:
    def anchored(name: str, image: Image) -> Image:
        made = make(name, image)
        if scale_problem(made):  # where white is nobody knows
            return np.full(made.shape, np.nan)
        # Exact for uint16 and uint8, which is what archives hold.
        return anchor(quantize(to_unit(name, made)))

    return anchored


def _anchored_name(variant: str) -> str:
    return f"{variant} with anchors"


def _variants(members: Sequence[Member], absent: Sequence[str]) -> dict[str, list[Member]]:
    """The members of each variant, its folds; of one alone none, for it is the archive."""
    found: dict[str, list[Member]] = {}
    for member in members:
        found.setdefault(member.base_name, []).append(member)
    if len(found) == 1 and not absent:
        return {}
    return {
        name: folds
        for name, folds in found.items()
        if not any(is_fold(each, name) for each in absent)
    }


def ensemble_label(variants: Sequence[str], combination: Combination = PLAIN) -> str:
    """How a report calls what these variants make; empty if there is none."""
    how = "" if combination.text == PLAIN.text else f"; {combination.text}"
    return f"ensemble ({', '.join(variants)}{how})" if variants else ""


def _combined(
    members: Sequence[Member], combination: Combination, scenes: Mapping[str, str]
) -> MakeImage:
    def prediction(name: str, image: Image) -> Image:
        scene = str(scene_in(scenes.get(name, name)))
        return combine_scene(members, scene, combination)

    return prediction
