"""Rows of a report for images of one colour, which every prediction has to beat.

In: the colours of a training. Out: their images. And the rows of a report without the scores that
mean nothing: images in the server's space, as the stretched colour is, have no MAE and no PSNR in
another.
"""

import dataclasses
import math
from collections.abc import Callable, Collection

import numpy as np

from kit.anchors import anchor
from kit.colors import MEAN_COLOR, MEDIAN_COLOR, STRETCHED_COLOR, Color, Colors
from kit.metrics import Scores
from kit.scaling import quantize
from kit.scoring.images import Image, ImageScore
from kit.scoring.report import Row


def constants(colors: Colors) -> dict[str, Callable[[str, Image], Image]]:
    """From an image's name and an image of its size to one of one colour, for each that is known.

    The stretched one has anchors, as without them the server would see black.
    """
    plain = {MEAN_COLOR: colors.mean, MEDIAN_COLOR: colors.median}
    found = {name: _of_one(color) for name, color in plain.items() if color}
    if colors.stretched:
        stretched = _of_one(colors.stretched)
        found[STRETCHED_COLOR] = lambda name, image: anchor(quantize(stretched(name, image)))
    return found


def _of_one(color: Color) -> Callable[[str, Image], Image]:
    values = np.asarray(color, np.float64)[:, None, None]
    return lambda name, image: np.broadcast_to(values, image.shape)


def row_with_meaning(row: Row, elsewhere: Collection[str]) -> Row:
    """The row, with NaN for scores that mean nothing.

    Args:
        row: the row.
        elsewhere: the names of more rows whose images are in another space than all others.
    """
    if row.name not in (STRETCHED_COLOR, *elsewhere):
        return row
    nothing = dict.fromkeys(row.scores.others, math.nan)
    scores = Scores(math.nan, math.nan, math.nan, math.nan, row.scores.n, nothing)
    return dataclasses.replace(row, scores=scores)


def image_with_meaning(image: ImageScore, elsewhere: Collection[str]) -> ImageScore:
    """The same for the errors of an image."""
    if image.row not in (STRETCHED_COLOR, *elsewhere):
        return image
    return dataclasses.replace(image, errors=dict.fromkeys(image.errors, math.nan))
