"""What is left out of a data set, and why: one list, in memory and as `rejected.csv`."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.plain_text import from_spreadsheet_cell, printable, spreadsheet_cell
from kit.storage.files import write_bytes

REJECTED = "rejected.csv"
FAILED = "failed.csv"
"""The list of a folder of tiles that could not be used; what is beside it is of another."""

_COLUMNS = ("name", "kind", "reason")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file or a scene that is left out, and why. `kind` groups reasons for the summary."""

    name: str
    kind: str
    reason: str


def tally(rejected: Iterable[Rejection]) -> dict[str, int]:
    """How many were left out for each kind of reason, most frequent first."""
    return dict(Counter(item.kind for item in rejected).most_common())


def tally_text(counts: Mapping[str, int]) -> str:
    """A tally as words in a sentence."""
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items())


def read_tally(path: Path) -> Counter[str]:
    """How many lines of a list have each kind, as `read_rejected` finds them."""
    return Counter(item.kind for item in read_rejected(path))


def write_rejected(path: Path, rejected: Iterable[Rejection]) -> None:
    """Write a list as CSV with the columns name, kind and reason.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for item in rejected:
        cells = (printable(text) for text in (item.name, item.kind, item.reason))
        rows.writerow(map(spreadsheet_cell, cells))
    write_bytes(path, text.getvalue().encode())


def read_rejected(path: Path) -> tuple[Rejection, ...]:
    """The list that `write_rejected` wrote; empty where there is none, or no such list.

    The list is for people, who may have changed it, or stored it with a spreadsheet, by semicolons:
    what is missing in a line is empty here.
    """
    if not path.exists():
        return ()
    found = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file, suppress(csv.Error):
        by = ";" if ";" in file.readline() else ","
        file.seek(0)
        for row in csv.DictReader(file, delimiter=by):
            cells = [from_spreadsheet_cell(row.get(name) or "") for name in _COLUMNS]
            if any(cells):
                found.append(Rejection(*cells))
    return tuple(found)
