"""The training pairs in folds: parts of which each is held out by one run.

In: the table of pairs, how many folds, and perhaps a table of groups. Out: the fold of each pair of
Dataset-1 that may be trained on, which depends on these alone; and for one fold the pairs that it
holds out and those that it trains on. Places stay whole, and so do groups; without groups, tiles
that overlap a place that is held out are not trained on. The folds are alike in number and in what
their pictures show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.errors import InputError
from kit.ground import Place, sharing_ground
from kit.pairs.blocks import BLOCK_DEGREES, Unit, by_place, units
from kit.pairs.colors import colors_of
from kit.pairs.groups import Groups
from kit.pairs.strata import STRATA, deal, strata
from kit.pairs.table import Pair, train_pairs
from kit.storage.files import json_sha256

# Pieces for each fold, and the degrees along a side of the blocks that they are made of.
_PIECES = ((2, BLOCK_DEGREES), (1, BLOCK_DEGREES), (1, 360))
_ENOUGH = 0.5  # of what a fold does not hold out is trained on


@dataclass(frozen=True, slots=True)
class Fold:
    """What one run trains on and what it holds out, both of Dataset-1.

    `sha256` is that of the whole assignment of pairs to folds: the same for all runs of a division.
    """

    train: tuple[Pair, ...]
    held: tuple[Pair, ...]
    sha256: str


def assign(pairs: Sequence[Pair], folds: int, groups: Groups | None = None) -> tuple[int, ...]:
    """The fold, from 1, of each of `pairs`, which are all to be trained on.

    Raises:
        InputError: there are fewer places or groups than folds, or a pair has no group.
    """
    if groups is not None:
        return _dealt(pairs, _grouped(pairs, folds, groups), folds)
    # Small pieces make folds that are alike, and large ones keep more to train on.
    found = []
    for pieces, degrees in _PIECES:
        numbers = _dealt(pairs, _pieces(pairs, folds, pieces, degrees), folds)
        kept = min(_kept(pairs, numbers, fold) for fold in range(1, folds + 1))
        if kept >= _ENOUGH:
            return numbers
        found.append((kept, numbers))
    return max(found, key=lambda each: each[0])[1]


def take_fold(pairs: Sequence[Pair], fold: int, folds: int, groups: Groups | None = None) -> Fold:
    """What the run of one fold trains on and holds out.

    Args:
        pairs: the whole table.
        fold: which, from 1.
        folds: how many there are.
        groups: what must not be divided; blocks of places if None.

    Raises:
        InputError: as `assign`, or nothing would be left to train on.
    """
    every = train_pairs(pairs, 1)
    numbers = assign(every, folds, groups)
    held = tuple(pair for pair, number in zip(every, numbers, strict=True) if number == fold)
    near = {pair.place for pair in held} if groups else _near(every, held)
    rest = tuple(pair for pair in every if pair.place not in near)
    if not rest:
        problem = f"fold {fold} of {folds} leaves none to train on: all others overlap its places"
        remedy = "give other --folds, or say with --groups what belongs together"
        raise InputError("--folds", problem, remedy=remedy)
    lines = [[str(pair.optical), number] for pair, number in zip(every, numbers, strict=True)]
    return Fold(rest, held, json_sha256(lines))


def _dealt(pairs: Sequence[Pair], found: Sequence[Unit], folds: int) -> tuple[int, ...]:
    """The fold of each pair, where units are dealt to folds that are to be alike."""
    kinds = strata(colors_of(pairs))
    holds = np.zeros((len(found), 2 + STRATA))
    for row, unit in zip(holds, found, strict=True):
        row[0], row[1] = len(unit), sum(pairs[index].dataset2 for index in unit)
        np.add.at(row[2:], kinds[[*unit]], 1)
    result = [0] * len(pairs)
    for unit, part in zip(found, deal(holds, folds), strict=True):
        for index in unit:
            result[index] = part + 1
    return tuple(result)


def _pieces(pairs: Sequence[Pair], folds: int, pieces: int, degrees: float) -> Sequence[Unit]:
    """Blocks, divided where one is more than a fold has in each of its pieces.

    Places, where these are fewer than folds.
    """
    places = [pair.place for pair in pairs]
    found = units(places, range(len(pairs)), len(pairs) / folds / pieces, degrees)
    if len(found) < folds:
        found = [tuple(each) for each in by_place(places, range(len(pairs))).values()]
    if len(found) < folds:
        problem = f"{folds} folds of pairs of {len(found)} places"
        remedy = f"give --folds {len(found)} or fewer" if len(found) > 1 else "add places"
        raise InputError("--folds", problem, remedy=remedy)
    return found


def _grouped(pairs: Sequence[Pair], folds: int, groups: Groups) -> Sequence[Unit]:
    """The pairs of each group."""
    named = groups.of({pair.place for pair in pairs})
    members: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        members.setdefault(named[pair.place], []).append(index)
    if len(members) < folds:
        problem = f"has {len(members)} groups of pairs, for {folds} folds"
        remedy = f"give --folds {len(members)} or fewer" if len(members) > 1 else "divide it more"
        raise InputError(groups.path, problem, remedy=remedy)
    return [tuple(members[name]) for name in sorted(members)]


def _near(pairs: Sequence[Pair], held: Sequence[Pair]) -> set[Place]:
    """The places of `pairs` whose tiles overlap one that is held out."""
    pixels = max(pair.side for pair in pairs)
    return sharing_ground([pair.place for pair in pairs], [pair.place for pair in held], pixels)


def _kept(pairs: Sequence[Pair], numbers: Sequence[int], fold: int) -> float:
    """The share of the pairs of other folds that a fold trains on."""
    held = [pair for pair, number in zip(pairs, numbers, strict=True) if number == fold]
    near = _near(pairs, held)
    return sum(pair.place not in near for pair in pairs) / max(1, len(pairs) - len(held))
