"""The progress of every run.

In: the folder of runs, whether they are being trained or not. Out: step, rate, time left and best
hold-out MAE of each.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.files import RUNS
from kit.lock import holder
from kit.runs.folder import (
    CONFIG,
    finished,
    read_division,
    read_records,
    read_variant,
    saved,
)
from kit.train_command import train_command


@dataclass(frozen=True, slots=True)
class Status:
    """The progress of one run; None for what has not been recorded yet.

    `state` is "training" with the process that trains it, "finished", "stopped", "stopped, nothing
    saved", or an error message. `left_s` includes the validations to come, once one has been timed.
    `command` resumes a run that stopped.
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


def status(runs: Path) -> tuple[Status, ...]:
    """The state of every run in `runs`, in the order of their names.

    Raises:
        InputError: there is no run.
    """
    folders = sorted((path.parent for path in runs.glob(f"*/{CONFIG}")), key=_natural)
    if not folders:
        raise InputError(runs, "holds no run", remedy="train one: kit train spade2")
    return tuple(map(_status, folders))


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
    best: dict[str, Any] = min(scored, key=lambda row: row["holdout_mae"]) if scored else {}
    stopped = "stopped" if saved(folder) else "stopped, nothing saved"
    state = f"training (process {owner})" if owner else "finished" if done else stopped
    resume = "" if owner or done else train_command(variant)
    division = read_division(folder) if resume else None
    if division and division.groups:
        resume += f" --groups {shlex.quote(division.groups)}"
    if resume and folder.parent != RUNS:
        resume += f" --runs {shlex.quote(str(folder.parent))}"
    mae, mae_step = best.get("holdout_mae"), best.get("step")
    return Status(folder.name, state, step, steps, rate, left, mae, mae_step, resume)
