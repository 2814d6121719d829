"""Lines in a file of a run, each of which names its run: a file that was moved is not taken.

In: records, one a line. Out: the file; and the records again, without the name. Lines of kits
before 0.6.0 name none, and are taken.
"""

from pathlib import Path
from typing import Any

from kit.storage import files
from kit.storage.seal import decode_lines, encode_line

_RUN = "run"


def append_to(path: Path, record: dict[str, Any]) -> int:
    """Add a record of the run in whose folder the file lies; returns the file's length in bytes.

    Raises:
        OutputError: it cannot be written.
    """
    return files.append_line(path, encode_line(record | {_RUN: files.name_of(path.parent)}))


def read_from(path: Path) -> list[dict[str, Any]]:
    """The records; lines that are damaged, were cut short or are of another run are left out."""
    try:
        lines = [line for _, line in decode_lines(path.read_bytes()) if line]
    except FileNotFoundError:
        return []
    kept = [line for line in lines if not other_run_of(line, path)]
    return [{name: value for name, value in line.items() if name != _RUN} for line in kept]


def other_run_of(line: dict[str, Any], path: Path) -> str:
    """The run that a line of a file is of; "" if that is the one in whose folder it lies."""
    own = files.name_of(path.parent)
    named = line.get(_RUN, own)
    return "" if named == own else str(named)
