"""Self-evaluation: Table 1 of the paper for this data.

In: trained runs and the hold-out of the pair table. Out: MAE and PSNR of each, beside those of an
image of the mean colour and beside the paper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.errors import InputError
from kit.files import RUNS, WORK, AnyPath
from kit.inputs.dataset import mean_color
from kit.inputs.planes import InputPlanes, read_optical
from kit.metrics import Scores, scores
from kit.pairs.open_source import open_source
from kit.pairs.table import PAIRS, Pair, fingerprint, holdout_pairs, read_pairs, train_pairs
from kit.progress import Advance
from kit.runs.folder import read_pairs_sha256, trained_runs
from kit.runs.training_pairs import read_training_pairs
from kit.runs.weights import load_run
from kit.training.evaluate import evaluate
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
    advance: Advance | None = None,
) -> tuple[Row, ...]:
    """Score the named runs, or all trained ones, on the hold-out.

    The first row is the baseline: one colour, the mean of the training pairs.

    Raises:
        InputError: no run is trained, or a named one is not; the hold-out is empty; or a pack lacks
            a pair or is damaged. Or a run was trained on pairs of the hold-out, which its folder
            keeps since version 0.3.0.
    """
    work, runs = Path(work), Path(runs)
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
    truths = (read_optical(source, pair, "reflectance") for pair in held)
    baseline = scores(
        (np.broadcast_to(color[:, None, None], truth.shape), truth) for truth in truths
    )
    rows = [Row("mean colour", "reflectance", baseline, None)]
    for done, name in enumerate(names, start=1):
        weights = load_run(runs, name)
        result = evaluate(weights.generator, InputPlanes(weights.variant), source, held)
        warning = _warning(runs / name, pairs)
        rows.append(Row(name, weights.variant.target, result, PAPER.get(name), warning))
        if advance:
            advance(done, len(names))
    return tuple(rows)


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
