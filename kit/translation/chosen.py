"""Which engine a translation began with, for each member, so that it goes on with the same.

In: an engine as `Engine.describe` says it. Out: a sealed record, named after the member. Refused by
name: one that is damaged, or of another member.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.storage.seal import read_record, write_record

_FORMAT = 2  # 1 had no checksum


def write_chosen(path: Path, engine: Mapping[str, Any]) -> None:
    """Keep the engine of the member that `path` is named after.

    Raises:
        OutputError: it cannot be written.
    """
    write_record(path, _FORMAT, {"variant": path.stem, **engine})


def read_chosen(path: Path) -> dict[str, Any]:
    """The engine of the member that `path` is named after.

    Raises:
        InputError: the file is missing, damaged, or of another member.
    """
    remedy = "remove it, and an engine is chosen again"
    record = read_record(path, _FORMAT, remedy)
    if record.get("variant", path.stem) != path.stem:
        problem = f"holds the engine of {record['variant']}, not of {path.stem}"
        raise InputError(path, problem, remedy=remedy)
    return record
