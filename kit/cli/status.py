"""kit status: how far every run is."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet, Runs
from kit.plain_text import duration
from kit.storage.files import RUNS

if TYPE_CHECKING:
    from kit.runs.status import Status

app = typer.Typer()


@app.command(epilog="Example: kit status")
def status(runs: Runs = RUNS, json: Json = False, quiet: Quiet = False) -> None:
    """Show the progress of every run."""
    from kit.runs.status import status

    emit = console.start(json, quiet)
    found = status(runs)
    emit([asdict(run) for run in found])
    _show_status(found)


def _show_status(found: "Sequence[Status]") -> None:
    rows = [
        (
            run.variant,
            run.state_text,
            run.step,
            run.steps or "",
            f"{run.images_per_s:.1f}" if run.images_per_s else "",
            duration(run.left_s) if run.left_s else "",
            f"{run.mae:.5f}" if run.mae is not None else "",
            run.mae_step if run.mae_step is not None else "",
        )
        for run in found
    ]
    titles = ("variant", "state", "step", "of", "images/s", "left", "best MAE", "at step")
    console.table("Runs", titles, rows)
    from kit.runs.differences import apart

    if lines := apart((run.variant, run.differs) for run in found):
        console.table("What sets runs apart", ("variant", "settings"), lines)
    console.notes({run.variant: run.notes for run in found})
    for run in found:
        if run.command:
            console.write(f"to resume {run.variant}: {run.command}")
