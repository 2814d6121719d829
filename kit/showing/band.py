"""One band of a scene in numbers: how its values are distributed, and how many networks clip."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.figures.distribution import Color, Distribution
from kit.scaling import DN_RANGE, VH_RANGE, VV_RANGE

_PERCENTILES = (0, 1, 50, 99, 100)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a band measures: its unit, the range that networks are given, and the axis of a plot."""

    unit: str
    clipped: tuple[float, float]
    axis: tuple[float, float]
    color: Color


KINDS = {
    "VV": Kind("dB", VV_RANGE, (-40.0, 10.0), (0, 114, 178)),
    "VH": Kind("dB", VH_RANGE, (-45.0, 5.0), (0, 114, 178)),
    "B4": Kind("DN", DN_RANGE, (0.0, 4500.0), (190, 30, 45)),
    "B3": Kind("DN", DN_RANGE, (0.0, 4500.0), (20, 130, 60)),
    "B2": Kind("DN", DN_RANGE, (0.0, 4500.0), (40, 80, 200)),
}


@dataclass(frozen=True, slots=True)
class Band:
    """A band's values that are measurements, [N], in dB or DN."""

    name: str
    values: NDArray[np.floating] | NDArray[np.uint16]

    @property
    def kind(self) -> Kind:
        """What it measures."""
        return KINDS[self.name]

    @property
    def percentiles(self) -> tuple[float, ...]:
        """The least value, the 1st, 50th and 99th percentile, and the largest; empty of none."""
        if not self.values.size:
            return ()
        return tuple(map(float, np.percentile(self.values, _PERCENTILES)))

    @property
    def clipped(self) -> float:
        """The share of the values that lie outside the range that networks are given."""
        low, high = self.kind.clipped
        outside = (self.values < low) | (self.values > high)
        return float(outside.mean()) if outside.size else 0.0

    def as_dict(self) -> dict[str, object]:
        """The numbers by their names."""
        names = ("least", "p1", "median", "p99", "largest")
        numbers = self.percentiles or (None,) * len(names)
        return {
            "band": self.name,
            "unit": self.kind.unit,
            "values": int(self.values.size),
            **dict(zip(names, numbers, strict=True)),
            "clipped": self.clipped,
        }


def distribution(*bands: Band) -> Distribution:
    """How the values of bands of one kind are distributed."""
    kind = bands[0].kind
    return Distribution([(band.values, band.kind.color) for band in bands], kind.axis, kind.clipped)
