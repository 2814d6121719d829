"""kit status: how far every run is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from kit.cli import console
from kit.cli.notes import show_notes
from kit.cli.options import Json, Quiet, Runs
from kit.files import RUNS

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
            _state(run),
            run.step,
            run.steps or "",
            f"{run.images_per_s:.1f}" if run.images_per_s else "",
            console.duration(run.left_s) if run.left_s else "",
            f"{run.mae:.5f}" if run.mae is not None else "",
            run.mae_step if run.mae_step is not None else "",
        )
        for run in found
    ]
    titles = ("variant", "state", "step", "of", "images/s", "left", "best MAE", "at step")
    console.table("Runs", titles, rows)
    apart = [(run.variant, _settings(run.differs)) for run in found if run.differs]
    if apart:
        console.table("What sets runs apart", ("variant", "settings"), apart)
    show_notes({run.variant: run.notes for run in found})
    for run in found:
        if run.command:
            console.write(f"to resume {run.variant}: {run.command}")


def _state(run: "Status") -> str:
    is_early = run.state == "finished" and run.steps is not None and run.step < run.steps
    return "finished early" if is_early else run.state


def _settings(differs: Mapping[str, Any]) -> str:
    """Settings as `--set` takes them."""
    return " ".join(
        f"{field}={str(value).lower() if isinstance(value, bool) else value}"
        for field, value in differs.items()
    )
