"""kit import and export: weights from and for the published code."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Overwrite, Quiet, Runs, Work
from kit.storage.files import RUNS, WORK

if TYPE_CHECKING:
    from kit.training.import_weights import Imported

app = typer.Typer()


@app.command("import", epilog="Example: kit import latest_net_G.pth --as mine")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A generator's state dict.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The run to make of it.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="What weights do not show, such as depth=more."
        ),
    ] = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Import a generator that SPADE's or pix2pixHD's code trained."""
    from kit.training.import_weights import import_weights

    emit = console.start(json, quiet)
    made = import_weights(
        file, name, settings=settings or (), work=work, runs=runs, overwrite=overwrite
    )
    emit(asdict(made))
    _show_imported(made)


def _show_imported(made: "Imported") -> None:
    variant, color = made.variant, ", ".join(f"{each:.4f}" for each in made.mean_color)
    network = f"{variant.model}, width {variant.width}, depth {variant.depth}, norm {variant.norm}"
    console.write(f"{made.weights}: {network}; mean colour of the pairs {color}")
    name = variant.name
    console.write(f"next: kit validate {name}, or kit predict --ensemble {name} --input TEST")


@app.command(epilog="Example: kit export spade4 exported")
def export(
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="A trained variant.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")],
    runs: Runs = RUNS,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a variant's networks for SPADE's or pix2pixHD's code."""
    from kit.training.export_weights import export_weights

    emit = console.start(json, quiet)
    made = export_weights(variant, folder, runs=runs, overwrite=overwrite)
    emit(asdict(made))
    console.write(f"{folder}: {', '.join(file.name for file in made.files)}")
