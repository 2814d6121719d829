"""The screened scenes -> an image by which to choose the cloud rule.

In: `scenes.parquet` as `kit.screening.screen` wrote it, and the rule that it was screened by. Out:
a PNG with the histograms of all scenes of Dataset-1, and below them those that lie nearest to the
limit of Dataset-2 on both sides, with their cloud pixels tinted. A scene that cannot be read any
more is named and black. Refused: a table that is missing or damaged.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kit.figures.grid import BRIGHTEN, grid, thumbnail, write_image
from kit.figures.histogram import Histogram
from kit.figures.tint import resized
from kit.screening.rule import CloudRule, cloud_mask, grow
from kit.screening.table import RATIOS, dataset1, row_groups
from kit.tiles.netcdf import parse_file
from kit.tiles.reader import Reader

CELL = 256
# Magenta is no colour of the ground or of clouds, and in brightness it lies between dark forest and
# white, so that it stands out from both for every eye; so does yellow from it.
TINT = (255, 0, 255)
PEAK = (255, 225, 0)
_TINTED = 0.5
_WHITE = 3000  # DN
_HEAD, _PLOT, _SPACE = 56, 250, 16
_WHAT = (
    "a pixel is cloud where v - s exceeds the threshold: brightness v is the largest of red, green "
    "and blue over the scale, saturation s is (largest - smallest) / largest"
)
_KINDS = ("kept", "dropped")
# The ratios in a histogram: three bars a decade, and one for 0 left of them.
_DECADES, _BARS = 5, 3
_ZERO = (-_DECADES - 0.8, -_DECADES - 0.3)


def write_sheet(
    table: Path, rule: CloudRule, max_cloud: float, path: Path, *, rows: int = 6
) -> Path:
    """Draw the scenes of Dataset-1: histograms, and those nearest to the limit on both sides.

    Of the kept scenes these have the highest cloud ratio, and among equal ones the highest v - s;
    of the dropped ones the lowest. Each is shown as it is and with its cloud pixels tinted in
    `TINT`; a few pixels by themselves have a frame around them. Where there is no cloud pixel, a
    frame in `PEAK` is where v - s is largest.

    Args:
        table: `scenes.parquet`.
        rule: by which the table was screened.
        max_cloud: the largest heuristic cloud ratio that Dataset-2 admits.
        path: the PNG or JPEG to write.
        rows: scenes on each side.

    Returns:
        `path`.

    Raises:
        InputError: the table is missing or damaged.
        OutputError: the image cannot be written.
    """
    statistics = _Statistics(max_cloud, rows)
    for group in row_groups(table, [*RATIOS, "cloud_ratio", "peak"]):
        statistics.add(group)
    sides = [
        _side(table, ranked, rule, kind)
        for kind, ranked in zip(_KINDS, statistics.nearest, strict=True)
    ]
    width = sum(side.width for side in sides) + _SPACE
    plots = [
        plot.draw(width // 2, _PLOT)
        for plot in (statistics.ratio_plot(), statistics.peak_plot(rule))
    ]
    height = _HEAD + _PLOT + max(side.height for side in sides)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    kept, scenes = int(statistics.ratios[:, 0].sum()), int(statistics.ratios.sum())
    words = f"{kept:,} of {scenes:,} scenes without nodata and QA60 cloud are kept by threshold "
    words += f"{rule.threshold:g}, scale {rule.scale}, min area {rule.min_area}, "
    words += f"dilate {rule.dilate}, max cloud {max_cloud:g}"
    font = ImageFont.load_default(size=15)
    for line, text in enumerate((words, _WHAT)):
        place = (8, _HEAD * (1 + 2 * line) / 4)
        ImageDraw.Draw(image).text(place, text, (0, 0, 0), font, anchor="lm")
    for x, plot in zip((0, width // 2), plots, strict=True):
        image.paste(plot, (x, _HEAD))
    for x, side in zip((0, sides[0].width + _SPACE), sides, strict=True):
        image.paste(side, (x, _HEAD + _PLOT))
    return write_image(image, path)


@dataclass(slots=True)
class _Statistics:
    """What a sheet shows of all scenes, in memory that does not grow with them.

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
        return Histogram("scenes by cloud ratio", _KINDS, spans, self.ratios, ticks, limit)

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
        return Histogram(title, _KINDS, spans, np.diff(below, axis=0), ticks, mark)


def _bar(ratio: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bar of each ratio, its right edge included; less than the axis shows is in the first."""
    with np.errstate(divide="ignore"):
        bar = np.ceil((np.log10(ratio) + _DECADES) * _BARS)
    return np.where(ratio == 0, 0, np.clip(bar, 1, _DECADES * _BARS)).astype(np.int64)


def _side(table: Path, ranked: NDArray[np.float64], rule: CloudRule, kind: str) -> Image.Image:
    """The scenes of one side, one below the other."""
    rows, labels = [], []
    reader = Reader(1)
    for scene in _scenes(table, ranked[:, 2].astype(np.int64)):
        ratio, peak = scene["cloud_ratio"], scene["peak"]
        share = np.format_float_positional(ratio, precision=3, fractional=False, trim="-")
        label = [f"{scene['lon']}_{scene['lat']}", f"{scene['date']}", f"cloud {share}",
                 f"{round(ratio * scene['height'] * scene['width']):,} px",
                 f"v - s to {peak / 1000:.3f}"]  # fmt: skip
        batches, errors = reader.read("Sentinel2", [[*map(parse_file, scene["paths"])]])
        if errors:
            label.append("not readable now")
            rows.append([Image.new("RGB", (CELL, CELL))] * 2)
        else:
            rgb = batches[0].pixels[0, :3]
            plain = thumbnail(rgb / (_WHITE * BRIGHTEN), CELL)
            rows.append([plain, _marked(plain, rgb, rule, peak)])
        labels.append("\n".join(label))
    title = f"{kind}, nearest first" if rows else f"none {kind}"
    return grid(rows, [title, "tinted: cloud; yellow: largest v - s"], labels, CELL)


def _scenes(table: Path, wanted: NDArray[np.int64]) -> list[dict[str, Any]]:
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
