"""Whether pixels are what they are taken for: dB of backscatter, and DN of surface reflectance.

In: counts of `kit.tiles.values`. Out: doubts, each of which says what was seen and what may be the
cause.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.doubt import Doubt, Units, settle
from kit.scaling import BACKSCATTER_FLOOR, DN_RANGE, VH_RANGE, VV_RANGE
from kit.tiles.optical_floats import AS
from kit.tiles.values import DARK, STRONG, VALUES

RANGES = "VV {:g}..{:g} dB, VH {:g}..{:g} dB, DN {:g}..{:g}".format(*VV_RANGE, *VH_RANGE, *DN_RANGE)
_OF = {"radar": "radar values", "optical": "values of optical scenes without cloud"}
_EIGHT_BITS = 255
_MOST = 0.9  # no city sends back so many values above 0 dB
_SOME = 0.05  # of scenes: fewer may be deserts, or cities
Counts = NDArray[np.int64]


def clipping(shares: Mapping[str, float]) -> str:
    """What networks do not tell apart, in words; `shares` are of the values by kind."""
    clipped = " and ".join(f"{share:.2%} of the {_OF[kind]}" for kind, share in shares.items())
    return f"networks see {RANGES}: that clips {clipped}"


class RadarWatch:
    """Looks at radar scenes as they come, so that impossible ones cost no more work.

    Args:
        where: what an error names.
        units: what becomes of what is impossible.
    """

    def __init__(self, where: str | Path, units: Units) -> None:
        self._where = where
        self._units = units
        self._rows: list[Counts] = []

    def add(self, row: Counts) -> None:
        """Take the counts [7] of one more scene in.

        Raises:
            InputError: what was seen so far is impossible.
        """
        self._rows.append(row)
        if len(self._rows).bit_count() == 1:  # 1, 2, 4, 8, ...
            doubts = radar_doubts(stack([row[None] for row in self._rows]))
            settle(self._where, [doubt for doubt in doubts if doubt.impossible], self._units)


def float_doubts(scenes: Mapping[str, int]) -> list[Doubt]:
    """What speaks against optical scenes of floats.

    Args:
        scenes: how many there are by the unit of their floats, "" where they hold none.
    """
    floats = {unit: number for unit, number in scenes.items() if unit and number}
    if not floats:
        return []
    problem = f"{sum(floats.values())} of {sum(scenes.values())} optical scenes hold floats"
    taken = " and ".join(f"{number} {AS[unit]}" for unit, number in sorted(floats.items()))
    return [
        Doubt(
            f"{problem} where tiles hold DN as uint16",
            "write DN, reflectance * 10000, as uint16",
            impossible=True,
            admit=f"or give --any-units, which reads {taken}",
            admitted=f"{problem}: read are {taken}",
        )
    ]


def radar_doubts(rows: Counts) -> list[Doubt]:
    """What speaks against dB in the counts [N, 7] of radar scenes."""
    values, low, high, strong, far = (_column(rows, name) for name in VALUES[:5])
    seen, total = int((values + far > 0).sum()), int((values + far).sum())
    if not total:
        return []
    if high.sum() > _MOST * total:
        negative = total - high.sum()
        share = (
            f"{negative / total:.1%} of the radar values are" if negative else "no radar value is"
        )
        problem = f"{share} negative, as dB of backscatter are"
        remedy = "convert linear power to dB, 10 * log10(power)"
        return [Doubt(problem, remedy, impossible=True)]
    if far.sum() > total / 4:
        problem = f"{far.sum() / total:.0%} of the radar values lie below {BACKSCATTER_FLOOR:g} dB"
        return [Doubt(problem, "divide dB that were multiplied by 10 or 100", impossible=True)]
    return [
        *_scenes(strong * 2 > values, seen, "radar", f"lie mostly above {STRONG:g} dB", "use dB"),
        *_scenes(
            far * 100 > values + far,
            seen,
            "radar",
            f"have values of many kinds below {BACKSCATTER_FLOOR:g} dB",
            "divide dB that were multiplied; declare fills as nodata",
        ),
        *_clipped(int(low.sum() + high.sum()), int(values.sum()), "radar"),
    ]


def optical_doubts(rows: Counts) -> list[Doubt]:
    """What speaks against DN in the counts [N, 7] of optical scenes that are free of clouds."""
    values, high, dark, brightest = (
        _column(rows, name) for name in ("values", "high", "dark", "brightest")
    )
    seen = int((values > 0).sum())
    if not seen:
        return []
    if brightest.max() <= _EIGHT_BITS:
        problem = f"no optical value is above {_EIGHT_BITS}: DN of reflectance are up to 10000"
        return [Doubt(problem, "write DN, reflectance * 10000", impossible=True)]
    moved = (values > 0) & (dark * 3000 < values)  # in fewer than 1 of 1000 pixels
    offset = _scenes(
        moved,
        seen,
        "cloudless optical",
        f"have no DN below {DARK}",
        "take off the offset of processing baseline 04.00, DN - 1000",
    )
    if moved.sum() <= seen * _SOME:
        offset = []
    return [*offset, *_clipped(int(high.sum()), int(values.sum()), "optical")]


def _column(rows: Counts, name: str) -> Counts:
    column: Counts = rows[:, VALUES.index(name)]
    return column


def _scenes(
    mask: NDArray[np.bool_], seen: int, kind: str, problem: str, remedy: str
) -> list[Doubt]:
    number = int(mask.sum())
    return [Doubt(f"{number} of {seen} {kind} scenes {problem}", remedy)] if number else []


def _clipped(outside: int, values: int, kind: str) -> list[Doubt]:
    if outside * 2 <= values:
        return []
    problem = f"{outside / values:.0%} of the {kind} values lie outside what networks see"
    return [Doubt(problem, f"they see {RANGES}")]


def stack(rows: Sequence[Counts]) -> Counts:
    """Counts of some calls as one array [N, 7]."""
    return np.concatenate([np.zeros((0, len(VALUES)), np.int64), *rows])
