"""Lines and progress bars on stderr; JSON on stdout.

Every command prints through this module alone, so that `--quiet` and `--json` hold everywhere, and
nothing that came from outside controls the terminal.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from kit.cli.table import fitted_table
from kit.errors import InputError, OutputError
from kit.plain_text import printable
from kit.progress import Advance
from kit.storage.files import finite

if TYPE_CHECKING:
    from kit.figures.panels import Panel

SILENCE_SECONDS = 30


class _Stderr(Console):
    """The work goes on where nobody reads what it prints, as after `2>&1 | head`."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


# A log has no width, and what rich takes it for breaks the lines of a wide table in two.
_WATCHED = sys.stderr is not None and sys.stderr.isatty()
_WIDTH = None if _WATCHED or "COLUMNS" in os.environ else 160
stderr = _Stderr(
    stderr=True, width=_WIDTH, highlight=False, soft_wrap=True, markup=False, emoji=False
)


def is_first() -> bool:
    """Whether this is the first of the processes that torchrun starts, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def start(json: bool, quiet: bool) -> Callable[[Any], None]:
    """Set how much is printed; returns what writes a result to stdout if JSON is wanted.

    Of the processes that torchrun starts, only the first prints.
    """
    stderr.quiet = quiet or not is_first()
    return emit if json and is_first() else lambda _: None


def write(text: str) -> None:
    """Print one line, or several, on stderr."""
    stderr.print(printable(text, lines=True))


def warn(*texts: str) -> None:
    """Print what speaks against a result, a line each."""
    for text in texts:
        write(f"warning: {text}")


def notes(by_name: Mapping[str, Sequence[str]]) -> None:
    """Print the notes on runs or submissions, a line each."""
    for name, texts in by_name.items():
        for text in texts:
            write(f"note on {name}: {text}")


def write_error(error: Exception) -> None:
    """Print why a command ended, even if it is quiet; the file that is at fault on one line."""
    stderr.quiet = False
    text = str(error)
    if isinstance(error, InputError) and error.problem:
        text = text.replace(error.where, printable(error.where), 1)
    write(f"error: {text}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that fits the terminal: text to the left, numbers to the right."""
    cells = [[*map(printable, row)] for row in rows]
    stderr.print(fitted_table(printable(title), [*map(printable, columns)], cells, stderr.width))


def picture(rows: Sequence[Sequence["Panel | None"]]) -> bool:
    """Draw images where the terminal has colours; returns whether it could."""
    if not stderr.is_terminal or stderr.color_system is None:
        return False
    from kit.cli.picture import draw_picture

    stderr.print(draw_picture(rows, stderr.width))
    return True


def number(value: float, form: str) -> str:
    """A number of a table, in a form such as ".4g"; "-" for NaN, which is none."""
    return "-" if math.isnan(value) else format(value, form)


def emit(value: Any) -> None:
    """Write `value` to stdout as one JSON document; infinities and NaN become null, paths text.

    A reader that has read enough, such as `head`, ends nothing.

    Raises:
        OutputError: stdout is closed, or its disk is full.
    """
    text = json.dumps(finite(value), indent=2, allow_nan=False, default=str) + "\n"
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.stdout = None  # the interpreter would try again at its end
        problem = f"stdout: cannot be written ({error.strerror or error})"
        raise OutputError(f"{problem}\n  give --json a reader, or leave it out") from error


@contextmanager
def progress(title: str, waiting: str) -> Iterator[Advance]:
    """A bar with rate and time left while the block runs; yields what advances it.

    Where no terminal shows a bar, as in a log, a line is written every `SILENCE_SECONDS`.

    Args:
        title: what is done.
        waiting: what is done before the number of things to do is known.
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None, detail="", count=waiting)
        printed = time.monotonic()

        def advance(done: int, total: int, detail: str = "", /) -> None:
            nonlocal printed
            so_far = f"{waiting} {done:,}" if done else waiting
            count = f"{done}/{total}" if total else so_far
            if bar.disable and time.monotonic() - printed > SILENCE_SECONDS:
                write(f"{title} {count} {detail}")
                printed = time.monotonic()
            speed = bar.tasks[0].speed
            detail = printable(detail) or (f"{speed:.1f}/s" if speed else "")
            bar.update(task, completed=done, total=total or None, detail=detail, count=count)

        yield advance
