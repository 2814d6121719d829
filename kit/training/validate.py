"""Self-evaluation: Table 1 of the paper for this data.

In: trained runs, and the pairs that they have not seen: the hold-out of the pair table, and what
folds have held out. Out: MAE and PSNR of each, beside those of baselines that were made of the
training pairs, and beside the paper's, for unseen places and for unseen dates of seen places apart;
and whether the pairs are enough to tell a run from the best.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from kit.doubt import Units
from kit.errors import InputError, OutputError
from kit.metrics import check_validated, errors, official_of
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
from kit.progress import Advance, Report, each_once
from kit.runs.ensemble import named_or_trained, scored_runs
from kit.runs.folder import read_pairs_sha256
from kit.runs.planes import planes_for_pairs, planes_for_training
from kit.runs.training_pairs import read_training_pairs
from kit.runs.units import check_units
from kit.runs.weights import Weights, read_run
from kit.scaling import UINT16_MAX
from kit.storage.files import RUNS, WORK, AnyPath
from kit.training.baselines import boosted_trees, constants, place_priors
from kit.training.evaluate import evaluate_each, official_errors
from kit.training.heldout import HeldOut, heldout, report_other_pixels
from kit.training.table1 import Errors, Parts, Row, Scored, scenes_of, tabulate
from kit.training.unseen import holdout_parts, out_of_fold_parts
from kit.training.validation import VALIDATION, Validation, read_validation, write_validation
from kit.variants.registry import VARIANTS
from kit.variants.settings import Model


def validate(
    names: Sequence[str] = (),
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    measure: str = "mae",
    units: Units = "check",
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
        units: "any" admits pairs of other units than those that a run was trained on.
        advance: called with the runs scored, and their number.
        report: takes a line about predictions that are made again, about which runs are meant,
            about runs that were trained on other pixels, and about a baseline that cannot be made.

    Raises:
        InputError: no run is trained, or a named one is not, or is named twice; nothing is held
            out; or a pack lacks a pair or is damaged. Or a run was trained on pairs of the
            hold-out, which its folder keeps since version 0.3.0, or on pairs of other units.
    """
    work, runs, report = Path(work), Path(runs), each_once(report)
    check_validated(measure)
    pairs = read_pairs(work / PAIRS)
    held = holdout_pairs(pairs)
    names = named_or_trained(runs, names)
    meant = {name: scored_runs(runs, name, holdout=bool(held), report=report) for name in names}
    alone = [name for name in names if meant[name] == (name,)]
    if not held and alone:
        problem = f"the hold-out is empty, and {alone[0]} was not trained in folds"
        remedy = "prepare more data: the hold-out is at most a fifth of Dataset-2"
        raise InputError(work / PAIRS, problem, remedy=remedy)
    _refuse_seen(alone, runs, held)
    used = {name: {run: read_run(runs, run) for run in each} for name, each in meant.items()}
    every_run = [weights for each in used.values() for weights in each.values()]
    check_units(every_run, read_units(work), work / PAIRS, units, report)
    sha256 = {n: {run: each.sha256 for run, each in found.items()} for n, found in used.items()}
    models = {weights.variant.model for weights in every_run}
    # A network that is scored stays in memory as long as a name here holds its weights.
    every_run.clear()
    report_other_pixels(runs, [run for each in meant.values() for run in each], pairs, report)
    reader = open_pairs(work, [pair for pair in pairs if pair.split != "buffer"])
    scored: list[Scored] = []
    of_folds: list[Parts] = []
    for number, name in enumerate(names):

        def after(done: int, total: int, words: str = "", /, number: int = number) -> None:
            if advance:
                advance(number, len(names), f"{names[number]}: {done:,} of {total:,} scenes")

        if name in alone:
            scored.append(_run(runs, used.pop(name)[name], work, reader, pairs, measure, after))
        else:
            each, own = _folds(
                runs, name, used.pop(name), work, reader, pairs, measure, after, report
            )
            scored.append(each)
            of_folds.append(own)
    if advance:
        advance(len(names), len(names), "baselines")
    trained = train_pairs(pairs, 1)
    parts = scenes_of(holdout_parts(held, trained))
    for own in of_folds:
        parts |= {part: those for part, those in own.items() if part not in parts}
    wanted = {scene for those in parts.values() for scene in those}
    every = [pair for pair in pairs if str(pair.optical) in wanted]
    made = _baselines(work, models, reader, trained, held, every, measure, report)
    baselines = [Scored(name, "reflectance", found, is_baseline=True) for name, found in made]
    whole = (*baselines, *scored)
    pixels = pixels_fingerprint(pairs)
    _keep(runs, Validation(measure, fingerprint(pairs), parts, whole, sha256, pixels), report)
    return tabulate(parts, whole, measure)


