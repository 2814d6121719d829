"""The scenes that a cloud rule nearly keeps or nearly drops, and how all scenes lie to its limit.

In: `scenes.parquet`, and the rule that it was screened by. Out: counts for histograms, the rows of
the scenes that are nearest to the limit of Dataset-2 on both sides, and images in which their cloud
pixels are marked. Refused: a table that is missing or damaged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from kit.figures.grid import BRIGHTEN, thumbnail
from kit.figures.histogram import Histogram
from kit.figures.tint import resized
from kit.screening.rule import CloudRule, cloud_mask, grow
from kit.screening.table import RATIOS, dataset1, row_groups
from kit.tiles.netcdf import parse_file
from kit.tiles.reader import Reader

# Magenta is no colour of the ground or of clouds, and in brightness it lies between dark forest and
# white, so that it stands out from both for every eye; so does yellow from it.
TINT = (255, 0, 255)
PEAK = (255, 225, 0)
_TINTED = 0.5
KINDS = ("kept", "dropped")
# The ratios in a histogram: three bars a decade, and one for 0 left of them.
_DECADES, _BARS = 5, 3
_ZERO = (-_DECADES - 0.8, -_DECADES - 0.3)
_WHITE = 3000  # DN


@dataclass(slots=True)
class Statistics:
    """What is shown of all scenes, in memory that does not grow with them.

    `ratios` [bars, 2] and `peaks` [2001, 2] count kept and dropped scenes; `nearest` are the rows
    (cloud ratio, peak, row of the table) of both sides, nearest first.
    """

    max_cloud: float
    rows: int
    first: int = 0
    ratios: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((_DECADES * _BARS + 1, 2), np.int64)
    )
    peaks: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2001, 2), np.int64))
    nearest: list[NDArray[np.float64]] = field(default_factory=lambda: [np.empty((0, 3))] * 2)

    @classmethod
    def of(cls, table: Path, max_cloud: float, rows: int) -> "Statistics":
        """Those of `scenes.parquet`, with so many rows on each side.

        Raises:
            InputError: the table is missing or damaged.
        """
        found = cls(max_cloud, rows)
        for group in row_groups(table, [*RATIOS, "cloud_ratio", "peak"]):
            found.add(group)
        return found

    def add(self, group: pa.Table) -> None:
        """Count a part of the table."""
        rows = np.flatnonzero(dataset1(group))
        ratio, peak = (np.asarray(group[name])[rows] for name in ("cloud_ratio", "peak"))
        dropped = (ratio > self.max_cloud).astype(np.int64)
        np.add.at(self.ratios, (_bar(ratio), dropped), 1)
        np.add.at(self.peaks, (peak.astype(np.int64) + 1000, dropped), 1)
        found = np.column_stack((ratio, peak, rows + self.first))
        for side, sign in enumerate((-1, 1)):
            both = np.concatenate((self.nearest[side], found[dropped == side]))
            order = np.lexsort((both[:, 2], sign * both[:, 1], sign * both[:, 0]))
            self.nearest[side] = both[order[: self.rows]]
        self.first += len(group)

    def ratio_plot(self) -> Histogram:
        """The cloud ratios, 0 by itself and the others on a logarithmic axis."""
        edges = np.linspace(-_DECADES, 0, _DECADES * _BARS + 1)
        spans = np.array([_ZERO, *pairwise(edges)])
        ticks = [(sum(_ZERO) / 2, "0")]
        ticks += [(-n, f"{10.0**-n:.{n}f}") for n in range(_DECADES, -1, -1)]
        gap = (_ZERO[1] - _DECADES) / 2
        at = max(gap, np.log10(self.max_cloud)) if self.max_cloud > 0 else gap
        limit = (min(at, 0.0), f"max cloud {self.max_cloud:g}")
        return Histogram("scenes by cloud ratio", KINDS, spans, self.ratios, ticks, limit)

    def peak_plot(self, rule: CloudRule) -> Histogram:
        """The largest v - s, in bars that the threshold lies between."""
        step, limit = 20, rule.threshold_milli
        used = np.flatnonzero(self.peaks.sum(axis=1)) - 1000
        low = min([*used[:1], limit - 1, 0])
        edges = np.arange(limit - -(-(limit - low) // step) * step, 1000 + step, step)
        # A peak is rounded up, so that a bar has its right edge and not its left one.
        sums = np.concatenate((np.zeros((1, 2), np.int64), self.peaks.cumsum(axis=0)))
        below = sums[np.clip(edges + 1001, 0, 2001)]
        spans = np.array([*pairwise(edges / 1000)])
        ticks = [(n / 10, f"{n / 10:.1f}") for n in range(-10, 11) if edges[0] <= n * 100]
        mark = (rule.threshold, f"threshold {rule.threshold:g}")
        title = f"scenes by largest v - s, at scale {rule.scale}"
        return Histogram(title, KINDS, spans, np.diff(below, axis=0), ticks, mark)


def _bar(ratio: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bar of each ratio, its right edge included; less than the axis shows is in the first."""
    with np.errstate(divide="ignore"):
        bar = np.ceil((np.log10(ratio) + _DECADES) * _BARS)
    return np.where(ratio == 0, 0, np.clip(bar, 1, _DECADES * _BARS)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Near:
    """A scene near the limit: lines about it, and its image as it is and with its clouds marked.

    There are no images where it cannot be read any more.
    """

    label: tuple[str, ...]
    images: tuple[Image.Image, Image.Image] | None


def near_scenes(
    table: Path, ranked: NDArray[np.float64], rule: CloudRule, cell: int
) -> Iterator[Near]:
    """The scenes of one side, nearest first.

    Args:
        table: `scenes.parquet`.
        ranked: one of `Statistics.nearest`.
        rule: by which the table was screened.
        cell: pixels along the longer side of an image.

    Raises:
        InputError: the table is missing or damaged.
    """
    reader = Reader(1)
    for scene in _scene_rows(table, ranked[:, 2].astype(np.int64)):
        ratio, peak = scene["cloud_ratio"], scene["peak"]
        share = np.format_float_positional(ratio, precision=3, fractional=False, trim="-")
        label = (f"{scene['lon']}_{scene['lat']}", f"{scene['date']}", f"cloud {share}",
                 f"{round(ratio * scene['height'] * scene['width']):,} px",
                 f"v - s to {peak / 1000:.3f}")  # fmt: skip
        batches, errors = reader.read("Sentinel2", [[*map(parse_file, scene["paths"])]])
        if errors:
            yield Near((*label, "not readable now"), None)
            continue
        rgb = batches[0].pixels[0, :3]
        plain = thumbnail(rgb / (_WHITE * BRIGHTEN), cell)
        yield Near(label, (plain, _marked(plain, rgb, rule, peak)))


def _scene_rows(table: Path, wanted: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows of the table by number, in the order given."""
    columns = ["lon", "lat", "date", "paths", "height", "width", "cloud_ratio", "peak"]
    found: dict[int, dict[str, Any]] = {}
    first = 0
    for group in row_groups(table, columns):
        here = wanted[(wanted >= first) & (wanted < first + len(group))]
        found |= zip(here.tolist(), group.take(here - first).to_pylist(), strict=True)
        first += len(group)
    return [found[row] for row in wanted.tolist()]


def _marked(plain: Image.Image, rgb: NDArray[np.uint16], rule: CloudRule, peak: int) -> Image.Image:
    """The image with the cloud pixels of a scene [3, H, W] tinted, or its peak framed."""
    cloud = resized(cloud_mask(rgb, rule), plain.size)
    pixels = np.array(plain)
    if not cloud.any():
        below = replace(rule, threshold=max(peak - 1, -1000) / 1000, min_area=1, dilate=0)
        pixels[_frames(resized(cloud_mask(rgb, below), plain.size))] = PEAK
        return Image.fromarray(pixels)
    inner = ~grow(~cloud, 1)
    # What is near a large area needs no frame to be found.
    large = grow(~grow(~cloud, 2), 15)
    pixels[inner] = np.rint((1 - _TINTED) * pixels[inner] + _TINTED * np.array(TINT))
    pixels[cloud & ~inner | _frames(cloud & ~large) & ~cloud] = TINT
    return Image.fromarray(pixels)


def _frames(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A frame two pixels wide, six away from what is set."""
    return grow(mask, 7) & ~grow(mask, 5)
