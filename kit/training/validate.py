"""Self-evaluation: Table 1 of the paper for this data.

In: trained runs, and the pairs that they have not seen: the hold-out of the pair table, and what
folds have held out. Out: MAE and PSNR of each, beside those of baselines that were made of the
training pairs, and beside the paper's, for unseen places and for unseen dates of seen places apart;
and whether the pairs are enough to tell a run from the best.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import RUNS, WORK, AnyPath
from kit.intervals import interval
from kit.metrics import MEASURES, Scores, check_measure, errors, psnr, summarise
from kit.pairs.open_source import open_source
from kit.pairs.source import Source
from kit.pairs.table import PAIRS, Pair, fingerprint, holdout_pairs, read_pairs, train_pairs
from kit.progress import Advance, Report
from kit.runs.ensemble import scored_runs, trained_variants
from kit.runs.folder import read_pairs_sha256
from kit.runs.planes import planes_for_pairs, planes_for_training
from kit.runs.training_pairs import read_training_pairs
from kit.runs.weights import load_run, read_run
from kit.scaling import UINT16_MAX
from kit.training.baselines import boosted_trees, constants, place_priors
from kit.training.evaluate import anchored, evaluate_each, official_errors, official_of
from kit.training.heldout import HeldOut, heldout
from kit.training.unseen import HOLDOUT, Part, holdout_parts, out_of_fold_parts
from kit.variant_settings import Model
from kit.variants import PAPER, VARIANTS

Errors = Mapping[str, Mapping[str, float]]
"""By optical scene and by measure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, in the space of its target.

    `part` says which pairs it is of; the rows of one part are a table, of pairs of so many
    `places`. `interval` is that of the
    measure that was asked for, and `behind` by how much the row is worse than the best run of its
    part and target, with the interval of that; None where there are none. The paper's figures are
    None for a variant that it does not have. `warning` says what speaks against comparing the row
    with the others. `not_beaten` are the baselines that score as well, or better.
    """

    variant: str
    target: str
    scores: Scores
    paper: tuple[float, float] | None
    warning: str = ""
    part: Part = HOLDOUT
    places: int = 0
    interval: tuple[float, float] | None = None
    behind: tuple[float, float, float] | None = None
    is_baseline: bool = False
    not_beaten: tuple[str, ...] = ()


def validate(
    names: Sequence[str] = (),
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    measure: str = "mae",
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> tuple[Row, ...]:
    """Score the named runs, or all trained ones, on pairs that they have not seen.

    The first rows of each part are those of `kit.training.baselines`, made of the pairs of
    Dataset-1: boosted trees for the hold-out alone, and if no named run is of such. A variant that
    was trained in folds is scored on the hold-out by the mean of its folds, and on the training
    pairs by the fold that held each out, for which predictions are kept with the runs.

    Args:
        names: of runs, or of variants that were trained in folds.
        work: the folder of the table of pairs.
        runs: the folder of trained runs.
        measure: a key of `kit.metrics.MEASURES` by which the other rows are in order, best first;
            an official one is among their scores, as they are and with anchors. By name if "mae".
        advance: called with the runs scored, and their number.
        report: takes a line about predictions that are made again, about which runs are meant, and
            about a baseline that cannot be made.

    Raises:
        InputError: no run is trained, or a named one is not; nothing is held out; or a pack lacks a
            pair or is damaged. Or a run was trained on pairs of the hold-out, which its folder
            keeps since version 0.3.0.
    """
    work, runs = Path(work), Path(runs)
    check_validated(measure)
    pairs = read_pairs(work / PAIRS)
    held = holdout_pairs(pairs)
    names = tuple(names) or trained_variants(runs)
    if not names:
        raise InputError(runs, "holds no trained run", remedy="train one first: kit train spade2")
    meant = {name: scored_runs(runs, name, holdout=bool(held), report=report) for name in names}
    alone = [name for name in names if meant[name] == (name,)]
    if not held and alone:
        problem = f"the hold-out is empty, and {alone[0]} was not trained in folds"
        remedy = "prepare more data: the hold-out is at most a fifth of Dataset-2"
        raise InputError(work / PAIRS, problem, remedy=remedy)
    _refuse_seen(alone, runs, held)
    source = open_source(work, [pair for pair in pairs if pair.split != "buffer"])
    scored: list[_Scored] = []
    for done, name in enumerate(names, start=1):
        one = _run if name in alone else _folds
        scored.append(one(runs, name, work, source, pairs, measure))
        if advance:
            advance(done, len(names))
    trained = train_pairs(pairs, 1)
    parts = holdout_parts(held, trained)
    for each in scored:
        parts |= {part: those for part, those in each.parts.items() if part not in parts}
    every = {str(pair.optical): pair for those in parts.values() for pair in those}
    models = {read_run(runs, name).variant.model for each in meant.values() for name in each}
    made = _baselines(work, models, source, trained, held, every, measure, report)
    known = [_Scored(name, "reflectance", found, {}, is_baseline=True) for name, found in made]
    rows = []
    for part, those in parts.items():
        rows += _table(part, those, [*known, *scored], measure)
    return tuple(rows)


def _baselines(
    work: Path,
    models: Set[Model],
    source: Source,
    trained: Sequence[Pair],
    held: Sequence[Pair],
    every: Mapping[str, Pair],
    measure: str,
    report: Report,
) -> Iterator[tuple[str, Errors]]:
    official = official_of(measure)
    yield from constants(source, trained, [*every.values()], official).items()
    if held and "trees" not in models:
        yield from boosted_trees(source, trained, held, official, report).items()
    if held and "prior" not in models:
        chosen = VARIANTS["prior1"]
        planes = planes_for_training(chosen, work, source, trained, held)
        yield from place_priors(planes, source, trained, held, official).items()


def check_validated(measure: str) -> None:
    """Refuse a measure that no validation computes.

    Raises:
        InputError: says which there are.
    """
    check_measure(measure)
    if measure.startswith("stretched"):
        remedy = "take official_2022, of which it is a part"
        raise InputError(measure, "is not computed of a hold-out", remedy=remedy)


def ranked(rows: Iterable[Row], measure: str) -> list[Row]:
    """The rows, the best by a measure first; with an official one by the better of both ways."""
    return sorted(rows, key=lambda row: _cost(row.scores.as_dict(), measure))


@dataclass(frozen=True, slots=True)
class _Scored:
    """The errors of one variant on each scene that it has not seen.

    `parts` are those that it has besides the hold-out.
    """

    name: str
    target: str
    errors: Errors
    parts: dict[Part, tuple[Pair, ...]]
    warning: str = ""
    is_baseline: bool = False


def _run(
    runs: Path, name: str, work: Path, source: Source, pairs: Sequence[Pair], measure: str
) -> _Scored:
    """One run on the hold-out."""
    weights, held = load_run(runs, name), holdout_pairs(pairs)
    target = weights.variant.target
    planes = planes_for_pairs(runs / name, weights.variant, work, source, pairs)
    found = evaluate_each(weights.generator, planes, source, held, measure)
    by_scene = dict(zip((str(pair.optical) for pair in held), found, strict=True))
    return _Scored(name, target, by_scene, {}, _warning(runs / name, pairs))


def _folds(
    runs: Path, name: str, work: Path, source: Source, pairs: Sequence[Pair], measure: str
) -> _Scored:
    """The folds of a variant on what each held out, and their mean on the hold-out."""
    found = heldout(runs, name, work)
    by_scene = {scene: _image_errors(found, scene, source, measure) for scene in found.scenes}
    trained = {run: read_training_pairs(runs / run) for run in found.runs}
    known = {run: each for run, each in trained.items() if each is not None}
    return _Scored(name, found.target, by_scene, out_of_fold_parts(train_pairs(pairs, 2), known))


def _image_errors(found: HeldOut, scene: str, source: Source, measure: str) -> dict[str, float]:
    image = found.image(scene) / np.float32(UINT16_MAX)
    own = errors(image, found.truth(scene, found.target))
    return own | official_errors(official_of(measure), source, found.pairs[scene], image)


def _table(part: Part, pairs: Sequence[Pair], scored: Sequence[_Scored], measure: str) -> list[Row]:
    """The rows of one part: the baselines, then the runs in order, with their intervals."""
    scenes = [str(pair.optical) for pair in pairs]
    places = [pair.place for pair in pairs]
    values: dict[str, NDArray[np.float64]] = {}
    rows = []
    for each in scored:
        if not all(scene in each.errors for scene in scenes):
            continue
        found = [each.errors[scene] for scene in scenes]
        row = Row(
            each.name, each.target, summarise(found), PAPER.get(each.name), each.warning, part,
            len(set(places)), is_baseline=each.is_baseline,
        )  # fmt: skip
        if MEASURES[measure].of_image or measure in found[0] or measure == "psnr":
            values[each.name] = np.array([_value(one, measure) for one in found])
            if not np.isnan(values[each.name]).any():
                row = replace(row, interval=interval(values[each.name], places))
        rows.append(row)
    baselines = [row for row in rows if row.is_baseline]
    runs = [_compared(row, baselines, measure) for row in rows if not row.is_baseline]
    best: dict[str, Row] = {}
    for row in ranked(runs, measure):
        best.setdefault(row.target, row)
    sign = -1 if MEASURES[measure].more_is_better else 1
    for number, row in enumerate(runs):
        first = best[row.target]
        if row is not first and row.variant in values:
            worse = sign * (values[row.variant] - values[first.variant])
            behind = float(worse.mean()), *interval(worse, places)
            runs[number] = replace(row, behind=behind)
    return [*baselines, *(runs if measure == "mae" else ranked(runs, measure))]


def _value(found: Mapping[str, float], measure: str) -> float:
    """One number of a scene; of an official measure the better of both ways."""
    if measure == "psnr":
        return psnr(found["mse"])
    values = [found[name] for name in (measure, anchored(measure)) if name in found]
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _compared(row: Row, baselines: Sequence[Row], measure: str) -> Row:
    """A run with the baselines that it does not beat: by a measure in the space of its target."""
    measure = measure if row.target == "reflectance" else official_of(measure)
    own = _cost(row.scores.as_dict(), measure)
    found = [each.variant for each in baselines if _cost(each.scores.as_dict(), measure) <= own]
    return replace(row, not_beaten=tuple(found))


def _cost(scores: Mapping[str, float], measure: str) -> float:
    """What to compare by, less is better: infinite where a score means nothing."""
    sign = -1 if MEASURES[measure].more_is_better else 1
    found = [sign * scores[name] for name in (measure, anchored(measure)) if name in scores]
    return min((cost for cost in found if not math.isnan(cost)), default=math.inf)


def _refuse_seen(names: Sequence[str], runs: Path, held: Sequence[Pair]) -> None:
    """Refuse runs that were trained on pairs of this hold-out, after another kit prepare, say."""
    scenes = {str(pair.optical) for pair in held}
    seen = {}
    for name in names:
        trained = read_training_pairs(runs / name)
        if trained and (both := scenes.intersection(trained.optical)):
            seen[name] = len(both)
    if seen:
        counts = ", ".join(f"{name} on {count}" for name, count in seen.items())
        others = [name for name in names if name not in seen]
        instead = f"; or score the others: kit validate {' '.join(others)}" if others else ""
        raise InputError(
            runs,
            f"runs were trained on pairs of this hold-out of {len(held)}: {counts}",
            remedy="prepare with the --seed, --holdout and --split that they were trained with, or "
            f"train them again with --overwrite{instead}",
        )


def _warning(folder: Path, pairs: Sequence[Pair]) -> str:
    """What speaks against a run whose folder does not keep which pairs it was trained on."""
    if read_training_pairs(folder) or read_pairs_sha256(folder) in (None, fingerprint(pairs)):
        return ""
    return "was trained on another table of pairs, and may have seen this hold-out"