def _keep(runs: Path, found: Validation, report: Report) -> None:
    """Write what was found, and what is known already of runs that were not asked for."""
    try:
        if (runs / VALIDATION).exists():
            found = found.with_others(read_validation(runs), runs)
    except InputError as error:
        report(f"{error.where}: {error.problem}; it is written again")
    try:
        write_validation(runs, found)
    except OutputError as error:
        report(f"not saved for kit report: {error}")


def _baselines(
    work: Path,
    models: Set[Model],
    reader: PairReader,
    trained: Sequence[Pair],
    held: Sequence[Pair],
    every: Sequence[Pair],
    measure: str,
    report: Report,
) -> Iterator[tuple[str, Errors]]:
    official = official_of(measure)
    yield from constants(reader, trained, every, official).items()
    if held and "trees" not in models:
        yield from boosted_trees(reader, trained, held, official, report).items()
    if held and "prior" not in models:
        chosen = VARIANTS["prior1"]
        planes = planes_for_training(chosen, work, reader, trained, held)
        yield from place_priors(planes, reader, trained, held, official).items()


def _run(
    runs: Path,
    weights: Weights,
    work: Path,
    reader: PairReader,
    pairs: Sequence[Pair],
    measure: str,
    advance: Advance,
) -> Scored:
    """One run on the hold-out."""
    name, held = weights.variant.name, holdout_pairs(pairs)
    planes = planes_for_pairs(runs / name, weights.variant, work, reader, pairs)
    found = evaluate_each(weights.placed, planes, reader, held, measure, advance)
    by_scene = dict(zip((str(pair.optical) for pair in held), found, strict=True))
    return Scored(name, weights.variant.target, by_scene, _warning(runs / name, pairs))


def _folds(
    runs: Path,
    name: str,
    weights: Mapping[str, Weights],
    work: Path,
    reader: PairReader,
    pairs: Sequence[Pair],
    measure: str,
    advance: Advance,
    report: Report,
) -> tuple[Scored, Parts]:
    """The folds of a variant on what each held out, and their mean on the hold-out.

    With the parts that they have besides the hold-out.
    """
    # Units were compared before.
    found = heldout(runs, name, work, units="any", known=weights, advance=advance, report=report)
    by_scene = {scene: _image_errors(found, scene, reader, measure) for scene in found.scenes}
    trained = {run: read_training_pairs(runs / run) for run in found.runs}
    known = {run: each for run, each in trained.items() if each is not None}
    predicted = [pair for pair in train_pairs(pairs, 2) if str(pair.optical) in found.pairs]
    parts = scenes_of(out_of_fold_parts(predicted, known))
    return Scored(name, found.target, by_scene), parts


def _image_errors(found: HeldOut, scene: str, reader: PairReader, measure: str) -> dict[str, float]:
    image = found.image(scene) / np.float32(UINT16_MAX)
    own = errors(image, found.truth(scene, found.target))
    return own | official_errors(measure, reader, found.pairs[scene], image)


def _refuse_seen(names: Sequence[str], runs: Path, held: Sequence[Pair]) -> None:
    """Refuse runs that were trained on pairs of this hold-out, after another kit prepare, say."""
    scenes = {str(pair.optical) for pair in held}
    seen = {}
    for name in names:
        trained = read_training_pairs(runs / name)
        if trained and (both := scenes & trained.seen):
            seen[name] = len(both)
    if seen:
        counts = ", ".join(f"{name} on {count}" for name, count in seen.items())
        others = [name for name in names if name not in seen]
        instead = f"; or score the others: kit validate {' '.join(others)}" if others else ""
        raise InputError(
            runs,
            f"runs were trained on pairs of this hold-out of {len(held)}: {counts}",
            remedy="prepare with the --seed, --holdout and --split that they were trained with; or "
            "the images have changed since: restore them, or train them again with --overwrite"
            f"{instead}",
        )


def _warning(folder: Path, pairs: Sequence[Pair]) -> str:
    """What speaks against a run whose folder does not keep which pairs it was trained on."""
    if read_training_pairs(folder) or read_pairs_sha256(folder) in (None, fingerprint(pairs)):
        return ""
    return "was trained on another table of pairs, and may have seen this hold-out"
