"""`submissions.csv`: a line for each archive and truth, with its scores here and the server's.

The log is the user's as much as the kit's: a spreadsheet may have reordered its columns, added
others, or saved it with other quotes, separators and ends of lines; all that stays. Refused: a log
without the columns that the kit needs.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from kit.errors import InputError
from kit.metrics import MEASURES
from kit.plain_text import from_spreadsheet_cell, printable, spreadsheet_cell
from kit.storage.files import write_bytes

LOG = "submissions.csv"
_NEEDED = ("time", "name", "sha256", "leaderboard")
# What distinguishes archives of the same members.
SETTINGS = ("ensemble", "layout", "target", "stretch")
# By what an archive was scored, on how many images, and with how many truths of its SAR inputs.
SCORED_BY = TRUTH, IMAGES, TRUTHS = "truth", "images", "truths"
NOTE = "note"  # what somebody wanted to remember
_BOM = "\ufeff"


def log_columns() -> tuple[str, ...]:
    """The titles of a new log."""
    # The server's score is last, where it is easily added by hand.
    scores = *SCORED_BY, *MEASURES
    return "time", "name", "members", *SETTINGS, *scores, NOTE, "sha256", "leaderboard"


class Cell(NamedTuple):
    """A cell of the log: its value, and where in the text it stands."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Log:
    """The log as it lies on the disk; the lines are those below the titles, blank ones left out."""

    path: Path
    text: str
    separator: str
    titles: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]

    def get(self, line: tuple[Cell, ...], title: str) -> str:
        """The value of a line in the column called `title`; empty if it has none."""
        column = self.titles.index(title) if title in self.titles else len(line)
        return from_spreadsheet_cell(line[column].value) if column < len(line) else ""

    def with_columns(self, *titles: str) -> "Log":
        """The log with columns of these titles, the last where an older kit gave it none."""
        new = [title for title in titles if title not in self.titles]
        if not new:
            return self
        end = _lines(self.text, self.separator)[0][-1].end
        cells = "".join(self.separator + self._cell(title) for title in new)
        text = self.text[:end] + cells + self.text[end:]
        lines = tuple(_lines(text, self.separator)[1:])
        return replace(self, text=text, titles=(*self.titles, *new), lines=lines)

    def fill(self, line: tuple[Cell, ...], values: Mapping[str, object]) -> None:
        """Write values into cells of one line, and leave every other byte as it is.

        Values without a column are left out.
        """
        cells = {
            self.titles.index(title): values[title] for title in values if title in self.titles
        }
        # A spreadsheet may have left out the empty cells at the end of a line.
        ends = [""] * (max(cells, default=-1) + 1 - len(line))
        text = self.text
        for column, value in sorted(cells.items(), reverse=True):
            if column >= len(line):
                ends[column - len(line)] = self._cell(value)
        if ends:
            end = line[-1].end
            text = text[:end] + "".join(self.separator + cell for cell in ends) + text[end:]
        for column, value in sorted(cells.items(), reverse=True):
            if column < len(line):
                text = text[: line[column].start] + self._cell(value) + text[line[column].end :]
        self._write(text)

    def _cell(self, value: object) -> str:
        """A value as it stands in the text."""
        cell = io.StringIO()
        csv.writer(cell, delimiter=self.separator, lineterminator="").writerow([_text(value)])
        return cell.getvalue()

    def append(self, values: Mapping[str, object]) -> None:
        """Add a line, the newest; values without a column are left out."""
        end = "\r\n" if "\r\n" in self.text else "\n"
        added = io.StringIO()
        row = csv.DictWriter(
            added,
            self.titles,
            extrasaction="ignore",
            delimiter=self.separator,
            lineterminator=end,
        )
        if not self.text:
            row.writeheader()
        elif not self.text.endswith(("\n", "\r")):
            added.write(end)
        row.writerow({title: _text(value) for title, value in values.items()})
        self._write(self.text + added.getvalue())

    def _write(self, text: str) -> None:
        write_bytes(self.path, text.encode("utf-8", "surrogateescape"))


def _text(value: object) -> object:
    return spreadsheet_cell(printable(value) if isinstance(value, str) else value)


def read_log(submissions: Path) -> Log:
    """Read the log in a folder; one that is not there yet is empty, with the kit's own columns.

    Raises:
        InputError: it lacks a column that the kit needs, or is not text in UTF-8 or alike.
    """
    path = submissions / LOG
    data = path.read_bytes() if path.exists() else b""
    if not data.strip():
        return Log(path, "", ",", log_columns(), ())
    if b"\0" in data:
        raise InputError(path, "is not plain text", remedy="save it as CSV in UTF-8")
    text = data.decode("utf-8", "surrogateescape")
    for separator in (",", ";", "\t"):
        lines = _lines(text, separator)
        titles = tuple(cell.value.strip() for cell in lines[0]) if lines else ()
        if set(titles) >= set(_NEEDED):
            return Log(path, text, separator, titles, tuple(lines[1:]))
    first = text.removeprefix(_BOM).lstrip().partition("\n")[0].strip()[:120]
    needed = ", ".join(_NEEDED)
    remedy = f"give it the columns {needed}; or move it away, and kit package starts a new one"
    raise InputError(path, f"lacks columns of the log; its first line is {first!r}", remedy=remedy)


def require_log(submissions: Path) -> None:
    """Refuse a folder without a log.

    Raises:
        InputError: says what writes it.
    """
    if not (submissions / LOG).exists():
        raise InputError(submissions / LOG, "no such log", remedy="kit package writes it")


def note_of(archive: Path) -> tuple[str, ...]:
    """The newest note of an archive in the log beside it, if there is one that can be read."""
    try:
        found = read_log(archive.parent)
    except InputError:
        return ()
    names = (archive.name, archive.name.removesuffix(".zip"))
    lines = [line for line in found.lines if found.get(line, "name").strip() in names]
    notes = [note for line in lines if (note := found.get(line, NOTE).strip())]
    return tuple(notes[-1:])


def _lines(text: str, separator: str) -> list[tuple[Cell, ...]]:
    """The cells of each line that is not blank; as csv reads them, but with their places."""
    cell = re.compile(
        rf'("(?:[^"]|"")*"[^{separator}\r\n]*|[^{separator}\r\n]*)({separator}|\r\n|\n|\r|\Z)'
    )
    lines: list[tuple[Cell, ...]] = []
    line: list[Cell] = []
    position = len(_BOM) if text.startswith(_BOM) else 0
    while match := cell.match(text, position):
        raw, end = match.groups()
        quoted = re.fullmatch(r'"((?:[^"]|"")*)"\s*', raw)
        value = quoted[1].replace('""', '"') if quoted else raw
        line.append(Cell(value, *match.span(1)))
        if end != separator:
            if any(cell.value.strip() for cell in line):
                lines.append(tuple(line))
            line = []
        if not end:
            break
        position = match.end()
    return lines
