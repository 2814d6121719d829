"""The options that several files of commands share, each with its one help text."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Work = Annotated[Path, typer.Option(help="The folder of tables.")]
Runs = Annotated[Path, typer.Option(help="The folder of trained variants.")]
Predictions = Annotated[Path, typer.Option(help="The folder of predictions.")]
Submissions = Annotated[Path, typer.Option(help="The folder of archives.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say what each measure is.")]
Window = Annotated[int, typer.Option(min=0, help="Most days between radar and optical scene.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
