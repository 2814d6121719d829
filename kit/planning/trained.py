"""Which trainings of a plan are done, and whether the runs that lie there are theirs.

In: a plan, the runs, and the table of pairs of now. Out: for each training whether it is done.
Refused by name: runs of other settings or pairs, which no command would go on with, before they are
used or any hour is spent.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.pairs.table import PAIRS, fingerprint, pixels_fingerprint, read_pairs
from kit.plain_text import count_of
from kit.planning.plan import PLAN, Plan, Training
from kit.runs.folder import (
    CONFIG,
    OTHER_PIXELS,
    finished,
    has_other_pixels,
    other_settings,
    read_pairs_sha256,
    read_variant,
    saved,
)
from kit.storage.files import RUNS, WORK
from kit.variants.settings import Variant, as_fold


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of a training: its variant, and what trains it again."""

    variant: Variant
    command: str

    @property
    def folder(self) -> Path:
        return RUNS / self.variant.name

    @property
    def is_finished(self) -> bool:
        there = (self.folder / CONFIG).exists()
        return there and finished(self.folder, read_variant(self.folder))

    def difference(self, pairs_sha256: str | None, pixels_sha256: str | None) -> str:
        """What the run that is there is otherwise, in words; "" if nothing, or if none is there.

        Args:
            pairs_sha256: the fingerprint of the pairs of now; None if they are still to be made.
            pixels_sha256: that of their pixels, if it is known.
        """
        if not (self.folder / CONFIG).exists() or not saved(self.folder):
            return ""
        changed = other_settings(self.folder, self.variant)
        if pairs_sha256 and read_pairs_sha256(self.folder) != pairs_sha256:
            changed.append(f"other pairs than those of {WORK / PAIRS} now")
        elif has_other_pixels(self.folder, pixels_sha256):
            changed.append(OTHER_PIXELS)
        return ", ".join(changed)


def is_trained(training: Training, plan: Plan) -> bool:
    """Whether all runs of a training are finished.

    Raises:
        InputError: the folder of a run cannot be read.
    """
    return all(each.is_finished for each in _runs(training, plan, all_pairs=plan.all_pairs))


def refuse_others(plan: Plan) -> None:
    """Refuse runs by the names of the plan's that were trained with other settings or pairs.

    A run of all pairs counts where none is planned, too: it would predict in place of its folds.

    Raises:
        InputError: names them, what differs, and how to go on; or a run or the pairs cannot be
            read.
    """
    table = WORK / PAIRS
    pairs = read_pairs(table) if table.exists() else ()
    now = (fingerprint(pairs), pixels_fingerprint(pairs)) if pairs else (None, None)
    runs = [run for each in plan.trainings for run in _runs(each, plan, all_pairs=True)]
    others = {run: problem for run in runs if (problem := run.difference(*now))}
    if not others:
        return
    first, problem = next(iter(others.items()))
    problem = f"was trained with {problem}"
    if len(others) > 1:
        more = count_of(len(others) - 1, "other run")
        problem += f"; and so {more}: {', '.join(run.variant.name for run in others)}"
    each = ", each by --overwrite, such as" if len(others) > 1 else ":"
    raise InputError(
        first.folder,
        problem,
        remedy=f"train again{each} {first.command}; or move what is to be kept out of {RUNS}/, "
        f"give the training another name in {PLAN}, or work in another folder",
    )


def _runs(training: Training, plan: Plan, *, all_pairs: bool) -> Iterator[_Run]:
    """The runs of a training: its folds, and with `all_pairs` that of all pairs after them."""
    sets = [part for text in training.texts for part in ("--set", text)]
    words = ["kit", "train", training.variant, *sets]
    for fold in range(1, plan.folds + 1):
        chosen = ["--fold", f"{fold}/{plan.folds}"] if plan.folds > 1 else []
        command = shlex.join([*words, *chosen, "--overwrite"])
        yield _Run(as_fold(training.chosen, fold, plan.folds), command)
    if plan.folds > 1 and all_pairs:
        yield _Run(training.chosen, shlex.join([*words, "--overwrite"]))
