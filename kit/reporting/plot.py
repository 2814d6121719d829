"""Plots as SVG that takes its colours and its font from the page around it.

In: what matplotlib draws, in the colours of `color`. Out: SVG to be put into HTML, in which each of
them is a variable of the style, so that a page is light or dark without a script.
"""

import io
import re
from collections.abc import Callable
from typing import Any, get_args
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter, MonthLocator
from matplotlib.figure import Figure

from kit.reporting.blocks import Tone

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
# Colours that stand for variables of the style; no plot has them by chance.
_TONES: dict[str, str] = {
    tone: f"#f0e{number:03x}" for number, tone in enumerate((*get_args(Tone), "line"))
}
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _TONES["line"],
    "axes.labelcolor": _TONES["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _TONES["line"],
    "grid.linewidth": 0.7,
    "xtick.color": _TONES["line"],
    "xtick.labelcolor": _TONES["muted"],
    "ytick.color": _TONES["line"],
    "ytick.labelcolor": _TONES["muted"],
    "ytick.major.size": 0,
    "text.color": _TONES["ink"],
    "font.size": 11,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
}
_POINTS = 72
# Around the axes. A layout that matplotlib computes takes as long as all the rest.
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 40


def color(tone: Tone) -> str:
    """What to give matplotlib for a tone."""
    return _TONES[tone]


def svg(
    name: str,
    label: str,
    draw: Callable[[Axes], object],
    width: int = 380,
    height: int = 210,
    left: int = _LEFT,
) -> str:
    """The SVG of a plot.

    Args:
        name: unique on the page; a plot of the same name and content is the same text.
        label: what it shows, for who cannot see it.
        draw: draws into axes.
        width: in CSS pixels at which text has its own size; the page scales it.
        height: alike.
        left: of the axes, for their labels.
    """
    name = f"{name} {width}"
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width / _POINTS, height / _POINTS), dpi=_POINTS)
        size = (width - left - _RIGHT) / width, (height - _TOP - _BOTTOM) / height
        draw(figure.add_axes((left / width, _BOTTOM / height, *size)))
        data = io.BytesIO()
        figure.savefig(data, format="svg", transparent=True, metadata={"Date": None})
    return _themed(data.getvalue(), label)


def month_axis(axes: Axes, months: int) -> None:
    """Let an x axis over so many months name at most some six of them, and the year."""
    locator = MonthLocator(interval=-(-months // 6))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _themed(data: bytes, label: str) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(data)
    for child in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(child)
    used = set(re.findall(rb'(?:href="#|url\(#)([^")]+)', data))
    for element in root.iter():
        named = element.get("id", "")
        if named.startswith("title:"):
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = named.removeprefix("title:")
            element.insert(0, title)
        if named.encode() not in used:
            element.attrib.pop("id", None)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    text = ElementTree.tostring(root, encoding="unicode")
    for tone, found in _TONES.items():
        text = text.replace(found, f"var(--{tone})")
    return re.sub(r"\s*\n\s*", "\n", text)
