"""`metrics.jsonl` in the folder of a run: what its training measured, one record a line.

In: the losses of a step, or the scores of a validation. Out: a line with a checksum and the name of
the run; and the records again, as `kit status` and reports show them.
"""

from pathlib import Path
from typing import Any

from kit.runs.lines import append_to, read_from
from kit.storage import files

METRICS = "metrics.jsonl"

# What others compute with, of a record.
_NUMBERS = (
    "step", "steps", "images_per_s", "validation_s", "holdout_mae", "holdout_mse", "holdout_psnr",
)  # fmt: skip


def append_record(folder: Path, record: dict[str, Any]) -> int:
    """Add a record to the metrics; returns their length in bytes."""
    return append_to(folder / METRICS, record)


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of the metrics that are whole, and of this run."""
    return [record for record in read_from(folder / METRICS) if _is_record(record)]


def counted(validation: dict[str, Any]) -> float:
    """The error on the hold-out by which a validation is judged: the MSE where a run counts it."""
    error: float = validation.get("holdout_mse", validation["holdout_mae"])
    return error


def sync_records(folder: Path) -> None:
    """Have the records of the metrics on disk, as far as there are any.

    Raises:
        OutputError: the disk fails.
    """
    if (folder / METRICS).exists():
        files.sync(folder / METRICS)


def truncate_records(folder: Path, length: int) -> None:
    """Keep the first `length` bytes of the metrics: the steps after them will be trained again."""
    path = folder / METRICS
    if path.exists() and path.stat().st_size > length:
        files.truncate(path, length)


def _is_record(record: dict[str, Any]) -> bool:
    """Whether it has a step, and numbers where one computes with them; `train` writes no other."""
    numbers = [record[name] for name in _NUMBERS if name in record]
    countable = (type(value) in (int, float) and abs(value) < 2**63 for value in numbers)
    return "step" in record and all(countable)
