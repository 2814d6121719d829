"""The progress of every run.

In: the folder of runs, whether they are being trained or not. Out: step, rate, time left and best
hold-out MAE of each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.differences import differences, settings_of, unlike
from kit.runs.folder import (
    CONFIG,
    finished,
    read_initial,
    read_pairs_sha256,
    read_variant,
    resume_command,
    saved,
)
from kit.runs.notes import read_notes
from kit.runs.records import counted, read_records
from kit.storage.lock import holder
from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class Status:
    """The progress of one run; None for what has not been recorded yet.

    `state` is "training" with the process that trains it, "finished", "stopped", "stopped, nothing
    saved", or an error message. `left_s` includes the validations to come, once one has been timed.
    `command` resumes a run that stopped. `differs` are the settings that more than half of the runs
    do not share, and what else sets it apart: `pairs`, the start of the fingerprint of its pairs,
    and `init`, the weights that it started from.
    """

    variant: str
    state: str
    step: int
    steps: int | None
    images_per_s: float | None
    left_s: float | None
    mae: float | None
    mae_step: int | None
    command: str
    differs: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_early(self) -> bool:
        """Whether it is finished before its schedule is, by patience."""
        return self.state == "finished" and self.steps is not None and self.step < self.steps

    @property
    def state_text(self) -> str:
        """The state as a table shows it."""
        return "finished early" if self.is_early else self.state


def status(runs: Path) -> tuple[Status, ...]:
    """The state of every run in `runs`, in the order of their names.

    Raises:
        InputError: there is no run.
    """
    folders = sorted((path.parent for path in runs.glob(f"*/{CONFIG}")), key=_natural)
    if not folders:
        raise InputError(runs, "holds no run", remedy="train one: kit train spade2")
    differs = _differences(folders)
    return tuple(
        replace(
            _status(folder),
            differs=differs.get(folder.name, {}),
            notes=tuple(note.text for note in read_notes(folder)),
        )
        for folder in folders
    )


def _differences(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """What sets each run apart; all folds of a variant are one run, but those of other settings."""
    names: dict[str, str] = {}
    first: dict[str, tuple[Variant, str | None]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for folder in folders:
        try:
            variant, start = read_variant(folder), read_initial(folder)
            pairs = read_pairs_sha256(folder)
        except (InputError, OSError):
            continue  # its state says why
        init = start.file if start else None
        name = variant.base_name
        one, those = first.setdefault(name, (variant, pairs))
        if variant.name != one.name and (unlike(variant, one) or pairs != those):
            name = folder.name
        names[folder.name] = name
        about = {"pairs": pairs and pairs[:8], "init": init}
        settings.setdefault(name, settings_of(variant, about))
    found = differences(settings)
    return {run: found[name] for run, name in names.items()}


def _natural(folder: Path) -> list[tuple[bool, int, str]]:
    """What sorts the second fold before the tenth."""
    parts = re.split(r"(\d+)", folder.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _status(folder: Path) -> Status:
    try:
        variant = read_variant(folder)
        rows = read_records(folder)
        done = finished(folder, variant)
    except (InputError, OSError) as error:
        message = error.brief if isinstance(error, InputError) else str(error)
        return Status(folder.name, message, 0, None, None, None, None, None, "")
    owner = holder(folder)
    last: dict[str, Any] = rows[-1] if rows else {}
    step, steps = last.get("step", 0), last.get("steps")
    rate = next((row["images_per_s"] for row in reversed(rows) if "images_per_s" in row), None)
    scored = [row for row in rows if "holdout_mae" in row]
    left = (steps - step) * variant.batch / rate if steps and rate and not done else None
    if left is not None and scored:
        left += (variant.total_validations - len(scored)) * scored[-1].get("validation_s", 0.0)
    best: dict[str, Any] = min(scored, key=counted) if scored else {}
    stopped = "stopped" if saved(folder) else "stopped, nothing saved"
    state = f"training (process {owner})" if owner else "finished" if done else stopped
    resume = "" if owner or done else resume_command(folder)
    mae, mae_step = best.get("holdout_mae"), best.get("step")
    return Status(folder.name, state, step, steps, rate, left, mae, mae_step, resume)
