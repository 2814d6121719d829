"""Predictions of pairs that a variant has not seen: what it is scored by, and fitted on.

In: a run, or all folds of a variant, and the pairs. Out: an image for each pair of the hold-out
and, if it was trained in folds, for each clear pair of the training set, by the fold that held it
out; in `runs/NAME/heldout/`, a file a scene beside a sealed `manifest.json`. What is there already
is read; what other weights made, or of other pixels, is made again. Refused by name: folds that
together leave out a pair, and runs that were trained on other pairs.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from kit.averaging import average
from kit.doubt import Units
from kit.errors import InputError
from kit.inputs.planes import read_optical
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pair_reader import PairReader
from kit.pairs.summary import read_units
from kit.pairs.table import (
    PAIRS,
    Pair,
    fingerprint,
    holdout_pairs,
    pixels_fingerprint,
    read_pairs,
    train_pairs,
)
from kit.progress import Advance, Report
from kit.runs.ensemble import scored_runs
from kit.runs.folder import CONFIG, OTHER_PIXELS, has_other_pixels, read_pairs_sha256
from kit.runs.heldout import (
    HELDOUT,
    REMEDY,
    HeldOutRecord,
    has_heldout,
    read_heldout,
)
from kit.runs.planes import planes_for_pairs
from kit.runs.training_pairs import read_training_pairs
from kit.runs.units import check_units
from kit.runs.weights import Weights, read_run
from kit.storage.image_file import image_path, read_image
from kit.training.heldout_images import inputs_of, predict_missing
from kit.variants.settings import Variant

MOST_OUT_OF_FOLD = 2000
"""Scenes held out by folds that are predicted: of more, so many are enough to choose by."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images of pairs by weights that have not seen them, of one variant.

    `variant` is that of its run, or of its first fold. `runs` are its run or its folds, and
    `weights` the SHA-256 of the weights of each; `pairs` the pairs by optical scene, in the order
    of the table; `files` those of a scene, with their digests.
    """

    name: str
    variant: Variant
    runs: tuple[str, ...]
    weights: dict[str, str]
    pairs: dict[str, Pair]
    reader: PairReader
    files: dict[str, tuple[tuple[Path, str], ...]]

    @property
    def target(self) -> str:
        """What its images show, see `kit.variants.settings.Variant`."""
        return self.variant.target

    @property
    def scenes(self) -> tuple[str, ...]:
        """The optical scenes that are predicted."""
        return tuple(self.pairs)

    def image(self, scene: str) -> NDArray[np.uint16]:
        """The prediction [3, H, W] of a scene; its values over 65535 are in [0, 1].

        A scene that no fold was trained on has the mean of all of them, as in a prediction.

        Raises:
            InputError: a file is gone or damaged since.
        """
        images = [read_image(path, sha256, REMEDY) for path, sha256 in self.files[scene]]
        return average(images)

    def truth(self, scene: str, target: str) -> NDArray[np.float32]:
        """What the optical scene shows, [3, H, W] in [0, 1], in the space of `target`."""
        return read_optical(self.reader, self.pairs[scene], target)


def heldout(
    runs: Path,
    name: str,
    work: Path,
    *,
    units: Units = "check",
    known: Mapping[str, Weights] = MappingProxyType({}),
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> HeldOut:
    """The predictions of `name` for pairs that it has not seen; those that are missing are made.

    Args:
        runs: the folder of all runs.
        name: of a run, or of a variant that was trained in folds.
        work: the folder of the table of pairs.
        units: "any" admits pairs of other units than those that it was trained on.
        known: weights of its runs that are read already, by run.
        advance: called with the scenes done and their number.
        report: takes a line about what is made again, and why, about a run that was trained on
            other pixels, and about scenes of folds that are left out as there are very many.

    Raises:
        InputError: it is not trained, or on other pairs or units; a fold is missing; no pair is
            held out, or one that the folds should hold out by none; or a tile or a pack cannot be
            read.
        BusyError: another process makes them.
    """
    asked = _ask(runs, name, work, units, report, known)
    shares = {run: asked.of(run) for run in asked.weights}
    total, before = sum(map(len, shares.values())), 0
    found: dict[str, dict[str, str]] = {}
    for run, mine in shares.items():
        weights = asked.weights[run]

        def after(done: int, before: int = before) -> None:
            if advance:
                advance(before + done, total)

        planes = planes_for_pairs(runs / run, weights.variant, work, asked.reader, asked.pairs)
        found[run] = predict_missing(
            runs / run, weights, planes, mine, asked.reader, asked.pixels_sha256, after, report
        )
        before += len(mine)
    return asked.held_out(runs, name, found)


def kept(runs: Path, name: str, work: Path) -> HeldOut | None:
    """As `heldout`, of what is there already: nothing is predicted, and nothing is written.

    None where a prediction is missing, or was made by other weights or of other pixels.

    Raises:
        InputError: as `heldout`, or what is there is damaged.
    """
    asked = _ask(runs, name, work, "any", lambda _: None)
    found: dict[str, dict[str, str]] = {}
    for run, weights in asked.weights.items():
        at = runs / run / HELDOUT
        made = read_heldout(at) if has_heldout(at) else HeldOutRecord("", {})
        mine = asked.of(run)
        planes = planes_for_pairs(runs / run, weights.variant, work, asked.reader, asked.pairs)
        wanted = inputs_of(planes, mine)
        other = made.weights_sha256 != weights.sha256 or made.has_other_pixels(asked.pixels_sha256)
        if other or not made.has_all(wanted):
            return None
        found[run] = {scene: made.images[scene] for scene in wanted}
    return asked.held_out(runs, name, found)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The runs of a variant, and the pairs that each has not seen; `scenes` are those of any."""

    weights: dict[str, Weights]
    unseen: dict[str, frozenset[str]]
    pairs: Sequence[Pair]
    scenes: dict[str, Pair]
    reader: PairReader
    pixels_sha256: str | None

    def of(self, run: str) -> list[Pair]:
        """The pairs that a run has not seen."""
        return [pair for scene, pair in self.scenes.items() if scene in self.unseen[run]]

    def held_out(self, runs: Path, name: str, found: Mapping[str, Mapping[str, str]]) -> HeldOut:
        """The predictions, given the digests of each run's."""
        files: dict[str, list[tuple[Path, str]]] = {scene: [] for scene in self.scenes}
        for run, digests in found.items():
            for scene, sha256 in digests.items():
                files[scene].append((image_path(runs / run / HELDOUT, scene), sha256))
        return HeldOut(
            name=name,
            variant=next(iter(self.weights.values())).variant,
            runs=tuple(self.weights),
            weights={run: weights.sha256 for run, weights in self.weights.items()},
            pairs=self.scenes,
            reader=self.reader,
            files={scene: tuple(each) for scene, each in files.items()},
        )


