"""Runs and ensembles -> the score of every scene that their members have not seen.

In: the names of two, and the pairs. Out: their comparison on the scenes that both have held out.
What was fitted is fitted again without the places that it is scored on, as its own file was fitted
on all. Refused by name: what is not trained, and two that no measure can compare.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.comparison.paired import (
    Comparison,
    SceneScore,
    Side,
    check_by_scene,
    common_scenes,
    paired,
)
from kit.errors import InputError
from kit.fitting.observations import observe
from kit.fitting.selection import FEWEST_PLACES, crossfitted, score_image
from kit.metrics import is_official_measure, is_stretched_measure
from kit.prediction.combination import PLAIN, Combination
from kit.prediction.ensembles import Ensemble, find_ensemble, known_ensembles
from kit.progress import Advance, Report, each_once
from kit.runs.ensemble import trained_folds, trained_variants
from kit.runs.notes import notes_of
from kit.training.heldout import HeldOut, heldout
from kit.variants.registry import no_such_ensemble

_USUAL = "mae"
Image = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One side: an ensemble, of one member where it is a run, and what each member has held out."""

    ensemble: Ensemble
    members: tuple[HeldOut, ...]

    @property
    def name(self) -> str:
        return self.ensemble.name

    @property
    def target(self) -> str:
        """The space of the members' images."""
        return self.members[0].target

    @property
    def scenes(self) -> tuple[str, ...]:
        """Those that all members have held out."""
        first, *others = self.members
        return tuple(scene for scene in first.scenes if all(scene in o.pairs for o in others))

    def images(self, scene: str) -> list[Image]:
        return [member.image(scene) for member in self.members]


