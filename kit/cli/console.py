"""Lines, tables and progress bars on stderr; JSON on stdout.

Every command prints through this module alone, so that `--quiet` and `--json` hold everywhere.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from kit.files import finite
from kit.progress import Advance

SILENCE_SECONDS = 30
# A log has no width, and what rich takes it for breaks the numbers of a wide table in two.
_WIDTH = None if sys.stderr.isatty() or "COLUMNS" in os.environ else 160
stderr = Console(
    stderr=True, width=_WIDTH, highlight=False, soft_wrap=True, markup=False, emoji=False
)


def start(json: bool, quiet: bool) -> Callable[[Any], None]:
    """Set how much is printed; returns what writes a result to stdout if JSON is wanted.

    Of the processes that torchrun starts, only the first prints.
    """
    first = os.environ.get("RANK", "0") == "0"
    stderr.quiet = quiet or not first
    return emit if json and first else lambda _: None


def write(text: str) -> None:
    """Print one line on stderr."""
    stderr.print(text)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: text to the left, numbers to the right."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numbers = rows and all(_is_number(row[index]) for row in rows)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(str, row))
    stderr.print(grid)


def emit(value: Any) -> None:
    """Write `value` to stdout as one JSON document; infinities and NaN become null, paths text."""
    json.dump(finite(value), sys.stdout, indent=2, allow_nan=False, default=str)
    sys.stdout.write("\n")


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """A bar with rate and time left while the block runs; yields what advances it.

    Where no terminal shows a bar, as in a log, a line is written every `SILENCE_SECONDS`.
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None, detail="")

        printed = time.monotonic()

        def advance(done: int, total: int, detail: str = "", /) -> None:
            nonlocal printed
            if bar.disable and time.monotonic() - printed > SILENCE_SECONDS:
                write(f"{title} {done}/{total or '?'} {detail}")
                printed = time.monotonic()
            speed = bar.tasks[0].speed
            detail = detail or (f"{speed:.1f}/s" if speed else "")
            bar.update(task, completed=done, total=total or None, detail=detail)

        yield advance


def _is_number(cell: object) -> bool:
    text = str(cell).replace(",", "").replace("%", "").strip()
    return text in ("", "-") or text.lstrip("+-").replace(".", "", 1).isdigit()
