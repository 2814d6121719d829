"""Tables for terminals of any width: words are folded, numbers never.

In: titles, cells as text, and the width. Out: a grid; or where not even its numbers fit on a line,
a list with a line for each cell.
"""

import textwrap
from collections.abc import Sequence

from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

Rows = Sequence[Sequence[str]]

_NUMBER, _WORD = 20, 12  # characters up to which a word with a digit, or without, is not broken
_FRAME = 3  # characters that the frame adds to each column, and one more at the end


def fitted_table(title: str, titles: Sequence[str], rows: Rows, width: int) -> RenderableType:
    """The table in at most `width` characters: text to the left, numbers to the right."""
    columns = [(name, *(row[index] for row in rows)) for index, name in enumerate(titles)]
    widths = _widths(columns, width - 1 - _FRAME * len(columns))
    if widths is None:
        return _list(title, titles, rows, width)
    grid = Table(title=title, title_justify="left", title_style="bold")
    for (name, *cells), characters in zip(columns, widths, strict=True):
        numbers = bool(cells) and all(map(_is_number, cells))
        justify: JustifyMethod = "right" if numbers else "left"
        grid.add_column(name, justify=justify, overflow="fold", width=characters)
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """The characters of each column, the widest narrowed until all fit; None if they cannot."""
    widths = [max(map(len, column)) for column in columns]
    words = [[word for cell in column for word in cell.split()] for column in columns]
    least = [max(map(_unbroken, column), default=0) for column in words]
    for _ in range(sum(widths) - room):
        spare = [(size, index) for index, size in enumerate(widths) if size > least[index]]
        if not spare:
            return None
        widths[max(spare)[1]] -= 1
    return widths


def _unbroken(word: str) -> int:
    """The characters of a word that must stay on one line, at least."""
    longest = _NUMBER if any(map(str.isdigit, word)) else _WORD
    return len(word) if len(word) <= longest else _WORD


def _list(title: str, titles: Sequence[str], rows: Rows, width: int) -> Text:
    lines = [title]
    for row in rows:
        lines.append("")
        for name, cell in zip(titles, row, strict=True):
            if cell:
                line = f"{name}: {cell}" if name else cell
                lines += textwrap.wrap(
                    line, max(width, _NUMBER), subsequent_indent="  ", break_on_hyphens=False
                )
    return Text("\n".join(lines))


def _is_number(cell: str) -> bool:
    text = cell.replace(",", "").replace("%", "").strip()
    return text in ("", "-") or text.lstrip("+-").replace(".", "", 1).isdigit()
