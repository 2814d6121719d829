"""The hold-out: pairs of Dataset-2 that are set aside for self-evaluation.

In: pairs, and what the hold-out is to be of: places that training does not see, or dates that it
does not see of places that it does. Out: the pairs with their split. What is held out lies in
several blocks and shows what all pairs show, in the same shares as far as they allow it.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from kit.errors import InputError
from kit.ground import Place, Places, sharing_ground
from kit.pairs.blocks import Unit, block_of, by_place, units
from kit.pairs.colors import colors_of
from kit.pairs.strata import STRATA, strata
from kit.pairs.table import Pair
from kit.tiles.names import SceneKey

By = Literal["blocks", "random", "dates", "both"]

_SPREADS = (8, 4, 2, 1)
_MOST_LOST = 0.2  # of all pairs, to the buffer around a hold-out that is spread over more blocks
_DRAWN = 8

Item = TypeVar("Item")


def split(pairs: Sequence[Pair], *, holdout: int, by: By, seed: int) -> tuple[Pair, ...]:
    """Set a hold-out aside from Dataset-2: at most `holdout` pairs and at most a fifth of it.

    "blocks" holds out places of several blocks, and keeps every other pair whose tile overlaps a
    held-out place out of training. "dates" holds out dates of places of which training sees others,
    and keeps what shows the same ground on the same day out of training. "both" is half of each.
    "random" chooses single pairs, as the paper did; training then sees the same places at other
    dates, and neighbours at the same dates.

    Raises:
        InputError: nothing would be left to train on, or no place has enough dates.
    """
    candidates = [index for index, pair in enumerate(pairs) if pair.dataset2]
    size = min(holdout, len(candidates) // 5)
    if size == 0:
        return tuple(pairs)
    random = np.random.default_rng(seed)
    if by == "random":
        held = set(random.choice(candidates, size, replace=False).tolist())
        return _marked(pairs, held, set())
    places = size if by == "blocks" else size - size // 2 if by == "both" else 0
    result = tuple(pairs)
    if places:
        result = _hold_places(result, candidates, places, random)
    if size > places:
        result = _hold_dates(result, size - places, random)
    if not any(pair.dataset1 and pair.split == "train" for pair in result):
        problem = f"holding out {size} pairs leaves none to train on"
        remedy = "give --split random, or --holdout 0, or more places"
        raise InputError("--holdout", problem, remedy=remedy)
    return result


def hold_out(pairs: Sequence[Pair], scenes: Collection[SceneKey]) -> tuple[Pair, ...]:
    """Hold out the pairs of Dataset-2 with these optical scenes, as an official split says.

    Every other pair whose tile overlaps one of theirs is kept out of training.

    Raises:
        InputError: nothing would be left to train on.
    """
    named = {index for index, pair in enumerate(pairs) if pair.optical in scenes}
    near = _overlapping(pairs, named) if named else set()
    buffer = {index for index, pair in enumerate(pairs) if pair.place in near}
    held = {index for index in named if pairs[index].dataset2}
    result = _marked(pairs, held, buffer - held)
    if not any(pair.dataset1 and pair.split == "train" for pair in result):
        problem = "all pairs overlap those of the validation part"
        raise InputError("--split", problem, remedy="give --split blocks, which sets others aside")
    return result


def _marked(pairs: Sequence[Pair], held: set[int], buffer: set[int]) -> tuple[Pair, ...]:
    def mark(index: int, pair: Pair) -> Pair:
        if index in held:
            return replace(pair, split="holdout")
        return replace(pair, split="buffer") if index in buffer else pair

    return tuple(mark(index, pair) for index, pair in enumerate(pairs))


def _hold_places(
    pairs: Sequence[Pair], candidates: Sequence[int], size: int, random: np.random.Generator
) -> tuple[Pair, ...]:
    """Hold out all pairs of some places, in as many blocks as leaves enough to train on."""
    places = [pair.place for pair in pairs]
    clear = sum(pair.dataset1 for pair in pairs)
    found: list[tuple[int, set[int], set[int]]] = []
    for spread in _SPREADS:
        held = _choose_units(pairs, candidates, size, math.ceil(size / spread), random)
        near = _overlapping(pairs, held)
        buffer = {index for index, place in enumerate(places) if place in near} - held
        lost = sum(pairs[index].dataset1 for index in buffer)
        found.append((lost, held, buffer))
        if lost <= _MOST_LOST * clear:
            break
    _, held, buffer = min(found, key=lambda each: each[0])
    return _marked(pairs, held, buffer)


def _choose_units(
    pairs: Sequence[Pair],
    candidates: Sequence[int],
    size: int,
    most: int,
    random: np.random.Generator,
) -> set[int]:
    """`size` of the candidates, at most about `most` of a block before every block has some."""
    places = [pair.place for pair in pairs]
    waiting = units(places, candidates, most)
    taken: Counter[tuple[int, int]] = Counter()
    shares = _Shares(pairs, candidates)
    held: list[int] = []

    def cost(unit: Unit) -> float:
        return shares.cost([*held, *unit[: size - len(held)]])

    while len(held) < size:
        turns = [taken[block_of(places[unit[0]])] for unit in waiting]
        fewest = min(turns)
        next_blocks = [u for u, turn in zip(waiting, turns, strict=True) if turn == fewest]
        unit = _best_drawn(next_blocks, cost, random)
        waiting.remove(unit)
        taken[block_of(places[unit[0]])] += 1
        held += unit[: size - len(held)]
    return set(held)


def _hold_dates(pairs: Sequence[Pair], size: int, random: np.random.Generator) -> tuple[Pair, ...]:
    """Hold out single pairs of places of which training keeps half of the dates or more."""
    clear = [index for index, pair in enumerate(pairs) if pair.dataset1 and pair.split == "train"]
    ground = _Ground(pairs, clear)
    left = Counter(pairs[index].place for index in clear)
    keep = {place: math.ceil(count / 2) for place, count in left.items()}
    waiting = [index for index in clear if pairs[index].dataset2]
    shares = _Shares(pairs, waiting)
    held: list[int] = []
    buffer: set[int] = set()

    def cost(index: int) -> float:
        return shares.cost([*held, index])

    def is_spare(index: int) -> bool:
        return left[pairs[index].place] > keep[pairs[index].place]

    if not any(map(is_spare, waiting)):
        waiting = []
    while waiting and len(held) < size:
        index = _best_drawn(waiting, cost, random)
        waiting.remove(index)
        if not is_spare(index):
            continue
        same = ground.on_the_day(index).difference(held, buffer)
        lost = Counter(pairs[other].place for other in same | {index})
        if any(left[place] - count < keep[place] for place, count in lost.items()):
            continue
        left.subtract(lost)
        held.append(index)
        buffer |= same
        waiting = [other for other in waiting if other not in same]
    if not held:
        problem = "no place has two dates or more, of which one could be held out"
        raise InputError("--split dates", problem, remedy="give --split blocks, or add dates")
    return _marked(pairs, set(held), buffer)


class _Ground:
    """What else shows the ground of a pair on its day: by the same radar or optical overpass."""

    def __init__(self, pairs: Sequence[Pair], indices: Sequence[int]) -> None:
        self._pairs = pairs
        self._at = by_place([pair.place for pair in pairs], indices)
        self._places = Places(self._at, max(pair.side for pair in pairs))
        self._near: dict[Place, list[int]] = {}

    def on_the_day(self, index: int) -> set[int]:
        """The other pairs whose tiles overlap that of a pair and that share a day with it."""
        pair = self._pairs[index]
        if pair.place not in self._near:
            near = self._places.sharing_ground([pair.place])
            self._near[pair.place] = [other for place in sorted(near) for other in self._at[place]]
        found = {other for other in self._near[pair.place] if _same_day(self._pairs[other], pair)}
        return found - {index}


class _Shares:
    """How well some pairs show what all candidates show."""

    def __init__(self, pairs: Sequence[Pair], candidates: Sequence[int]) -> None:
        # The strata are of the candidates: what is never held out need not be shown.
        colors = colors_of([pairs[index] for index in candidates])
        kinds = strata(colors)
        self._kinds = dict(zip(candidates, kinds.tolist(), strict=True))
        self._shares = np.bincount(kinds, minlength=STRATA) / max(1, len(candidates))

    def cost(self, indices: Sequence[int]) -> float:
        """The squared distance between the shares of strata here and among all candidates."""
        counts = np.bincount([self._kinds[index] for index in indices], minlength=STRATA)
        return float(np.square(counts / max(1, len(indices)) - self._shares).sum())


def _best_drawn(
    items: Sequence[Item], cost: Callable[[Item], float], random: np.random.Generator
) -> Item:
    """The best of a few items that are drawn at random: so the seed has a say."""
    drawn = random.permutation(len(items))[:_DRAWN].tolist()
    best: Item = min((items[index] for index in drawn), key=cost)
    return best


def _same_day(one: Pair, other: Pair) -> bool:
    """Whether two pairs of the same ground share their radar or their optical overpass."""
    return one.radar.date == other.radar.date or one.optical.date == other.optical.date


def _overlapping(pairs: Sequence[Pair], held: set[int]) -> set[Place]:
    """The places whose tiles share ground with a held-out place, that place included."""
    pixels = max(pair.side for pair in pairs)
    return sharing_ground([pair.place for pair in pairs], [pairs[i].place for i in held], pixels)