def compare_runs(
    first: str,
    second: str,
    measure: str | None = None,
    *,
    work: Path,
    runs: Path,
    ensembles: Path,
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Comparison:
    """Compare two runs, variants that were trained in folds, or ensembles of such.

    Args:
        first: the name of a run, a variant or an ensemble, or variants with commas.
        second: another.
        measure: a key of `kit.metrics.MEASURES`; that of a fitted ensemble, or "mae", if None.
        work: the folder of the table of pairs.
        runs: the folder of trained runs; predictions that are missing are made there.
        ensembles: the folder of fitted ensembles.
        advance: called with scenes and their number: predicted by each member, then scored.
        report: takes a line about what is made again, and about which runs are meant.

    Raises:
        InputError: a name means nothing, or a member is not trained or was trained on other pairs;
            no scene is common; or the two have different targets, and the measure is of one.
        BusyError: another process predicts what is held out.
    """
    chosen = [_named(name, runs, ensembles) for name in (first, second)]
    measure = measure or next((each.measure for each in chosen if each.fitted), _USUAL)
    check_by_scene(measure)
    names = dict.fromkeys(member for each in chosen for member in each.members)
    report = each_once(report)
    known = {name: heldout(runs, name, work, advance=advance, report=report) for name in names}
    sides = [_Candidate(each, tuple(known[m] for m in each.members)) for each in chosen]
    for side in sides:
        _check_targets([(member.name, member.target) for member in side.members], measure)
    spaces = [side.ensemble.combination.space(side.target) for side in sides]
    _check_targets([(side.name, space) for side, space in zip(sides, spaces, strict=True)], measure)
    both = common_scenes((sides[0].name, sides[0].scenes), (sides[1].name, sides[1].scenes))
    notes: list[str] = []
    scored = [_score(side, both, measure, notes, advance) for side in sides]
    only = len(sides[0].scenes) - len(both), len(sides[1].scenes) - len(both)
    kept = {name: notes_of(runs, name) for name in names}
    return paired(measure, scored[0], scored[1], only, notes, kept)


def _named(name: str, runs: Path, ensembles: Path) -> Ensemble:
    """What a name means: a run, a variant in folds, or an ensemble."""
    if name.endswith(".zip"):
        raise InputError(name, "is an archive", remedy="to compare archives, give --truth TRUTH")
    trained = trained_variants(runs)
    if name in trained or (runs / name).is_dir() or trained_folds(runs, name):
        return Ensemble(name, (name,))
    known = known_ensembles(ensembles)
    if name not in known and "," not in name:
        archives = "; to compare archives, give --truth TRUTH"
        what = "run or ensemble"
        raise no_such_ensemble(name, [*trained, *known], archives, what=what)
    return find_ensemble(name, ensembles)


def _check_targets(named: Sequence[tuple[str, str]], measure: str) -> None:
    """Refuse what has another target than the first, where the measure is of one."""
    first, usual = named[0]
    for name, target in named:
        if target != usual and not is_stretched_measure(measure):
            problem = f"has the target {target}, but {first} has {usual}"
            remedy = "in the server's space they can be compared: --measure official_2022"
            raise InputError(name, problem, remedy=remedy)


def _score(
    side: _Candidate,
    scenes: Sequence[str],
    measure: str,
    notes: list[str],
    advance: Advance | None,
) -> Side:
    """The scores of one side on some scenes; what was not fitted has anchors where they win."""
    combinations = _combinations(side, notes)
    both: list[tuple[float, float]] = []
    for done, scene in enumerate(scenes, 1):
        images, usual = side.images(scene), combinations[scene]
        truth = _truth(side, scene, measure, usual)
        anchored = replace(usual, stretch="anchors")
        own = score_image(measure, usual.apply(images), truth)
        free = is_official_measure(measure) and side.ensemble.fitted is None
        other = score_image(measure, anchored.apply(images), truth) if free else own
        both.append((own, other))
        if advance:
            advance(done, len(scenes))
    kept, changed = np.array(both).mean(axis=0)
    if changed < kept:
        notes.append(f"{side.name}: with anchors, which score better")
    column = int(changed < kept)
    places = {scene: side.members[0].pairs[scene].place for scene in scenes}
    return Side(
        side.name,
        {
            scene: SceneScore(each[column], places[scene])
            for scene, each in zip(scenes, both, strict=True)
        },
    )


def _truth(
    side: _Candidate, scene: str, measure: str, combination: Combination = PLAIN
) -> NDArray[np.float32]:
    """The truth in the space that a measure compares images of this combination in."""
    target = "minmax" if is_stretched_measure(measure) else combination.space(side.target)
    return side.members[0].truth(scene, target)


def _combinations(side: _Candidate, notes: list[str]) -> Mapping[str, Combination]:
    """How the members become one image of each scene: of what was fitted, on other places."""
    scenes, fitted = side.scenes, side.ensemble.fitted
    fixed = dict.fromkeys(scenes, side.ensemble.combination)
    if fitted is None:
        return fixed
    if changed := side.ensemble.changed({k: v for m in side.members for k, v in m.weights.items()}):
        notes.append(f"{side.name} was fitted to other weights of {', '.join(changed)}")
    places = [side.members[0].pairs[scene].place for scene in scenes]
    if len(set(places)) < FEWEST_PLACES:
        notes.append(f"{side.name} was fitted on these scenes, too: its scores there flatter it")
        return fixed
    measure = side.ensemble.measure
    found = _found(side, scenes, measure)
    observed = observe(scenes, places, found(), stretched=is_official_measure(measure))
    notes.append(f"{side.name}: fitted again without the places that it is scored on")
    again = crossfitted(measure, fitted.method, observed, found)
    return dict(zip(scenes, again, strict=True))


def _found(
    side: _Candidate, scenes: Sequence[str], measure: str
) -> Callable[[], Iterator[tuple[list[Image], NDArray[np.float32]]]]:
    def found() -> Iterator[tuple[list[Image], NDArray[np.float32]]]:
        for scene in scenes:
            yield side.images(scene), _truth(side, scene, measure)

    return found
