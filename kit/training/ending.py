"""When a run on all pairs ends: where its folds erred least.

In: a variant that nothing is held out from, and the folder of its run, beside which its folds may
lie. Out: the epoch after which the mean error of the folds, each on the pairs that it held out, was
lowest; or why they do not tell. Too long a training learns few pairs by heart, and without a
hold-out nothing else shows it.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from kit.errors import InputError
from kit.pairs.table import fingerprint, pixels_fingerprint
from kit.runs.differences import unlike
from kit.runs.folder import (
    finished,
    has_other_pixels,
    read_initial,
    read_pairs_sha256,
    read_variant,
    saved,
)
from kit.runs.folds import complete, folds_of
from kit.runs.records import read_records
from kit.training.initial import Start
from kit.training.run_data import RunData
from kit.variants.fold_names import fold_folders
from kit.variants.settings import Variant


def with_end(
    variant: Variant, data: RunData, start: Start | None, folder: Path
) -> tuple[Variant, str]:
    """`variant` with the epochs after which its training ends, and a line on what its folds tell.

    The line is empty where there are no folds to ask, or something else says when it ends.

    Args:
        variant: what is to be trained.
        data: what it is trained on.
        start: the weights that it starts from, if it does.
        folder: of its run, which this process has locked; its folds lie beside it.
    """
    if variant.ends_after or variant.is_fitted or data.held or data.holdout or saved(folder):
        return variant, ""
    if not fold_folders(folder.parent, variant.name):
        return variant, ""
    try:
        names = _folds(variant, data, start, folder.parent)
        best = _best([_curve(folder.parent / name, variant) for name in names], variant)
    except InputError as error:
        return variant, f"{folder}: ends with its schedule; {error.where}: {error.problem}"
    line = f"ends after {best} of {variant.total_epochs} epochs, where its folds erred least"
    return replace(variant, ends_after=best), f"{folder}: {line}"


def _folds(variant: Variant, data: RunData, start: Start | None, runs: Path) -> tuple[str, ...]:
    """The folds of `variant`, all trained as it is to be.

    Raises:
        InputError: one is missing or unfinished, or was trained otherwise.
    """
    found = {path.name: read_variant(path) for path in fold_folders(runs, variant.name)}
    folds = folds_of(variant.name, found)
    if not folds:
        problem = f"what is called a fold of {variant.name} is none"
        raise InputError(runs, problem)
    names = complete(variant.name, folds, runs, lambda _: "")
    pairs, pixels = fingerprint(data.pairs), pixels_fingerprint(data.pairs)
    started = start.weights.sha256 if start else None
    for name in names:
        if problem := _unlike(found[name], variant, runs / name, pairs, pixels, started):
            raise InputError(runs / name, problem)
    return names


def _unlike(
    fold: Variant,
    variant: Variant,
    folder: Path,
    pairs: str,
    pixels: str | None,
    started: str | None,
) -> str:
    """What keeps a fold from telling when a run of `variant` ends; "" if nothing does.

    Args:
        fold: as it was trained.
        variant: what is to be trained.
        folder: of the fold's run.
        pairs: the fingerprint of the table of pairs.
        pixels: that of the pairs' pixels, if it is known.
        started: the SHA-256 of the weights that the run starts from, if it does.
    """
    if problem := unlike(fold, variant):
        return problem
    if (fold.epochs, fold.decay_epochs) != (variant.epochs, variant.decay_epochs):
        return f"was trained for {fold.epochs} + {fold.decay_epochs} epochs"
    if read_pairs_sha256(folder) != pairs:
        return "was trained on other pairs"
    if has_other_pixels(folder, pixels):
        return "was trained on other pixels"
    initial = read_initial(folder)
    if (initial.sha256 if initial else None) != started:
        return "was started from other weights"
    return "" if finished(folder, fold) else "is not finished"


def _best(curves: list[dict[int, float]], variant: Variant) -> int:
    """The epoch after which the mean of the curves is lowest.

    Raises:
        InputError: they do not reach the end, or are no lower before it by their standard error.
    """
    epochs = sorted(set.intersection(*map(set, curves)))
    if not epochs or epochs[-1] != variant.total_epochs:
        problem = "not all of its folds were validated at the end of their schedule"
        raise InputError(variant.name, problem)
    errors = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
    best = int(errors.mean(axis=0).argmin())
    gains = errors[:, -1] - errors[:, best]
    if gains.mean() <= gains.std(ddof=1) / math.sqrt(len(gains)):
        problem = "its folds erred no less before, by more than their standard error"
        raise InputError(variant.name, problem)
    return epochs[best]


def _curve(folder: Path, variant: Variant) -> dict[int, float]:
    """The error on what was held out after each epoch that was validated.

    It is that of the weights which are exported without a hold-out: averaged, where they are.
    """
    key = f"{'average' if variant.ema else 'latest'}_{variant.counts}"
    return {row["epoch"]: row[key] for row in read_records(folder) if key in row}
