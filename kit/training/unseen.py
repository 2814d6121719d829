"""Parts of what runs have not seen: held out by the table of pairs or by folds, and of what kind.

In: held-out pairs, and what was trained on. Out: the pairs of each part.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit.pairs.kinds import SEEN_PLACES, UNSEEN_PLACES, kinds
from kit.pairs.table import Pair, holdout_pairs, train_pairs
from kit.runs.seen import TrainingPairs


@dataclass(frozen=True, slots=True)
class Part:
    """Who held pairs out, the table or the folds, and whether training saw their places."""

    out_of_fold: bool = False
    kind: str = UNSEEN_PLACES

    def __str__(self) -> str:
        return f"{'Out of fold' if self.out_of_fold else 'Hold-out'}, {self.kind}"


HOLDOUT = Part()

Parts = dict[Part, tuple[Pair, ...]]


def holdout_parts(held: Sequence[Pair], trained: Sequence[Pair]) -> Parts:
    """The pairs of the hold-out by their kind."""
    return {Part(False, kind): those for kind, those in kinds(held, trained).items()}


def count_kinds(
    scenes: Iterable[str], pairs: Sequence[Pair], folds: Mapping[str, TrainingPairs]
) -> dict[str, int]:
    """How many of some held-out scenes are of each kind, of those whose kind is known.

    Args:
        scenes: optical scenes that are held out by the table, or by one of the folds.
        pairs: the table.
        folds: as `out_of_fold_parts`; empty where a run of its own is asked about.
    """
    found = holdout_parts(holdout_pairs(pairs), train_pairs(pairs, 1))
    if folds:
        found |= out_of_fold_parts(train_pairs(pairs, 2), folds)
    kind_of = {str(pair.optical): part.kind for part, those in found.items() for pair in those}
    counts = Counter(kind_of[scene] for scene in scenes if scene in kind_of)
    return {kind: counts[kind] for kind in (UNSEEN_PLACES, SEEN_PLACES) if counts[kind]}


def out_of_fold_parts(pairs: Sequence[Pair], folds: Mapping[str, TrainingPairs]) -> Parts:
    """The clear training pairs by their kind, each as the fold sees it that held it out.

    Args:
        pairs: those that may be trained on.
        folds: what each fold was trained on and has held out, by the name of its run.
    """
    seen: set[str] = set()
    pixels = max((pair.side for pair in pairs), default=0)
    for fold in folds.values():
        seen.update(fold.among(fold.held, pixels))
    parts = {
        Part(True, UNSEEN_PLACES): tuple(p for p in pairs if str(p.optical) not in seen),
        Part(True, SEEN_PLACES): tuple(p for p in pairs if str(p.optical) in seen),
    }
    return {part: those for part, those in parts.items() if those}
