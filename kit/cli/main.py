"""The command line: all commands in the order of the path from tiles to scores, and their ends.

Each module in the list below holds commands: their options, the call and what they print; the
other files hold what these call. The modules that do the work are imported by the command that
needs them: torch alone takes a second or two.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import kit
from kit.cli import (
    comparison,
    console,
    doctor,
    exchange,
    fitting,
    leaderboard,
    packing,
    planning,
    prediction,
    preparation,
    report,
    reproduction,
    scoring,
    screening,
    showing,
    simulation,
    status,
    submission,
    training,
    translation,
    validation,
    variants,
    verification,
)
from kit.cli.interrupt import acknowledged, resume_line
from kit.cli.shortage import shortage
from kit.errors import InputError, KitError
from kit.machine.cores import share_cores
from kit.plain_text import printable
from kit.training.child import is_child

INTERRUPTED = 130
# Typer gives the root of its usage errors no name of its own.
_UsageError: Any = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """What was typed wrongly is quoted, but cannot control the terminal."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        with _quoting():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _quoting():
            return super().invoke(ctx)


@contextmanager
def _quoting() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = printable(error.message)
        raise


app = typer.Typer(
    cls=_Commands,
    name="kit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(kit.__version__)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From Sentinel-1 radar tiles to Sentinel-2 images in a checked upload archive."""


for part in (
    simulation,
    screening,
    preparation,
    packing,
    showing,
    planning,
    training,
    status,
    validation,
    exchange,
    fitting,
    prediction,
    translation,
    submission,
    scoring,
    reproduction,
    leaderboard,
    comparison,
    report,
    verification,
    variants,
    doctor,
):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line and exit with the code that `kit.errors` lists."""
    _open_standard_files()
    share_cores()
    try:
        with acknowledged():
            app(prog_name="kit")
    except (KitError, OSError, MemoryError, RuntimeError) as error:
        told = shortage(error, sys.argv[1:]) or error
        if not isinstance(told, KitError | OSError):
            raise
        console.write_error(told)
        sys.exit(told.exit_code if isinstance(told, KitError) else InputError.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED and console.is_first() and not is_child():
            console.stderr.quiet = False
            console.write(resume_line(sys.argv[1:]))
        raise


def _open_standard_files() -> None:
    """Open what the caller has closed: else a file of ours becomes the stderr of some library."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
