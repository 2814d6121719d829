"""Where and when: a map of places by what they are used for, and the dates of scenes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from kit.pairs.table import Pair
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Plot, Plots, Section, Tone
from kit.reporting.plot import color, month_axis, svg
from kit.tiles.names import SceneKey

Points = NDArray[np.float64]
"""[N, 2], longitude and latitude."""
_MOST_POINTS = 3000
_KINDS: tuple[tuple[str, Tone], ...] = (
    ("other", "muted"), ("train", "train"), ("buffer", "buffer"), ("hold-out", "holdout"),
    ("test", "test"),
)  # fmt: skip
_KM = 111.32  # of a degree of latitude


def places(found: Artefacts) -> Section | None:
    """The map and the dates; None where neither scenes nor pairs are known."""
    test = [SceneKey.parse(scene) for scene in test_scenes(found)]
    points = _points(found, test)
    if not points:
        return None
    counts = ", ".join(f"{len(at):,} {kind}" for kind, at in points.items() if kind != "other")
    lead = f"Places: {counts}." if counts else f"{len(points['other']):,} places are screened."
    plots = [_map(points)]
    # All pairs may be cloudy; there may be none.
    clear = [pair for pair in found.pairs if pair.dataset1]
    if clear:
        plots += [_months(clear, test), _gaps(clear)]
    return Section("places", "Places and dates", "Places", lead, (Plots(tuple(plots)),))


def test_scenes(found: Artefacts) -> tuple[str, ...]:
    """The radar scenes that were predicted, each once."""
    return tuple(dict.fromkeys(scene for member in found.predictions for scene in member.scenes))


def _points(found: Artefacts, test: Sequence[SceneKey]) -> dict[str, Points]:
    """The places of each kind, those that have several in the last of them."""
    by: dict[tuple[float, float], str] = {}
    if found.scenes is not None:
        seen = np.unique(np.column_stack((found.scenes.longitude, found.scenes.latitude)), axis=0)
        by = {(float(lon), float(lat)): "other" for lon, lat in seen}
    order = {kind: number for number, (kind, _) in enumerate(_KINDS)}
    names = {"train": "train", "buffer": "buffer", "holdout": "hold-out"}
    at = [(pair.place, names[pair.split]) for pair in found.pairs if pair.dataset1]
    at += [(key.place, "test") for key in test]
    for (lon, lat), kind in at:
        place = float(lon), float(lat)
        by[place] = max(by.get(place, "other"), kind, key=order.__getitem__)
    kinds = {kind: [place for place, its in by.items() if its == kind] for kind in order}
    return {kind: np.array(points) for kind, points in kinds.items() if points}


def _map(points: Mapping[str, Points]) -> Plot:
    every = np.concatenate([*points.values()])
    thin = len(every) > _MOST_POINTS
    middle = float(np.radians(every[:, 1].mean()))
    size = float(np.clip(2400 / math.sqrt(len(every)) / 12, 5, 60))

    def draw(axes: Axes) -> None:
        for kind, tone in _KINDS:
            if kind in points:
                at = _thinned(points[kind], every) if thin else points[kind]
                axes.scatter(at[:, 0], at[:, 1], size, color=color(tone), marker="s", linewidths=0)
        axes.set_aspect(1 / max(math.cos(middle), 0.01), adjustable="datalim")
        axes.grid(True, axis="both")
        axes.margins(0.06)
        axes.xaxis.set_major_formatter(lambda x, _: _degrees(x, "E", "W"))
        axes.yaxis.set_major_formatter(lambda y, _: _degrees(y, "N", "S"))
        axes.locator_params(nbins=5)

    legend = tuple(
        (f"{kind} ({len(points[kind]):,})", tone) for kind, tone in _KINDS if kind in points
    )
    spans = np.ptp(every, axis=0) * (_KM * math.cos(middle), _KM)
    note = f"{spans[0]:,.0f} x {spans[1]:,.0f} km."
    if thin:
        note += " Neighbours are drawn as one point."
    title = "A map of places by their use"
    narrow, wide = svg("map", title, draw, 380, 330, 56), svg("map", title, draw, 740, 500, 56)
    return Plot(narrow, "Map", legend, note, wide, 2)


def _thinned(points: Points, every: Points) -> Points:
    """One point for each cell of a grid of about as many cells as can be told apart."""
    low, span = every.min(axis=0), np.maximum(np.ptp(every, axis=0), 1e-9)
    cells = np.floor((points - low) / span * (90, 60)).astype(int)
    _, first = np.unique(cells, axis=0, return_index=True)
    return points[first]


def _degrees(value: float, positive: str, negative: str) -> str:
    letter = positive if value > 0 else negative if value < 0 else ""
    return f"{abs(value):.6g}°{letter}"


def _months(pairs: Sequence[Pair], test: Sequence[SceneKey]) -> Plot:
    """How many radar scenes there are of each month, by their use."""
    kinds: dict[Tone, list[np.datetime64]] = {
        "train": [np.datetime64(p.radar.date, "M") for p in pairs if p.split == "train"],
        "holdout": [np.datetime64(p.radar.date, "M") for p in pairs if p.split == "holdout"],
        "test": [np.datetime64(key.date, "M") for key in test],
    }
    kinds = {tone: months for tone, months in kinds.items() if months}
    every = np.array([month for months in kinds.values() for month in months])
    axis = np.arange(every.min(), every.max() + 1)
    names: dict[Tone, str] = {"train": "train", "holdout": "hold-out", "test": "test"}

    def draw(axes: Axes) -> None:
        below = np.zeros(len(axis))
        for tone, months in kinds.items():
            counts = np.bincount((np.array(months) - axis[0]).astype(int), minlength=len(axis))
            axes.bar(axis.astype("datetime64[D]"), counts, 24, below, color=color(tone))
            below += counts
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        month_axis(axes, len(axis))

    legend = tuple((names[tone], tone) for tone in kinds)
    return Plot(
        svg("months", "Radar scenes by month and use", draw), "Radar scenes by month", legend
    )


def _gaps(pairs: Sequence[Pair]) -> Plot:
    """Days from the radar to the optical scene."""
    days = np.array([(pair.optical.date - pair.radar.date).days for pair in pairs])
    reach = int(np.abs(days).max(initial=1))

    def draw(axes: Axes) -> None:
        axis = np.arange(-reach, reach + 1)
        axes.bar(axis, np.bincount(days + reach, minlength=len(axis)), 0.8, color=color("train"))
        axes.set_xlabel("days from radar to optical scene")
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))

    note = f"{np.mean(days == 0):.0%} on the same day."
    return Plot(svg("gaps", "Days between the scenes of a pair", draw), "Days apart", (), note)
