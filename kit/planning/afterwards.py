"""What follows the trainings of a plan, and how long it takes.

In: the members that are to be trained, and what predicting an image takes with each. Out: seconds
of fitting, predicting and packaging.
"""

from dataclasses import dataclass
from typing import NamedTuple

from kit.training.heldout import MOST_OUT_OF_FOLD
from kit.variants.settings import Variant

_IMAGE_S = 0.01  # writing and checking an image of an archive


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the ensemble to be: its variant, and seconds of all its runs, and the longest.

    `image_s` is what predicting one view takes, and `read_s` reading its prior; `steps` are those
    of its longest run; `waits` says whether a batch takes longer to read than a step.
    """

    variant: Variant
    total_s: float
    longest_s: float
    image_s: float
    read_s: float = 0.0
    steps: int = 0
    waits: bool = False


class Lineup(NamedTuple):
    """Members in so many folds, then perhaps on all pairs; and why others are none."""

    members: tuple[Member, ...]
    folds: int
    all_pairs: bool
    left_out: dict[str, str]

    @property
    def networks(self) -> tuple[Member, ...]:
        """The members that are trained step by step."""
        return tuple(each for each in self.members if not each.variant.is_fitted)


@dataclass(frozen=True, slots=True)
class Afterwards:
    """Seconds of what follows the trainings.

    `start_s` is what starting a command takes; `pairs` are trained on, `holdout` are held out, and
    `scenes` are to be predicted.
    """

    start_s: float
    pairs: int
    holdout: int
    scenes: int

    def total(self, lineup: Lineup, flips: int) -> float:
        """Seconds of all of it, with so many views of each scene."""
        return self.fitting(lineup) + self.predicting(lineup, flips) + self.packaging()

    def fitting(self, lineup: Lineup) -> float:
        """Seconds of predicting what was held out, and of scoring and fitting it."""
        of_folds = min(self.pairs, MOST_OUT_OF_FOLD) if lineup.folds > 1 else 0
        images = self.holdout * lineup.folds + of_folds
        image_s = sum(each.image_s + each.read_s for each in lineup.members)
        return self.start_s + 2 * images * image_s

    def predicting(self, lineup: Lineup, flips: int) -> float:
        """Seconds of predicting all scenes, with so many views of each."""
        runs = 1 if lineup.all_pairs else lineup.folds
        # What is fitted shows the same in every view, and is predicted in one.
        image_s = sum(
            each.image_s * (1 if each.variant.is_fitted else flips) + each.read_s
            for each in lineup.members
        )
        return self.start_s + self.scenes * runs * image_s

    def packaging(self) -> float:
        """Seconds of writing the archive and checking it again."""
        return 2 * self.start_s + self.scenes * _IMAGE_S
