"""The screened scenes -> an image by which to choose the cloud rule.

In: `scenes.parquet` as `kit.screening.screen` wrote it, and the rule that it was screened by. Out:
a PNG with the histograms of all scenes of Dataset-1, and below them those that lie nearest to the
limit of Dataset-2 on both sides, with their cloud pixels tinted. A scene that cannot be read any
more is named and black. Refused: a table that is missing or damaged.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kit.figures.grid import grid, write_image
from kit.screening.near_limit import KINDS, Statistics, near_scenes
from kit.screening.rule import CloudRule

CELL = 256
_HEAD, _PLOT, _SPACE = 56, 250, 16
_WHAT = (
    "a pixel is cloud where v - s exceeds the threshold: brightness v is the largest of red, green "
    "and blue over the scale, saturation s is (largest - smallest) / largest"
)


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
        max_cloud: the largest cloud ratio by the rule that Dataset-2 admits.
        path: the PNG or JPEG to write.
        rows: scenes on each side.

    Returns:
        `path`.

    Raises:
        InputError: the table is missing or damaged.
        OutputError: the image cannot be written.
    """
    statistics = Statistics.of(table, max_cloud, rows)
    sides = [
        _side(table, ranked, rule, kind)
        for kind, ranked in zip(KINDS, statistics.nearest, strict=True)
    ]
    width = sum(side.width for side in sides) + _SPACE
    plots = [
        plot.draw(width // 2, _PLOT)
        for plot in (statistics.ratio_plot(), statistics.peak_plot(rule))
    ]
    height = _HEAD + _PLOT + max(side.height for side in sides)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    kept, scenes = int(statistics.ratios[:, 0].sum()), int(statistics.ratios.sum())
    words = f"{kept:,} of {scenes:,} scenes without nodata and QA60 cloud are kept by "
    words += f"{rule.text}, max cloud {max_cloud:g}"
    font = ImageFont.load_default(size=15)
    for line, text in enumerate((words, _WHAT)):
        place = (8, _HEAD * (1 + 2 * line) / 4)
        ImageDraw.Draw(image).text(place, text, (0, 0, 0), font, anchor="lm")
    for x, plot in zip((0, width // 2), plots, strict=True):
        image.paste(plot, (x, _HEAD))
    for x, side in zip((0, sides[0].width + _SPACE), sides, strict=True):
        image.paste(side, (x, _HEAD + _PLOT))
    return write_image(image, path)


def _side(table: Path, ranked: NDArray[np.float64], rule: CloudRule, kind: str) -> Image.Image:
    """The scenes of one side, one below the other."""
    black = (Image.new("RGB", (CELL, CELL)),) * 2
    scenes = [*near_scenes(table, ranked, rule, CELL)]
    title = f"{kind}, nearest first" if scenes else f"none {kind}"
    rows = [scene.images or black for scene in scenes]
    labels = ["\n".join(scene.label) for scene in scenes]
    return grid(rows, [title, "tinted: cloud; yellow: largest v - s"], labels, CELL)
