"""What a section of a report consists of: values, of which a template makes the page.

In: numbers and texts, and images as `data:` URIs. Out: frozen values; how they look is said by the
template and its style alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Tone = Literal[
    "ink", "muted", "train", "holdout", "buffer", "test", "bad",
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7",
]  # fmt: skip
"""A colour by what it means; the style gives it for light and for dark. `s0` to `s7` are series."""
SERIES: tuple[Tone, ...] = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `command` is shown after it, to be typed."""

    kind: ClassVar[str] = "text"
    text: str
    command: str = ""
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A number that one looks for first, what it is, and what to know of it."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards side by side."""

    kind: ClassVar[str] = "cards"
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; numbers are to the right. The first column names the row, `marked` are of interest.

    `faint` are rows to compare the others with.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    marked: frozenset[int] = frozenset()
    faint: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Tables:
    """Small tables, side by side where there is room."""

    kind: ClassVar[str] = "tables"
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a funnel: so many, as a share of the longest; `note` says what was lost."""

    label: str
    count: int
    share: float
    tone: Tone = "train"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars below each other."""

    kind: ClassVar[str] = "bars"
    bars: tuple[Bar, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """An SVG, what it shows, the names of its colours, and what to see in it.

    Where there is room, one with a `wide` form is shown so, over `span` columns.
    """

    svg: str
    title: str
    legend: tuple[tuple[str, Tone], ...] = ()
    note: str = ""
    wide: str = ""
    span: Literal[1, 2, 3] = 1


@dataclass(frozen=True, slots=True)
class Plots:
    """Plots side by side where there is room."""

    kind: ClassVar[str] = "plots"
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a URI, its text for who cannot see it, and a line below it."""

    uri: str
    alt: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """Pictures below each other, such as a prediction and its errors, and lines about them."""

    title: str
    pictures: tuple[Picture, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Rows of stacks, each row with a label; `scale` is the URI of a colour scale and its ends."""

    kind: ClassVar[str] = "gallery"
    title: str
    rows: tuple[tuple[str, tuple[Stack, ...]], ...]
    note: str = ""
    scale: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class FlipRow:
    """One scene of a `Flip`: pictures that stay, around the one that has a frame for each label."""

    label: str
    before: tuple[Picture, ...]
    frames: tuple[Picture, ...]
    after: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Flip:
    """Pictures that change together, one frame at a time; `name` is unique on the page."""

    name: str
    title: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[FlipRow, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Flips:
    """Several of them, side by side where there is room."""

    kind: ClassVar[str] = "flips"
    flips: tuple[Flip, ...]


Block = Text | Cards | Table | Tables | Bars | Plots | Gallery | Flips


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its anchor, title, word for the menu, and what it says in a sentence."""

    anchor: str
    title: str
    word: str
    lead: str
    blocks: tuple[Block, ...]
