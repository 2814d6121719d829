"""The options of commands that predict: which engine, how many views; and an engine in words."""

from pathlib import Path
from typing import Annotated, Any

import typer

Engines = Annotated[Path, typer.Option(help="The folder of built engines.")]
Backend = Annotated[
    str, typer.Option(metavar="NAME", help="auto, or a backend that kit doctor lists.")
]
Precision = Annotated[str, typer.Option(help="auto, int8, bfloat16, float16 or float32.")]
Tolerance = Annotated[
    float, typer.Option(min=0, help="Largest change of the MAE by an engine, as a share of it.")
]
Fallback = Annotated[
    bool, typer.Option("--fallback", help="Use a higher precision if one exceeds the tolerance.")
]
Flips = Annotated[
    int,
    typer.Option(
        metavar="N", help="Test-time augmentation: average over 4 flips, or 8 flips and turns."
    ),
]


def engine_text(described: dict[str, Any]) -> str:
    """An engine in a few words, of what `Engine.describe` says."""
    precision = described.get("precision")
    return f"{described['name']} in {precision}" if precision else str(described["name"])