def _ask(
    runs: Path,
    name: str,
    work: Path,
    units: Units,
    report: Report,
    known: Mapping[str, Weights] = MappingProxyType({}),
) -> _Asked:
    pairs = read_pairs(work / PAIRS)
    names = scored_runs(runs, name, holdout=bool(holdout_pairs(pairs)), report=report)
    weights = {run: known.get(run) or read_run(runs, run) for run in names}
    check_units(weights.values(), read_units(work), work / PAIRS, units, report, option=False)
    unseen = {run: _unseen(runs / run, each, pairs, work) for run, each in weights.items()}
    _check_complete(runs, name, weights, unseen, pairs)
    report_other_pixels(runs, names, pairs, report)
    scenes = _scenes(pairs, {scene for found in unseen.values() for scene in found}, report)
    if not scenes:
        problem = "no pair is held out, of those without clouds"
        remedy = "prepare more data, or train in folds: kit train-all --folds 5"
        raise InputError(work / PAIRS, problem, remedy=remedy)
    reader = open_pairs(work, [*scenes.values()])
    return _Asked(weights, unseen, pairs, scenes, reader, pixels_fingerprint(pairs))


def _scenes(pairs: Sequence[Pair], unseen: Set[str], report: Report) -> dict[str, Pair]:
    """The pairs to predict: of the hold-out all, of what folds held out not more than needed."""
    whole = {str(pair.optical) for pair in holdout_pairs(pairs)}
    every = {str(pair.optical): pair for pair in pairs if str(pair.optical) in unseen}
    of_folds = [scene for scene in every if scene not in whole]
    used = {*whole, *drawn(of_folds, MOST_OUT_OF_FOLD)}
    if len(of_folds) > MOST_OUT_OF_FOLD:
        report(
            f"{MOST_OUT_OF_FOLD:,} of {len(of_folds):,} scenes that folds held out are predicted, "
            "drawn by chance: they are enough"
        )
    return {scene: pair for scene, pair in every.items() if scene in used}


def drawn(scenes: Sequence[str], most: int) -> tuple[str, ...]:
    """All scenes, or `most` of them in their order, by chance: the same ones every time."""
    if len(scenes) <= most:
        return (*scenes,)
    chosen = np.random.default_rng(0).choice(len(scenes), most, replace=False)
    return tuple(scenes[number] for number in sorted(chosen))


def report_other_pixels(
    runs: Path, names: Iterable[str], pairs: Sequence[Pair], report: Report
) -> None:
    """Report each run that was trained on other pixels than pairs have now, where that is known."""
    now = pixels_fingerprint(pairs)
    for folder in (runs / name for name in names):
        if (folder / CONFIG).exists() and has_other_pixels(folder, now):
            report(f"{folder}: was trained with {OTHER_PIXELS}; its scores are of those of now")


def _unseen(folder: Path, weights: Weights, pairs: Sequence[Pair], work: Path) -> frozenset[str]:
    """The clear scenes that a run has not been trained on: the hold-out, and that of its fold."""
    trained = read_training_pairs(folder)
    held = frozenset(trained.held if trained else ())
    found = held.intersection(str(pair.optical) for pair in train_pairs(pairs, 2))
    found |= {str(pair.optical) for pair in holdout_pairs(pairs)}
    if weights.variant.folds > 1:
        known = read_pairs_sha256(folder)
        if trained is None or known != fingerprint(pairs):
            problem = f"was divided into folds of other pairs than those of {work / PAIRS}"
            remedy = "prepare with the options that it was trained with, or train it again"
            raise InputError(folder, problem, remedy=f"{remedy} with --overwrite")
    if trained and (seen := found & trained.seen):
        problem = f"was trained on {len(seen)} of {len(found)} pairs that it should not have seen"
        remedy = "prepare with the --seed, --holdout and --split that it was trained with; or the "
        remedy += "images have changed since: restore them, or train it again with --overwrite"
        raise InputError(folder, problem, remedy=remedy)
    return found


def _check_complete(
    runs: Path,
    name: str,
    weights: Mapping[str, Weights],
    unseen: Mapping[str, frozenset[str]],
    pairs: Sequence[Pair],
) -> None:
    """Refuse folds of which none holds out some pair, or several do."""
    if all(each.variant.folds == 1 for each in weights.values()):
        return
    for pair in train_pairs(pairs, 2):
        holders = [run for run, found in unseen.items() if str(pair.optical) in found]
        if len(holders) != 1:
            problem = f"{pair.optical} is held out by {len(holders)} folds of {name}, not by one"
            remedy = "train them again with --overwrite, all with the same --groups"
            raise InputError(runs / name, problem, remedy=remedy)
