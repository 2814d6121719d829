"""Images in a terminal: two pixels in each character, one above the other.

In: rows of panels, and the characters of a line. Out: what rich prints, with a title above each.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from kit.figures.grid import fitted_size
from kit.figures.panels import Panel
from kit.plain_text import printable

_HALF = "▀"
_GAP = 2
_LEAST, _MOST = 12, 48  # characters along a side of an image


def draw_picture(rows: Sequence[Sequence[Panel | None]], width: int) -> Text:
    """The panels row by row, as large as the longest row lets them be."""
    across = max(map(len, rows), default=1)
    cell = min(_MOST, max(_LEAST, (width + _GAP) // across - _GAP))
    fit = max(1, (width + _GAP) // (cell + _GAP))
    picture = Text(no_wrap=True, overflow="crop")
    for row in rows:
        for at in range(0, len(row), fit):
            picture.append_text(_row(row[at : at + fit], cell))
    return picture


def _row(panels: Sequence[Panel | None], cell: int) -> Text:
    gap = " " * _GAP
    titles = [printable(panel.title if panel else "")[:cell].ljust(cell) for panel in panels]
    text = Text(gap.join(titles).rstrip() + "\n", style="bold")
    lines = [_lines(panel.image, cell) if panel else [] for panel in panels]
    for number in range(max(map(len, lines))):
        parts = [each[number] if number < len(each) else Text(" " * cell) for each in lines]
        text.append_text(Text(gap).join(parts))
        text.append("\n")
    return text


def _lines(image: Image.Image, cell: int) -> list[Text]:
    width, height = fitted_size(image, cell)
    pixels = np.asarray(image.resize((width, height + height % 2), Image.Resampling.BOX))
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        line = Text()
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
            line.append(_HALF, style)
        lines.append(line.append(" " * (cell - width)))
    return lines
