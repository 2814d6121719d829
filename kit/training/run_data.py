"""The pairs of a run: what it is trained, held out and validated on.

In: a variant and the work folder. Out: its pairs and the reader of their pixels, and the setup of
the run on them. Refused by name: no pair to train on, and groups of what has no folds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import InputPlanes
from kit.machine.distributed import ProcessGroup
from kit.pairs.folds import Fold, take_fold
from kit.pairs.groups import read_groups
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pair_reader import PairReader
from kit.pairs.summary import SUMMARY, read_units
from kit.pairs.table import PAIRS, Pair, holdout_pairs, read_pairs, train_pairs
from kit.runs.folder import Division
from kit.training.setup import RunSetup
from kit.units_record import UnitsRecord
from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class RunData:
    """The pairs of a run: all of the table, those trained on, held out and validated on."""

    pairs: tuple[Pair, ...]
    chosen: tuple[Pair, ...]
    held: tuple[Pair, ...]
    holdout: tuple[Pair, ...]
    division: Division | None
    reader: PairReader
    units: UnitsRecord = None


def read_data(variant: Variant, work: Path, groups: Path | None = None) -> RunData:
    """The pairs that a run of `variant` is trained, held out and validated on.

    Args:
        variant: its data set, and its fold if it is one of several.
        work: the folder that `prepare` wrote.
        groups: for one of several folds, a table of what is to be held out together.

    Raises:
        InputError: there is no table or no pair to train on, the pairs cannot be divided into so
            many folds, or a pack lacks one.
    """
    table = work / PAIRS
    pairs = read_pairs(table)
    fold, division = _fold(variant, pairs, groups)
    chosen = train_pairs(fold.train if fold else pairs, variant.dataset)
    if not chosen:
        problem = f"no pair of Dataset-{variant.dataset} to train on"
        remedy = f"{work / SUMMARY} lists what was left out"
        raise InputError(table, problem, remedy=remedy)
    held = fold.held if fold else ()
    # What decides which weights are best is not what is scored out of the folds, where there is
    # anything else.
    holdout = holdout_pairs(pairs) or tuple(pair for pair in held if pair.dataset2)
    reader = open_pairs(work, (*chosen, *holdout))
    return RunData(pairs, chosen, held, holdout, division, reader, read_units(work))


def make_setup(
    variant: Variant, planes: InputPlanes, data: RunData, folder: Path, group: ProcessGroup
) -> RunSetup:
    """A run of `variant` on these pairs, whose networks are given `planes`."""
    crop = _crop(variant, data.chosen)
    dataset = PairDataset(planes, data.reader, data.chosen, crop=crop)
    return RunSetup(variant, dataset, data.holdout, folder, group, data.units)


def _fold(
    variant: Variant, pairs: Sequence[Pair], groups: Path | None
) -> tuple[Fold | None, Division | None]:
    """What a run of one of several folds trains on; None for a run of one."""
    if variant.folds == 1:
        if groups is not None:
            remedy = "give the fold that is to be held out too: --fold 1/5"
            raise InputError(groups, "groups are for several folds", remedy=remedy)
        return None, None
    table = read_groups(groups) if groups is not None else None
    fold = take_fold(pairs, variant.fold, variant.folds, table)
    told = (str(table.path), table.sha256) if table else ()
    return fold, Division(fold.sha256, *told)


def _crop(variant: Variant, pairs: tuple[Pair, ...]) -> int:
    """The crop of the variant, or the smallest multiple of 32 that covers the largest pair."""
    largest = max(max(pair.height, pair.width) for pair in pairs)
    return min(variant.crop, 32 * math.ceil(largest / 32))
