"""kit verify: what of all that was written is damaged, and which command mends it."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet
from kit.errors import CheckError

app = typer.Typer()


@app.command(epilog="Example: kit verify; kit verify runs/spade2 --data")
def verify(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...",
            help="Folders that the kit wrote; default: work, runs, predictions, engines, "
            "ensembles, submissions.",
        ),
    ] = None,
    data: Annotated[
        bool, typer.Option("--data", help="Read the pixels of packs and all tiles, too.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find damage in tables, runs, predictions and archives.

    Every file that the kit reads back is compared with its checksums; nothing is changed. What is
    damaged is listed with the command that mends it, and the exit code is 4.
    """
    from kit.verification.verify import verify

    emit = console.start(json, quiet)
    with console.progress("verifying", "listing the folders") as advance:
        found = verify(folders or (), data=data, advance=advance)
    emit(found.as_dict())
    console.table("Checked", ("artefact", "files"), [*found.checked.items()])
    if found.unsealed:
        console.write(
            f"{len(found.unsealed)} of them have no checksum, {found.unsealed[0]} first: a kit "
            "before 0.3.0 wrote them; they can be read, but not vouched for"
        )
    if found.damaged:
        rows = [(each.path, each.problem, each.remedy) for each in found.damaged]
        console.table("Damaged", ("file", "problem", "what to do"), rows)
        files = len({each.path for each in found.damaged})
        raise CheckError(f"{files} file{'s are' if files > 1 else ' is'} damaged")
    console.write("nothing is damaged")
