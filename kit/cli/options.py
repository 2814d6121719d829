"""The options that several commands share, each with its one help text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Split(StrEnum):
    """How the hold-out is chosen."""

    blocks = "blocks"
    random = "random"


class Stretch(StrEnum):
    """What happens to the extremes of an image before it is sent."""

    keep = "keep"
    anchors = "anchors"


class Year(StrEnum):
    """Whose form a mapping of truths has."""

    y2022 = "2022"
    y2023 = "2023"


Json = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
Work = Annotated[Path, typer.Option(help="The folder of tables.")]
Runs = Annotated[Path, typer.Option(help="The folder of trained variants.")]
Predictions = Annotated[Path, typer.Option(help="The folder of predictions.")]
Window = Annotated[int, typer.Option(min=0, help="Days that radar and optical may lie apart.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides everything that is drawn at random.")]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="A folder of tiles, of sent1/ and sent2/, or one .nc file."
    ),
]
Scale = Annotated[int, typer.Option(help="Cloud rule: the DN that counts as full brightness.")]
Threshold = Annotated[
    float, typer.Option(help="Cloud rule: brightness less saturation above this is cloud.")
]
MinArea = Annotated[
    int, typer.Option(help="Cloud rule: areas of fewer pixels are roofs or rocks, not clouds.")
]
Dilate = Annotated[
    int, typer.Option(help="Cloud rule: pixels that a cloud reaches further; matters to ratios.")
]
MaxCloud = Annotated[
    float,
    typer.Option(min=0, max=1, help="Cloud ratio that Dataset-2 admits; roofs need a little."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field.")
]
Workers = Annotated[int, typer.Option(min=0, help="Threads that read ahead of the training.")]
Engines = Annotated[Path, typer.Option(help="The folder of built engines.")]
Backend = Annotated[
    str, typer.Option(metavar="NAME", help="What runs the generator: auto, or one of kit doctor's.")
]
Precision = Annotated[str, typer.Option(help="auto, int8, bfloat16, float16 or float32.")]
Tolerance = Annotated[
    float, typer.Option(min=0, help="Share of its MAE that an engine may change.")
]
Fallback = Annotated[
    bool, typer.Option("--fallback", help="Go on in a higher precision where one changes more.")
]
Submissions = Annotated[Path, typer.Option(help="The folder of archives.")]
Layout = Annotated[str, typer.Option(help="2022, 2023, plain, or a TOML file of your own.")]
Expected = Annotated[Path | None, typer.Option(help="The server's list of file names, as JSON.")]
