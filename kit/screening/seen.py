"""What values the screening has seen: whether they are dB and DN, and how many networks clip."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit.doubt import Doubt
from kit.screening.store import read_part
from kit.tiles.float16 import float16_doubts
from kit.tiles.units import Counts, float_doubts, optical_doubts, radar_doubts, stack
from kit.tiles.values import VALUES

_CLOUDS = ("qa60", "cloud")


@dataclass(frozen=True, slots=True)
class Seen:
    """The counts of `kit.tiles.values`, [N, 7], of radar scenes and of cloudless optical ones.

    `floats` are the numbers of optical scenes, cloudy ones too, by the unit that their floats are
    taken for; of scenes without floats that is "". `float16` are those of the scenes of
    each sensor whose floats have 16 bits.
    """

    radar: Counts
    optical: Counts
    floats: Counter[str]
    float16: Counter[str]

    @classmethod
    def of(cls, parts: Iterable[Path]) -> "Seen":
        """What is in parts of `kit.screening.store`.

        Raises:
            InputError: a part is damaged.
        """
        radar, optical = [], []
        floats: Counter[str] = Counter()
        float16: Counter[str] = Counter()
        for path in parts:
            part = read_part(path, ["sensor", "problem", "floats", "float16", *_CLOUDS, *VALUES])
            part = part.filter(pc.is_null(part["problem"]))
            is_radar = np.asarray(part["sensor"]) == "Sentinel1"
            cloudy = sum(np.asarray(part[name]) for name in _CLOUDS) > 0
            counts = _counts(part)
            radar.append(counts[is_radar])
            optical.append(counts[~is_radar & ~cloudy])
            floats.update(unit or "" for unit in part.filter(~is_radar)["floats"].to_pylist())
            float16.update(map(str, part.filter(part["float16"])["sensor"].to_pylist()))
        return cls(stack(radar), stack(optical), floats, float16)

    def doubts(self) -> list[Doubt]:
        """What speaks against dB and DN."""
        float16 = {
            "radar": (self.float16["Sentinel1"], len(self.radar)),
            "optical": (self.float16["Sentinel2"], self.floats.total()),
        }
        return [
            *float_doubts(self.floats),
            *radar_doubts(self.radar),
            *optical_doubts(self.optical),
            *float16_doubts(float16),
        ]

    def clipped(self) -> dict[str, float]:
        """The share of the values of each kind that lie outside the ranges of networks."""
        return {
            kind: float((totals["low"] + totals["high"]) / max(totals["values"], 1))
            for kind, rows in (("radar", self.radar), ("optical", self.optical))
            for totals in [dict(zip(VALUES, rows.sum(axis=0).tolist(), strict=True))]
        }


def _counts(part: pa.Table) -> Counts:
    return np.stack([np.asarray(part[name]) for name in VALUES], axis=1)
