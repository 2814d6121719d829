"""The options of kit screen, prepare and compete that say what is a cloud."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kit.screening.detector import Detector, On
from kit.screening.rule import CloudRule

RULE = CloudRule()

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A folder of tiles, one with sent1/ and sent2/, one .nc file, or with kit prepare a "
        "folder of another layout.",
    ),
]
Scale = Annotated[int, typer.Option(help="Cloud rule: the DN that counts as full brightness.")]
Threshold = Annotated[
    float,
    typer.Option(help="Cloud rule: a pixel is cloud if brightness minus saturation exceeds this."),
]
MinArea = Annotated[
    int, typer.Option(help="Cloud rule: areas of fewer pixels count as roofs or rocks, not clouds.")
]
Dilate = Annotated[
    int, typer.Option(help="Cloud rule: grow each cloud by this many pixels; changes ratios only.")
]
MaxCloud = Annotated[
    float, typer.Option(min=0, max=1, help="Largest cloud ratio that Dataset-2 admits.")
]
DetectorOption = Annotated[
    Literal["ukis"] | None,
    typer.Option(
        "--detector",
        help="A second look at clouds and their shadows, by ukis-csmask beside the rule.",
    ),
]
DetectorOnOption = Annotated[
    On | None,
    typer.Option(
        "--detector-on",
        help="passed, the default: what the rule passes must pass the detector too. dropped: what "
        "the rule drops is admitted where the detector finds it clear. all: both.",
    ),
]


def detector_of(name: Literal["ukis"] | None, on: On | None) -> Detector | None:
    """The detector that two options ask for."""
    if name is None:
        if on is not None:
            raise typer.BadParameter("--detector-on needs --detector")
        return None
    return Detector(name, on or "passed")
