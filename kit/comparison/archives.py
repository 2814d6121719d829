"""Archives and a truth -> the score of every scene, by the rules of `kit score`.

In: two zips and a truth that `kit.scoring.truth` can load. Out: their comparison. Refused by name:
an archive or a truth that is not usable, and archives without a common scene.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kit.archive.manifest import Manifest, find_manifest
from kit.archive.mapping import SarInput, TruthSet, place_in
from kit.archive.reader import open_archive, read_contents, read_image
from kit.comparison.paired import (
    Comparison,
    SceneScore,
    Side,
    check_by_scene,
    common_scenes,
    paired,
)
from kit.doubt import Units
from kit.errors import InputError
from kit.metrics import is_stretched_measure
from kit.prediction.members import seen_in_training
from kit.progress import Advance
from kit.scoring.advice import measure_of
from kit.scoring.rows import score_inputs
from kit.scoring.truth import load_truth
from kit.submission.log import note_of


def compare_archives(
    first: Path,
    second: Path,
    truth: Path,
    measure: str | None = None,
    *,
    window_days: int = 7,
    units: Units = "check",
    work: Path | None = None,
    advance: Advance | None = None,
) -> Comparison:
    """Compare two archives scene by scene, where a scene is a SAR input of the truth.

    Args:
        first: a zip of images [3, H, W].
        second: another.
        truth: Sentinel-2 tiles or the server's mapping, as `kit.scoring.truth.load_truth` takes
            them.
        measure: a key of `kit.metrics.MEASURES`; that of the first archive's layout if None.
        window_days: how far a tile of the folder may be from the SAR date, either way, inclusive.
        units: what becomes of doubts about units.
        work: the folder of tables whose pairs say which tiles are clear, as `load_truth` takes it.
        advance: called with the SAR inputs scored of each archive in turn, and their number.

    Raises:
        InputError: an archive, the truth or an image is not usable, or its units are wrong; no
            scene is common; or MAE, MSE and PSNR of archives are in different spaces.
    """
    images = [_images(archive) for archive in (first, second)]
    about = [find_manifest(archive) for archive in (first, second)]
    measure = measure or measure_of(about[0].layout, images[0])
    check_by_scene(measure)
    _check_target(first, second, about, measure)
    truths = [load_truth(truth, names, window_days, work=work) for names in images]
    scenes = [{sar.name: sar for sar in found.inputs} for found in truths]
    labels = [_label(archive, first, second) for archive in (first, second)]
    both = common_scenes((labels[0], scenes[0]), (labels[1], scenes[1]))
    sides, notes = [], []
    for archive, label, manifest, inputs in zip(
        (first, second), labels, about, scenes, strict=True
    ):
        chosen = [inputs[scene] for scene in both]
        side, told = _score(archive, label, truth, chosen, manifest, measure, units, advance)
        sides.append(side)
        notes += [*told, *_seen(manifest, label, chosen)]
    notes += [
        f"{len(found.unscored)} scenes of {label} have no truth, {found.unscored[0]} first"
        for label, found in zip(labels, truths, strict=True)
        if found.unscored
    ]
    notes += [found.clear for found in truths if found.clear]
    only = len(scenes[0]) - len(both), len(scenes[1]) - len(both)
    archives = zip(labels, (first, second), strict=True)
    kept = {label: note_of(archive) for label, archive in archives}
    return paired(measure, sides[0], sides[1], only, dict.fromkeys(notes), kept)


def _images(archive: Path) -> list[str]:
    with open_archive(archive) as opened:
        return list(read_contents(opened).images)


def _label(archive: Path, *both: Path) -> str:
    """The name of an archive; its path where both have one name."""
    return archive.stem if len({each.stem for each in both}) == len(both) else str(archive)


def _score(
    archive: Path,
    label: str,
    truth: Path,
    inputs: Sequence[SarInput],
    about: Manifest,
    measure: str,
    units: Units,
    advance: Advance | None,
) -> tuple[Side, tuple[str, ...]]:
    """The score of each SAR input, and what speaks against units."""
    with open_archive(archive) as opened:
        rows, doubts = score_inputs(
            truth,
            partial(read_image, opened),
            TruthSet(tuple(inputs), ()),
            about.space,
            units=units,
            advance=advance,
        )
    places = {sar.name: place_in(sar.name, sar.submissions[0]) for sar in inputs}
    scores = {name: SceneScore(row.get(measure), places[name]) for name, row in rows.items()}
    return Side(label, scores), doubts


def _check_target(first: Path, second: Path, about: list[Manifest], measure: str) -> None:
    if about[0].space != about[1].space and not is_stretched_measure(measure):
        targets = f"is in the space {about[1].space}, {first.name} in {about[0].space}"
        problem = f"{targets}: their {measure} cannot be compared"
        raise InputError(second, problem, remedy="give --measure official_2022")


def _seen(about: Manifest, label: str, inputs: Sequence[SarInput]) -> list[str]:
    scenes = [about.scenes.get(name, name) for sar in inputs for name in sar.submissions]
    return [
        f"{member} of {label} was trained on the ground of {len(seen)} of these scenes, "
        f"{seen[0]} first: its scores there say little of places that it has not seen"
        for member, seen in seen_in_training(about.trained_on, scenes).items()
    ]
