"""What is worth training, by how many pairs there are: the rules of a plan that are data.

In: the number of pairs and the measure that counts. Out: a recipe: variants in the order of what
they add to an ensemble, the sizes that each may have, and how many steps make a run worth its time.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kit.metrics import is_official_measure
from kit.variants.registry import VARIANTS
from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a network and of what it is trained on: channels, pixels, pairs in a step.

    It is tried from `pairs` pairs on.
    """

    width: int
    crop: int
    batch: int
    pairs: int = 0

    def __str__(self) -> str:
        return f"width {self.width}, crop {self.crop}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained on so many pairs.

    `members` are names of variants, the first worth most; `sizes` go from the least to the most. A
    network alone needs `least_steps`; several need `enough_steps` each; the largest size that gets
    `grow_steps` is taken; none trains for more than `most_steps`.
    """

    members: tuple[str, ...]
    sizes: tuple[Size, ...]
    least_steps: int
    enough_steps: int
    grow_steps: int
    most_steps: int

    def sizes_of(self, variant: Variant) -> tuple[Size, ...]:
        """Those that a variant may have."""
        crop, batch = _LEAST_CROP.get(variant.model, 0), _LEAST_BATCH.get(variant.norm, 0)
        return tuple(
            replace(size, batch=max(size.batch, batch)) for size in self.sizes if size.crop >= crop
        )

    def in_smallest_sizes(self, every: Iterable[Variant]) -> "Recipe":
        """This recipe with no other sizes than the smallest of each variant."""
        first = [self.sizes_of(variant)[0] for variant in every]
        smallest = {(size.width, size.crop) for size in first}
        sizes = tuple(size for size in self.sizes if (size.width, size.crop) in smallest)
        return replace(self, sizes=sizes)

    def needed(self, count: int, folds: int) -> int:
        """The steps that each run of so many networks needs."""
        return self.least_steps if count == 1 and folds == 1 else self.enough_steps


_SIZES = (
    Size(8, 96, 4),
    Size(16, 128, 4),
    Size(32, 128, 4),
    Size(32, 256, 8, pairs=200),
    Size(64, 256, 8, pairs=1_000),
)
_FEW = ("trees1", "unet2", "nafnet2")
_MANY = ("trees1", "unet1", "nafnet1", "p2phd2", "spade5", "spade2")
_MANY_FROM = 2_000  # pairs
PRIOR = "prior1"  # where what is to be predicted shows places of the pairs at other dates

_MEASURED = 100
"""The pairs up to which steps are as they were measured; from there on they grow with the pairs."""

FOLDS = 5
FEWER_FOLDS = 3
"""Where nothing is held out, and five leave too little time for networks."""

ENOUGH_HELD = 50
"""Held-out pairs that score without folds, which take five times as long."""

ALL_PAIRS = 500
"""The most pairs that are all trained on, while folds score what is trained on them.

With a few dozen pairs a member of all of them beats the mean of its folds by 3 to 6 %. Of more
pairs those that score are less than the fifth that each fold lacks.
"""
# Of more pairs a twentieth is held out, but no fewer than these, and no more than the paper did.
HELD_SHARE, LEAST_HELD, MOST_HELD = 20, 100, 1_000

# SPADE begins with one cell for 32 x 32 pixels: of smaller crops it leaves lines in its images.
_LEAST_CROP = {"spade": 128}
# The statistics of four crops are far from those of all pairs, which batch norm predicts with.
_LEAST_BATCH = {"batch": 8, "sync_batch": 8}


def recipe_for(pairs: int) -> Recipe:
    """The recipe for so many pairs.

    Of a few dozen pairs 300 steps of a narrow network were enough, and twice as many gained little;
    a second seed of the same network gained little, since both err alike, and another model did. In
    equal time a width of 8 was as good as one of 16. Of more pairs a network needs more steps, but
    fewer epochs; how many epochs are too many stays the same.
    """
    times = max(1.0, pairs / _MEASURED)
    root = math.sqrt(times)
    return Recipe(
        members=_FEW if pairs < _MANY_FROM else _MANY,
        sizes=tuple(size for size in _SIZES if size.pairs <= pairs),
        least_steps=round(150 * root),
        enough_steps=round(300 * root),
        grow_steps=round(1_200 * root),
        most_steps=round(8_000 * times),
    )


def all_pairs_hours(pairs: int) -> float:
    """From how many hours on all of so few pairs are trained on.

    In less time the folds take more than they give, and a hold-out scores.
    """
    return max(1.0, pairs / _MEASURED) / 12


def variants(
    recipe: Recipe, measure: str, *, prior: bool, left_out: dict[str, str] | None = None
) -> Iterator[Variant]:
    """Those of a recipe that are trained for a measure.

    Args:
        recipe: for the pairs that there are.
        measure: what counts. For the server's each is the twin that learns its space, and those
            without a twin are left out, since members of two spaces cannot be averaged.
        prior: whether each is given the prior of its place.
        left_out: takes why others are not trained.
    """
    for name in recipe.members:
        twin = f"{name}m" if is_official_measure(measure) else name
        if twin in VARIANTS:
            yield replace(VARIANTS[twin], prior=prior)
        elif left_out is not None:
            left_out[name] = f"no variant of it is trained for {measure}"
