"""When a run on all pairs ends: where its folds erred least.

In: a variant that nothing is held out from, and the folder of runs. Out: the epoch after which the
mean of its folds, each on the pairs that it held out, was lowest. Too long a training learns few
pairs by heart, and without a hold-out nothing else would show it.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from kit.errors import InputError
from kit.pairs.table import fingerprint
from kit.runs.differences import unlike
from kit.runs.folder import finished, read_pairs_sha256, read_variant, saved
from kit.runs.folds import complete, folds_of
from kit.runs.records import counted, read_records
from kit.training.run_data import RunData
from kit.variants.fold_names import fold_folders
from kit.variants.settings import Variant


def with_end(variant: Variant, data: RunData, folder: Path) -> Variant:
    """`variant` with the epochs after which its training ends, if its folds tell.

    Args:
        variant: what is to be trained.
        data: what it is trained on.
        folder: of its run, which this process has locked; its folds lie beside it.
    """
    if variant.ends_after or variant.is_fitted or data.held or data.holdout or saved(folder):
        return variant
    ends_after = _best_of_folds(variant, folder.parent, fingerprint(data.pairs))
    return replace(variant, ends_after=ends_after)


def _best_of_folds(variant: Variant, runs: Path, pairs_sha256: str) -> int:
    """The epoch after which the folds erred least; 0 unless their gain is beyond chance.

    It is 0 too where folds are missing or unfinished, or were trained with other settings, for
    other epochs or on other pairs.
    """
    try:
        found = {path.name: read_variant(path) for path in fold_folders(runs, variant.name)}
        folds = folds_of(variant.name, found)
        names = complete(variant.name, folds, runs, lambda _: "") if folds else ()
        alike = names and all(
            _of_one_kind(folds[name], variant)
            and finished(runs / name, folds[name])
            and read_pairs_sha256(runs / name) == pairs_sha256
            for name in names
        )
    except InputError:
        return 0
    if not alike:
        return 0
    curves = [_curve(runs / name, variant) for name in names]
    epochs = sorted(set.intersection(*map(set, curves)))
    if not epochs or epochs[-1] != variant.total_epochs:
        return 0
    errors = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
    best = int(errors.mean(axis=0).argmin())
    gains = errors[:, -1] - errors[:, best]
    standard_error = gains.std(ddof=1) / math.sqrt(len(gains))
    return epochs[best] if gains.mean() > standard_error else 0


def _of_one_kind(fold: Variant, variant: Variant) -> bool:
    schedule = (fold.epochs, fold.decay_epochs) == (variant.epochs, variant.decay_epochs)
    return schedule and not unlike(fold, variant)


def _curve(folder: Path, variant: Variant) -> dict[int, float]:
    """The error on what was held out after each epoch that was validated.

    It is that of the averaged weights, where there are any: without a hold-out these are exported.
    """
    own = f"average_{variant.counts}"
    rows = [row for row in read_records(folder) if "holdout_mae" in row]
    return {row["epoch"]: row.get(own, counted(row)) for row in rows}
