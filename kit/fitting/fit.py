"""Trained variants -> an ensemble of them that their held-out predictions speak for.

In: runs, or folds, and the pairs that they have not seen. Out: `ensembles/NAME.json`, which `kit
predict` and `kit package` take by its name; and every method that was tried, with its score on
scenes that it was not fitted on. Refused by name: members of other targets, folds or pairs, scenes
that one of them lacks, too few of them, and names that mean something already.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.averaging import reduced
from kit.errors import InputError, no_such
from kit.fitting.methods import COLOR, PLAIN
from kit.fitting.objectives import OBJECTIVES
from kit.fitting.observations import Image, observe
from kit.fitting.selection import FEWEST_PLACES, Candidate, Selection, select
from kit.metrics import is_official_measure
from kit.pairs.table import PAIRS, fingerprint, read_pairs
from kit.prediction.ensembles import Ensemble, Fitted, check_name, ensemble_path, write_ensemble
from kit.progress import Advance, Report, each_once
from kit.runs.differences import settings_text
from kit.runs.ensemble import named_or_trained, trained_folds
from kit.runs.folder import read_pairs_sha256
from kit.runs.seen import TrainingPairs
from kit.runs.training_pairs import read_training_pairs
from kit.storage.files import FITTED, RUNS, WORK, AnyPath, refuse_existing
from kit.storage.lock import lock
from kit.training.heldout import HeldOut, drawn, heldout
from kit.training.unseen import count_kinds

MOST_SCENES = 2000
"""More make no interval much narrower; of 256 x 256 pixels, so many take a minute or two."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What one `fit` found: the ensemble and its file, and all that were considered for it."""

    ensemble: Ensemble
    path: Path
    members: tuple[str, ...]
    scenes: int
    places: int
    selection: Selection
    kinds: dict[str, int] = field(default_factory=dict)
    """How many of the scenes are of each kind of `kit.pairs.kinds`."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        chosen = self.selection.chosen
        return {
            "name": self.ensemble.name,
            "path": str(self.path),
            "measure": self.ensemble.measure,
            "scenes": self.scenes,
            "places": self.places,
            "kinds": self.kinds,
            "chosen": chosen.name,
            "why": self.selection.why,
            "doubts": list(self.selection.doubts),
            "candidates": [
                {
                    "name": each.name,
                    "weights": dict(zip(self.members, _weights(each, self.members), strict=True)),
                    "median": each.combination.averaging == "median",
                    "affine": each.combination.affine and each.combination.affine.as_json(),
                    "stretch": each.combination.stretch,
                    "score": each.score,
                    "interval": list(each.interval),
                    "gain": each.gain,
                    "gain_interval": list(each.gain_interval),
                }
                for each in self.selection.candidates
            ],
        }


def fit(
    names: Sequence[str] = (),
    *,
    measure: str = "official_2022",
    name: str | None = None,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    ensembles: AnyPath = FITTED,
    overwrite: bool = False,
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Fit:
    """Choose members and weights by predictions of pairs that the members have not seen.

    Args:
        names: of runs, or of variants that were trained in folds; all that are trained if empty.
        measure: a key of `kit.fitting.objectives.OBJECTIVES`.
        name: of the ensemble; that of the measure if None.
        work: the folder of the table of pairs.
        runs: the folder of trained runs; predictions that are missing are made there.
        ensembles: the folder to write to.
        overwrite: replace an ensemble of this name.
        advance: called with scenes and their number: predicted by each member, then scored.
        report: takes a line about what is made again, what members do not share, and what they
            learn that the measure does not compare.

    Raises:
        InputError: a member is not trained, or cannot be averaged with another; too little is held
            out; or the name or the measure is not usable.
        BusyError: there is an ensemble of this name, or another process predicts or fits.
    """
    work, runs, ensembles = Path(work), Path(runs), Path(ensembles)
    report = each_once(report)
    if measure not in OBJECTIVES:
        raise no_such("measure to fit", measure, OBJECTIVES)
    name = name or measure
    _check_name(name, runs)
    path = ensemble_path(ensembles, name)
    refuse_existing(path, "give --overwrite, or another --name", overwrite)
    names = named_or_trained(runs, names)
    members = [heldout(runs, each, work, advance=advance, report=report) for each in names]
    _check_alike(members, runs, report)
    if line := _other_space(measure, members[0].target):
        report(line)
    scenes = _drawn(members[0].scenes, report)
    places = [members[0].pairs[scene].place for scene in scenes]
    _check_enough(work, scenes, places)
    target = "minmax" if is_official_measure(measure) else members[0].target

    def found() -> Iterator[tuple[list[Image], NDArray[np.float32]]]:
        for scene in scenes:
            yield [each.image(scene) for each in members], members[0].truth(scene, target)

    observed = observe(scenes, places, found(), stretched=is_official_measure(measure))
    selection = select(measure, observed, found, advance)
    pairs = read_pairs(work / PAIRS)
    kinds = count_kinds(scenes, pairs, _folds(members[0], runs))
    ensemble = _ensemble(name, measure, members, selection, kinds, len(scenes), fingerprint(pairs))
    with lock(ensembles):
        write_ensemble(ensembles, ensemble)
    return Fit(ensemble, path, names, len(scenes), len(set(places)), selection, kinds)


def _check_name(name: str, runs: Path) -> None:
    """Refuse a name by which `kit predict` would mean something else."""
    check_name(name)
    for what, taken in (
        ("a run", (runs / name).is_dir()),
        ("a variant that was trained in folds", bool(trained_folds(runs, name))),
    ):
        if taken:
            raise InputError(name, f"is the name of {what}", remedy="give another --name")


def _check_alike(members: Sequence[HeldOut], runs: Path, report: Report) -> None:
    """Refuse members that cannot be averaged, or were held out otherwise than the first."""
    first = members[0]
    for what, of in _TRAITS.items():
        for other in members:
            if of(first) != of(other):
                alike = " ".join(each.name for each in members if of(each) == of(first))
                problem = f"has the {what} {of(other)}, but {first.name} has {of(first)}"
                raise InputError(other.name, problem, remedy=f"fit those alike: kit fit {alike}")
    for other in members:
        tables = [_tables(each, runs) for each in (first, other)]
        if all(tables) and tables[0] != tables[1]:
            problem = f"was trained on another table of pairs than {first.name}"
            remedy = "train both on the same pairs, or fit one alone"
            raise InputError(other.name, problem, remedy=remedy)
        for lacking, having in ((other, first), (first, other)):
            if missing := [scene for scene in having.scenes if scene not in lacking.pairs]:
                problem = f"has no held-out prediction of {missing[0]}, as {having.name} has"
                more = f", and of {len(missing) - 1} more" if len(missing) > 1 else ""
                remedy = "train both with the same --folds and --groups, on the same pairs"
                raise InputError(lacking.name, problem + more, remedy=remedy)
    given = {each.name: _inputs(each) for each in members}
    if len(set(given.values())) > 1:
        listed = "; ".join(f"{name} {inputs}" for name, inputs in given.items())
        report(f"members are given different inputs: {listed}")


_TRAITS: dict[str, Callable[[HeldOut], object]] = {
    "target": lambda member: member.target,
    "number of folds": lambda member: len(member.runs),
}


_INPUTS = ("date", "radar_dates", "prior")


def _tables(member: HeldOut, runs: Path) -> set[str]:
    """The fingerprints of the tables of pairs that a member was trained on, as far as known."""
    return {known for run in member.runs if (known := read_pairs_sha256(runs / run))}


def _inputs(member: HeldOut) -> str:
    """What the networks of a member are given, as settings of its variant."""
    return settings_text({name: getattr(member.variant, name) for name in _INPUTS})


def _folds(member: HeldOut, runs: Path) -> dict[str, TrainingPairs]:
    """What the folds of a member were trained on; none where it is a run of its own."""
    known = {run: read_training_pairs(runs / run) for run in member.runs}
    return {run: trained for run, trained in known.items() if trained and trained.held}


def _other_space(measure: str, target: str) -> str:
    """What to train for an official measure where members learn reflectance; "" otherwise."""
    if not is_official_measure(measure) or target == "minmax":
        return ""
    return (
        f"members learn {target}: kit train-all server trains those that learn stretched images, "
        f"which {measure} compares"
    )


def _drawn(scenes: tuple[str, ...], report: Report) -> tuple[str, ...]:
    """All scenes, or `MOST_SCENES` of them, in their order."""
    if len(scenes) > MOST_SCENES:
        report(
            f"{MOST_SCENES:,} of {len(scenes):,} held-out scenes are enough; "
            "they are drawn by chance"
        )
    return drawn(scenes, MOST_SCENES)


def _check_enough(work: Path, scenes: Sequence[str], places: Sequence[tuple[str, str]]) -> None:
    if len(set(places)) < FEWEST_PLACES:
        counts = f"{len(scenes)} scenes of {len(set(places))} places are held out"
        raise InputError(
            work / PAIRS,
            f"{counts}, too few to fit on some and score on others",
            remedy="train in folds: kit train-all --folds 5; or kit prepare with more --holdout",
        )


def _ensemble(
    name: str,
    measure: str,
    members: Sequence[HeldOut],
    selection: Selection,
    kinds: dict[str, int],
    scenes: int,
    pairs_sha256: str,
) -> Ensemble:
    """What was chosen, without the members that have no weight in it."""
    chosen = selection.chosen
    weights = _weights(chosen, members)
    kept = [number for number, weight in enumerate(weights) if weight]
    if chosen.name.startswith(COLOR):
        kept = kept[:1]  # whichever: nothing is taken of its images
    averaging = chosen.combination.averaging
    if averaging != "median":
        averaging = reduced([weights[number] for number in kept])
    used = [members[number] for number in kept]
    return Ensemble(
        name=name,
        members=tuple(each.name for each in used),
        combination=replace(chosen.combination, averaging=averaging),
        measure=measure,
        target=members[0].target,
        fitted=Fitted(
            method=chosen.name,
            score=chosen.score,
            interval=chosen.interval,
            against={
                each.name: each.score
                for each in selection.candidates
                if each.name == PLAIN or each.name.startswith(COLOR)
            },
            scenes=scenes,
            pairs_sha256=pairs_sha256,
            weights=_digests(used),
            candidates=_digests(members),
            kinds=kinds,
        ),
    )


def _digests(members: Sequence[HeldOut]) -> dict[str, str]:
    """For each run of the members the SHA-256 of its weights."""
    return {run: sha256 for each in members for run, sha256 in each.weights.items()}


def _weights(candidate: Candidate, members: Sequence[object]) -> tuple[int, ...]:
    """The weight of each member; 1 for all in a mean and in a median."""
    averaging = candidate.combination.averaging
    return averaging if isinstance(averaging, tuple) else (1,) * len(members)
