"""Weights meet tiles of other units than those they were trained on only if the user says so.

In: weights, and the units of tiles. Refused: units that differ, unless they are admitted.
"""

from collections.abc import Iterable
from pathlib import Path

from kit.doubt import Units
from kit.errors import InputError
from kit.progress import Report
from kit.runs.weights import Weights
from kit.units_record import UnitsRecord, units_apart


def check_units(
    weights: Iterable[Weights],
    tiles: UnitsRecord,
    data: Path,
    units: Units,
    report: Report,
    *,
    option: bool = True,
    images: bool = False,
) -> None:
    """Compare the units of tiles with those of the tiles that weights were trained on.

    Args:
        weights: of all members.
        tiles: a record of `kit.sources.units`; None for dB and DN.
        data: the tiles, for the error.
        units: "any" admits units that differ, and reports them.
        report: takes a line for each member whose units differ.
        option: whether the command has an option that admits units that differ.
        images: whether they are still to become tiles, by a unit that the command can be given.

    Raises:
        InputError: units differ, and are not admitted.
    """
    for each in weights:
        if each.units == tiles:
            continue
        held, trained = units_apart(tiles, each.units)
        problem = f"holds {held}, and {each.variant.name} was trained on {trained}"
        if units != "any":
            remedy = "prepare both with the same units and ranges"
            if images:
                unit = (each.units or {"radar": "dB"})["radar"]
                remedy = f"give --radar-unit {unit}, if that is what it holds"
            if option:
                remedy += ", or give --any-units, which takes the numbers as they are"
            raise InputError(data, problem, remedy=remedy)
        report(f"{data} {problem}")
