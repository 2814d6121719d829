"""Pairs that are not trained on, by what they show: places that training sees, or others.

In: held-out pairs, and those that are trained on. Out: the former by their kind.
"""

from collections.abc import Iterable, Mapping, Sequence

from kit.ground import sharing_ground
from kit.pairs.table import Pair

UNSEEN_PLACES, SEEN_PLACES = "unseen places", "unseen dates of seen places"
"""What a pair of the hold-out is of."""


def of_kinds(counts: Mapping[str, int]) -> str:
    """What so many held-out scenes are of, after their number; "" where it is not known.

    Such as ` of unseen places`, or ` (9 of unseen places, 3 of unseen dates of seen places)`.
    """
    if len(counts) == 1:
        return f" of {next(iter(counts))}"
    listed = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
    return f" ({listed})" if listed else ""


def kinds(held: Iterable[Pair], trained: Sequence[Pair]) -> dict[str, tuple[Pair, ...]]:
    """Held-out pairs by what they are of, `UNSEEN_PLACES` or `SEEN_PLACES`; only those there are.

    Args:
        held: pairs that are not trained on.
        trained: those that are.
    """
    every = tuple(held)
    pixels = max((pair.side for pair in every), default=0)
    places = [pair.place for pair in every]
    seen = sharing_ground(places, {pair.place for pair in trained}, pixels)
    found = {
        UNSEEN_PLACES: tuple(pair for pair in every if pair.place not in seen),
        SEEN_PLACES: tuple(pair for pair in every if pair.place in seen),
    }
    return {kind: those for kind, those in found.items() if those}
