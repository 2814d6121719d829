"""The runs with their metrics, and when in each training a record of them was written.

In: the folder of all runs. Out: for each run its progress, its records, and the seconds of training
before each, validations included. Records keep rates and not times, so that seconds in which a
training was stopped do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.folder import read_variant
from kit.runs.records import read_records
from kit.runs.status import Status, status
from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class RunHistory:
    """One run; `variant` is None where its configuration cannot be read.

    `seconds` are those of training before each of `records`.
    """

    status: Status
    variant: Variant | None
    records: tuple[dict[str, Any], ...]
    seconds: tuple[float, ...]

    @property
    def name(self) -> str:
        """Of the run."""
        return self.status.variant

    @property
    def base_name(self) -> str:
        """The variant; the one that all folds share where it is a fold."""
        return self.variant.base_name if self.variant else self.name

    @property
    def total_s(self) -> float:
        """Seconds of training so far."""
        return self.seconds[-1] if self.seconds else 0.0

    def validations(self) -> list[tuple[float, dict[str, Any]]]:
        """The records of validations on the hold-out, and the seconds before each."""
        both = zip(self.seconds, self.records, strict=True)
        return [(at, record) for at, record in both if "holdout_mae" in record]


def histories(runs: Path) -> tuple[RunHistory, ...]:
    """The runs in the order of `kit status`; none where there is none.

    Raises:
        InputError: a folder cannot be listed.
    """
    try:
        found = status(runs)
    except InputError:
        return ()
    return tuple(_history(runs / each.variant, each) for each in found)


def _history(folder: Path, found: Status) -> RunHistory:
    try:
        variant = read_variant(folder)
    except InputError:
        return RunHistory(found, None, (), ())
    records = read_records(folder)
    return RunHistory(found, variant, tuple(records), _elapsed(records, variant.batch))


def _elapsed(records: Sequence[dict[str, Any]], batch: int) -> tuple[float, ...]:
    """The seconds of training until each record."""
    elapsed, step, seconds = 0.0, 0, []
    for record in records:
        if rate := record.get("images_per_s"):
            elapsed += (record["step"] - step) * batch / rate
            step = record["step"]
        elapsed += record.get("validation_s", 0.0) + record.get("fit_s", 0.0)
        seconds.append(elapsed)
    return tuple(seconds)
