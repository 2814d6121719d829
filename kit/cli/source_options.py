"""The options that say what the files of a folder are, and in which units."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.sources.convert import Wanted


class Radar(StrEnum):
    """The unit of radar pixels."""

    dB = "dB"
    power = "power"
    picture = "picture"


class Optical(StrEnum):
    """The unit of optical pixels."""

    DN = "DN"
    reflectance = "reflectance"
    percent = "percent"
    picture = "picture"


Source = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The layout of the folder: multiearth, pairs, sen12ms, bigearthnet, or a TOML file "
        "of your own; found out by looking if it is not given.",
    ),
]
RadarUnit = Annotated[
    Radar | None,
    typer.Option(help="What radar pixels are, if not what the source says. power is linear."),
]
OpticalUnit = Annotated[
    Optical | None,
    typer.Option(help="What optical pixels are, if not what the source says. reflectance is 0..1."),
]
_RANGE = "that networks see as their whole range, in {}: LOW,HIGH, or measured."
VvRange = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Values of VV " + _RANGE.format("dB"))
]
VhRange = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Values of VH " + _RANGE.format("dB"))
]
DnRange = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Optical values " + _RANGE.format("DN"))
]


def wanted_units(
    radar: Radar | None,
    optical: Optical | None,
    vv_range: str | None,
    vh_range: str | None,
    dn_range: str | None,
) -> "Wanted":
    """What the options say of units; raises InputError where a range is none."""
    from kit.sources.convert import Wanted
    from kit.sources.units import parse_range

    texts = {"VV": vv_range, "VH": vh_range, "DN": dn_range}
    ranges = {
        band: parse_range("--" + ("dn" if band == "DN" else band.lower()) + "-range", text)
        for band, text in texts.items()
        if text is not None
    }
    return Wanted(radar and radar.value, optical and optical.value, ranges)
