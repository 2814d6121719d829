"""kit report: everything that is there, on one page."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Ensembles, Json, Predictions, Quiet, Runs, Submissions, Work
from kit.storage.files import FITTED, PREDICTIONS, RUNS, SUBMISSIONS, WORK

if TYPE_CHECKING:
    from kit.reporting.report import Written

app = typer.Typer()


@app.command(epilog="Example: kit report -o report.html")
def report(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page; replaced if there.")
    ] = Path("report.html"),
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What scenes are worst by; default: what was fitted."),
    ] = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    predictions: Predictions = PREDICTIONS,
    ensembles: Ensembles = FITTED,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show everything that is there on one page.

    It is one file, which needs no network.
    """
    from kit.reporting.report import report

    emit = console.start(json, quiet)
    with console.progress("comparing members", "reading what is there") as advance:
        written = report(
            output,
            measure=measure,
            work=work,
            runs=runs,
            predictions=predictions,
            ensembles=ensembles,
            submissions=submissions,
            advance=advance,
        )
    emit(asdict(written))
    _show_written(written)


def _show_written(written: "Written") -> None:
    for problem in written.problems:
        console.write(f"left out: {problem}")
    console.write(f"sections: {', '.join(written.sections)}")
    console.write(f"{written.path}: {written.bytes / 1e6:.1f} MB; open it in a browser")
