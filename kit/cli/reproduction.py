"""kit reproduce: an archive again from its parts, or what stands in the way."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Predictions, Quiet, Runs, Work
from kit.errors import CheckError
from kit.storage.files import PREDICTIONS, RUNS, WORK

if TYPE_CHECKING:
    from kit.submission.reproduce import Reproduction

app = typer.Typer()

_SHOWN = 20


@app.command(epilog="Example: kit reproduce submissions/submission2.json")
def reproduce(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The .json beside an archive.")
    ],
    predictions: Predictions = PREDICTIONS,
    runs: Runs = RUNS,
    work: Work = WORK,
    out: Annotated[
        Path | None, typer.Option(help="Write the archive here; must not exist yet.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build an archive again from its parts, and list what differs.

    Ends with exit code 4 if it differs or cannot be built.
    """
    from kit.submission.reproduce import reproduce

    emit = console.start(json, quiet)
    with console.progress("building again", "reading predictions") as advance:
        result = reproduce(
            manifest, predictions=predictions, runs=runs, work=work, out=out, advance=advance
        )
    emit(result.as_dict())
    _show_reproduction(result)
    if not result.same:
        problem = "differs" if result.found else "cannot be built"
        raise CheckError(f"{manifest}: the archive {problem}")


def _show_reproduction(result: "Reproduction") -> None:
    rows = [(part.name, part.state, part.problem) for part in result.parts]
    console.table("Parts", ("part", "state", "problem"), rows)
    for part in result.parts:
        if part.remedy:
            console.write(f"{part.name}: {part.remedy}")
    if result.entries:
        console.write(f"{len(result.entries)} images differ: {', '.join(result.entries[:_SHOWN])}")
    for name, (then, now) in result.versions.items():
        console.write(f"{name}: {then} then, {now} now")
    if result.same:
        console.write(f"the same bytes: sha256 {result.expected}")
    if result.out:
        console.write(f"written: {result.out}")
