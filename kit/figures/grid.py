"""Images -> one labelled grid.

In: rows of images in [0, 1], grey [H, W] or colour [3, H, W], the titles of the columns and the
labels of the rows. Out: an image file, written completely or not at all; or its pieces, for an
image that holds more than one grid. Refused: rows and labels, or images and titles, that do not
match; an image of another shape; a name of another format than PNG and JPEG.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from kit.errors import InputError
from kit.storage.files import output

BRIGHTEN = 2.0
_GAP = 4
_TEXT, _LINE = 13, 17
_TOP = _TEXT + 2 * _GAP
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", "": "PNG"}
_QUALITY = 92  # of JPEG
_PAPER, _INK = (255, 255, 255), (0, 0, 0)
_ABOUT = "kit"  # the text in a PNG that says how its grid is made up
_REMEDY = "the next validation or the same command writes one"


def write_grid(
    rows: Sequence[Sequence[NDArray[np.generic]]],
    columns: Sequence[str],
    labels: Sequence[str],
    path: Path,
    *,
    cell: int = 160,
) -> Path:
    """Draw a grid of images, titles above it and labels to its left.

    Args:
        rows: the images of each row, from left to right: [H, W] is shown grey as it is,
            [3, H, W] in colour as `display` brightens it. Values are in [0, 1]; NaN is black.
        columns: the title of each column.
        labels: the label of each row.
        path: the PNG or JPEG to write.
        cell: pixels along the longer side of each image in the grid.

    Returns:
        `path`.

    Raises:
        InputError: the suffix of `path` is of no format that is written.
        ValueError: counts differ, or an image is neither [H, W] nor [3, H, W].
    """
    thumbnails = [[thumbnail(image, cell) for image in row] for row in rows]
    image = grid(thumbnails, columns, labels, cell)
    left, _, down = _steps(labels, cell)
    image.info[_ABOUT] = json.dumps(
        {"columns": [*columns], "labels": [*labels], "cell": cell, "left": left, "down": down}
    )
    return write_image(image, path)


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid that was written as PNG, taken apart again: images by rows, as they were shown."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[tuple[Image.Image, ...], ...]


def read_grid(path: Path) -> Grid | None:
    """The grid in a PNG of `write_grid`; None where it does not say how it is made up.

    Those of kits before 0.5.0 do not.

    Raises:
        InputError: the file is missing or no intact image.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            image, text = opened.convert("RGB"), opened.info.get(_ABOUT)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(path, f"not readable as an image ({error})", remedy=_REMEDY) from None
    try:
        about = json.loads(text or "")
        columns, labels = (tuple(map(str, about[name])) for name in ("columns", "labels"))
        cell, left, down = (int(about[name]) for name in ("cell", "left", "down"))
    except (KeyError, TypeError, ValueError):
        return None
    rows = []
    for y in range(len(labels)):
        corners = [(left + (cell + _GAP) * x, _TOP + down * y) for x in range(len(columns))]
        rows.append(tuple(image.crop((x, y, x + cell, y + cell)) for x, y in corners))
    return Grid(columns, labels, tuple(rows))


def grid(
    rows: Sequence[Sequence[Image.Image]], columns: Sequence[str], labels: Sequence[str], cell: int
) -> Image.Image:
    """The grid that `write_grid` writes, of images that fit into `cell`; a label may have lines.

    Raises:
        ValueError: counts differ.
    """
    if len(rows) != len(labels) or any(len(row) != len(columns) for row in rows):
        shape = f"{len(labels)} labels and {len(columns)} titles"
        raise ValueError(f"the images do not fill a grid of {shape}")
    font = ImageFont.load_default(size=_TEXT)
    left, step, down = _steps(labels, cell)
    top = _TOP
    sheet = Image.new("RGB", (left + step * len(columns), top + down * len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, title in enumerate(columns):
        draw.text((left + step * x + cell / 2, top / 2), title, _INK, font, anchor="mm")
    for y, (label, row) in enumerate(zip(labels, rows, strict=True)):
        draw.text((_GAP, top + down * y + (down - _GAP) / 2), label, _INK, font, anchor="lm")
        for x, image in enumerate(row):
            sheet.paste(image, (left + step * x, top + down * y))
    return sheet


def _steps(labels: Sequence[str], cell: int) -> tuple[int, int, int]:
    """Pixels to the left of the first column, and from each column and row to the next."""
    font = ImageFont.load_default(size=_TEXT)
    lines = [line for label in labels for line in label.split("\n")]
    left = _GAP + round(max(map(font.getlength, lines), default=0)) + _GAP
    # A label of many lines needs more room than a small image.
    most = max((label.count("\n") for label in labels), default=0)
    return left, cell + _GAP, max(cell, _LINE * (most + 1) * (most > 0)) + _GAP


def check_format(path: Path) -> str:
    """The format of an image of this name, by its suffix; PNG where it has none.

    Raises:
        InputError: the suffix is of no format that is written.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        known = ", ".join(filter(None, _FORMATS))
        raise InputError(path, f"{suffix} is no format of a sheet", remedy=f"known are {known}")
    return _FORMATS[suffix]


def write_image(image: Image.Image, path: Path) -> Path:
    """Write an image, completely or not at all, in the format that its name asks for.

    Raises:
        InputError: the suffix is of no format that is written.
    """
    data = io.BytesIO()
    about = PngInfo()
    if _ABOUT in image.info:
        about.add_text(_ABOUT, image.info[_ABOUT])
    image.save(data, check_format(path), quality=_QUALITY, pnginfo=about)
    with output(path) as part:
        part.write_bytes(data.getvalue())
    return path


def display(rgb: NDArray[np.generic]) -> NDArray[np.float64]:
    """Reflectance in [0, 1] as it is shown: times `BRIGHTEN`, clipped.

    Forest is dark: half of the range holds all but clouds, and the factor never depends on the
    image, so that the images of one sheet, and of two, can be compared.
    """
    return np.clip(rgb.astype(np.float64) * BRIGHTEN, 0, 1)


def thumbnail(image: NDArray[np.generic], cell: int) -> Image.Image:
    """An image as a grid shows it, `cell` pixels along its longer side.

    Raises:
        ValueError: it is neither [H, W] nor [3, H, W].
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and len(image) != 3):
        raise ValueError(f"an image is {image.shape}, neither [H, W] nor [3, H, W]")
    values = display(image).transpose(1, 2, 0) if image.ndim == 3 else np.clip(image, 0, 1)
    small = Image.fromarray(np.rint(np.nan_to_num(values) * 255).astype(np.uint8))
    return fitted(small, cell).convert("RGB")


def fitted(image: Image.Image, cell: int) -> Image.Image:
    """An image in a size of `cell` pixels along its longer side."""
    # A box averages where it shrinks an image, and repeats pixels where it enlarges one.
    return image.resize(fitted_size(image, cell), Image.Resampling.BOX)


def fitted_size(image: Image.Image, cell: int) -> tuple[int, int]:
    """The width and height of an image whose longer side is made `cell` pixels."""
    scale = cell / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return width, height
