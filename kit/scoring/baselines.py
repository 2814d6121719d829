"""Predictions of what is fitted in seconds -> baselines of an archive: boosted trees and priors.

In: the folder of predictions, and what an archive is of. Out: for each such variant that is no
member of it the members whose mean is its image: its own predictions, or those of its folds. Left
out is what was not predicted, or of other scenes or tiles.
"""

from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from kit.errors import InputError
from kit.prediction.folds import predicted_runs
from kit.prediction.members import Member, find_member, of_other_tiles
from kit.variants.fold_names import base_name
from kit.variants.registry import VARIANTS

_FITTED = tuple(name for name, variant in VARIANTS.items() if variant.is_fitted)
_TREES: dict[str, str] = {
    VARIANTS[name].target: name for name in _FITTED if VARIANTS[name].model == "trees"
}


@dataclass(frozen=True, slots=True)
class Baselines:
    """The members of each baseline, whose mean is its image.

    `missing_trees` is the variant to train and predict where no boosted trees are compared.
    """

    members: dict[str, tuple[Member, ...]] = field(default_factory=dict)
    missing_trees: str = ""

    @property
    def trained_on(self) -> dict[str, tuple[str, ...]]:
        """For each member scenes that its weights were trained on."""
        every = chain.from_iterable(self.members.values())
        return {member.variant: member.trained_on for member in every}


NO_BASELINES = Baselines()


def find_baselines(
    predictions: Path,
    variants: Sequence[str],
    target: str,
    scenes: Set[str],
    members: Sequence[Member],
) -> Baselines:
    """The baselines of an archive that are predicted for all of its scenes.

    Args:
        predictions: the folder of predictions.
        variants: the names of the members of the archive; none where they are not known.
        target: the space of the members' images.
        scenes: that the archive shows.
        members: those whose predictions are there.
    """
    own = {*map(base_name, variants)}
    found: dict[str, tuple[Member, ...]] = {}
    for name in _FITTED:
        if name in own:
            continue
        with suppress(InputError):  # where one is damaged or lacks a fold, kit predict says so
            runs = [find_member(predictions / run) for run in predicted_runs(predictions, name)]
            alike = tuple(run for run in runs if run and _is_of(run, scenes, members))
            if len(alike) == len(runs):
                found[name] = alike
    has_trees = (own | {*found}).intersection(_TREES.values())
    return Baselines(found, "" if has_trees or not variants else _TREES.get(target, ""))


def _is_of(baseline: Member, scenes: Set[str], members: Sequence[Member]) -> bool:
    """Whether a baseline is predicted for these scenes, of the same tiles as the members.

    Raises:
        InputError: an image of it is damaged.
    """
    if any(of_other_tiles(member, baseline) for member in members):
        return False
    if not all(scene in baseline.scenes and baseline.has(scene) for scene in scenes):
        return False
    for scene in scenes:
        baseline.load(scene)
    return True
