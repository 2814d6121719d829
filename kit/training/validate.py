"""Self-evaluation: Table 1 of the paper for this data.

In: trained runs and the hold-out of the pair table. Out: MAE and PSNR of each, beside those of an
image of the mean colour and beside the paper's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import RUNS, WORK, AnyPath
from kit.inputs.dataset import mean_color
from kit.inputs.planes import InputPlanes, read_optical
from kit.metrics import MEASURES, Scores, check_measure, errors, summarise
from kit.pairs.open_source import open_source
from kit.pairs.source import Source
from kit.pairs.table import PAIRS, Pair, fingerprint, holdout_pairs, read_pairs, train_pairs
from kit.progress import Advance
from kit.runs.folder import read_pairs_sha256, trained_runs
from kit.runs.training_pairs import read_training_pairs
from kit.runs.weights import load_run
from kit.training.evaluate import anchored, evaluate, official_errors
from kit.variants import PAPER


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, in the space of its target.

    The paper's figures are None for a variant that it does not have. `warning` says what speaks
    against comparing the row with the others.
    """

    variant: str
    target: str
    scores: Scores
    paper: tuple[float, float] | None
    warning: str = ""


def validate(
    names: Sequence[str] = (),
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    measure: str = "mae",
    advance: Advance | None = None,
) -> tuple[Row, ...]:
    """Score the named runs, or all trained ones, on the hold-out.

    The first row is the baseline: one colour, the mean of the training pairs.

    Args:
        names: of runs.
        work: the folder of the table of pairs.
        runs: the folder of trained runs.
        measure: a key of `kit.metrics.MEASURES` by which the other rows are in order, best first;
            an official one is among their scores, as they are and with anchors. By name if "mae".
        advance: called with the runs scored, and their number.

    Raises:
        InputError: no run is trained, or a named one is not; the hold-out is empty; or a pack lacks
            a pair or is damaged. Or a run was trained on pairs of the hold-out, which its folder
            keeps since version 0.3.0.
    """
    work, runs = Path(work), Path(runs)
    check_validated(measure)
    pairs = read_pairs(work / PAIRS)
    held = holdout_pairs(pairs)
    if not held:
        raise InputError(
            work / PAIRS,
            "the hold-out is empty",
            remedy="prepare more data: the hold-out is at most a fifth of Dataset-2",
        )
    names = names or trained_runs(runs)
    if not names:
        raise InputError(runs, "holds no trained run", remedy="train one first: kit train spade2")
    _refuse_seen(names, runs, held)
    trained = train_pairs(pairs, 1)
    source = open_source(work, (*trained, *held))
    color = np.array(mean_color(source, trained, "reflectance"), dtype=np.float32)
    baseline = summarise([_color_errors(measure, source, pair, color) for pair in held])
    rows = [Row("mean colour", "reflectance", baseline, None)]
    for done, name in enumerate(names, start=1):
        weights = load_run(runs, name)
        result = evaluate(weights.generator, InputPlanes(weights.variant), source, held, measure)
        warning = _warning(runs / name, pairs)
        rows.append(Row(name, weights.variant.target, result, PAPER.get(name), warning))
        if advance:
            advance(done, len(names))
    return rows[0], *(rows[1:] if measure == "mae" else ranked(rows[1:], measure))


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

    def cost(row: Row) -> float:
        scores = row.scores.as_dict()
        sign = -1 if MEASURES[measure].more_is_better else 1
        return min(sign * scores[name] for name in (measure, anchored(measure)) if name in scores)

    return sorted(rows, key=cost)


def _color_errors(
    measure: str, source: Source, pair: Pair, color: NDArray[np.float32]
) -> dict[str, float]:
    truth = read_optical(source, pair, "reflectance")
    image = np.broadcast_to(color[:, None, None], truth.shape)
    return errors(image, truth) | official_errors(measure, source, pair, image)


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
