"""Images with a title each -> one picture, row by row.

In: rows of panels, of any number each. Out: an image in memory. Other than in `kit.figures.grid`,
every image has a title of its own, and a line of detail below that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_GAP, _MARGIN = 10, 12
_TEXT, _LINE, _HEADING = 13, 17, 16
_PAPER, _INK, _PALE = (255, 255, 255), (0, 0, 0), (96, 96, 96)


@dataclass(frozen=True, slots=True)
class Panel:
    """An image, what it is, and a few words more."""

    title: str
    image: Image.Image
    detail: str = ""


def draw_panels(
    heading: Sequence[str], rows: Sequence[Sequence[Panel | None]], cell: int
) -> Image.Image:
    """The picture of rows of panels; None leaves its place in the row empty.

    Args:
        heading: lines above everything, the first of them larger.
        rows: the panels, whose images fit into a square of `cell` pixels.
        cell: pixels along a side of a panel.
    """
    large, font = (ImageFont.load_default(size=size) for size in (_HEADING, _TEXT))
    columns = max(map(len, rows), default=1)
    words = max((font.getlength(line) for line in heading), default=0)
    width = max(columns * (cell + _GAP) - _GAP, round(words * 1.25)) + 2 * _MARGIN
    top = _MARGIN + (_LINE + 4) * len(heading)
    step = 2 * _LINE + cell + _GAP
    picture = Image.new("RGB", (width, top + step * len(rows) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(heading):
        draw.text((_MARGIN, _MARGIN + (_LINE + 4) * number), line, _INK, font if number else large)
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            if panel is None:
                continue
            left, above = _MARGIN + x * (cell + _GAP), top + y * step
            draw.text((left, above), _fitting(panel.title, font, cell), _INK, font)
            draw.text((left, above + _LINE), _fitting(panel.detail, font, cell), _PALE, font)
            picture.paste(panel.image, (left, above + 2 * _LINE))
    return picture


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, or what of it fits into so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
