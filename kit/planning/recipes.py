"""What is worth training, by how many pairs there are: the rules of a plan that are data.

In: the number of pairs and the measure that counts. Out: a recipe: variants in the order of what
they add to an ensemble, the sizes that each may have, and how many steps make a run worth its time.
"""

from dataclasses import dataclass

from kit.variants import VARIANTS

OFFICIAL = "official"  # how the names of the server's measures begin


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a network and of what it is trained on: channels, pixels, pairs in a step."""

    width: int
    crop: int
    batch: int

    def __str__(self) -> str:
        return f"width {self.width}, crop {self.crop}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained on at most `most_pairs` pairs.

    `members` are names of variants, each with a number that is its seed; the first is worth most.
    `folds` are trained of each where every run gets `fold_steps`; `sizes` go from the least to the
    most. A network alone needs `least_steps`; several need `enough_steps` each, and of the sizes
    that get as many the largest is taken; none trains for more than `most_steps`.
    """

    most_pairs: float
    members: tuple[tuple[str, int], ...]
    folds: int
    sizes: tuple[Size, ...]
    least_steps: int
    enough_steps: int
    fold_steps: int
    most_steps: int


# Of a few dozen pairs, five short U-Nets that each held out another fifth were averaged to 0.0483
# where one was at 0.0586; more steps of one network add less than another network.
FEW = Recipe(
    most_pairs=500,
    members=(
        ("trees1", 0), ("unet2", 0), ("nafnet2", 0), ("unet2", 1), ("nafnet2", 1), ("unet2", 2),
    ),
    folds=5,
    sizes=(Size(8, 128, 4), Size(16, 128, 4), Size(32, 128, 4)),
    least_steps=150,
    enough_steps=600,
    fold_steps=600,
    most_steps=8_000,
)  # fmt: skip
MANY = Recipe(
    most_pairs=float("inf"),
    members=(
        ("trees1", 0), ("unet1", 0), ("nafnet1", 0), ("p2phd2", 0), ("spade5", 0), ("spade2", 0),
        ("unet1", 1), ("nafnet1", 1),
    ),
    folds=5,
    sizes=(Size(8, 64, 8), Size(16, 128, 8), Size(32, 256, 8), Size(64, 256, 8)),
    least_steps=1_000,
    enough_steps=20_000,
    fold_steps=400_000,
    most_steps=1_000_000,
)  # fmt: skip
RECIPES = (FEW, MANY)

# SPADE begins with one cell for 32 x 32 pixels: of smaller crops it leaves lines in its images.
LEAST_CROP = {"spade": 128}


def recipe_for(pairs: int) -> Recipe:
    """The recipe for so many pairs."""
    return next(each for each in RECIPES if pairs <= each.most_pairs)


def of_measure(name: str, measure: str) -> str:
    """The variant that is trained for a measure: for the server's the twin that learns its space.

    Variants without a twin are none of a plan for the server: members of two spaces cannot be
    averaged. Then "" is returned.
    """
    if not measure.startswith(OFFICIAL):
        return name
    return f"{name}m" if f"{name}m" in VARIANTS else ""
