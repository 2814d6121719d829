"""Histograms of VV, VH and each colour, with what the ranges of networks clip; of train and test.

In: a sample of the scenes. Out: a plot of each band. Scenes whose tiles cannot be read any more are
left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.open_pairs import open_pairs
from kit.pairs.table import Pair
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Plot, Plots, Section, Text, Tone
from kit.reporting.plot import color, svg
from kit.scaling import DN_RANGE, VH_RANGE, VV_RANGE, radar_nodata
from kit.screening.table import SCENES, read_screened
from kit.tiles.catalog import catalog
from kit.tiles.reader import read_scene

_SCENES, _BARS = 64, 60
_BARS_BEYOND = 0.2  # of the range, on each side of it


@dataclass(frozen=True, slots=True)
class _Band:
    """A band: the range that networks see, and the bars of its histogram, beyond it too."""

    name: str
    unit: str
    range: tuple[float, float]

    @property
    def edges(self) -> NDArray[np.float64]:
        low, high = self.range
        beyond = _BARS_BEYOND * (high - low)
        return np.linspace(max(0, low - beyond) if self.unit == "DN" else low - beyond,
                           high + beyond, _BARS + 1)  # fmt: skip


_BANDS = (
    _Band("VV", "dB", VV_RANGE),
    _Band("VH", "dB", VH_RANGE),
    _Band("Red, B4", "DN", DN_RANGE),
    _Band("Green, B3", "DN", DN_RANGE),
    _Band("Blue, B2", "DN", DN_RANGE),
)


class _Counts:
    """The histogram of each band over some scenes; what lies outside of the plot counts too."""

    def __init__(self) -> None:
        self.scenes = 0
        self.bars = [np.zeros(_BARS, np.int64) for _ in _BANDS]
        self.low, self.high, self.all = (np.zeros(len(_BANDS), np.int64) for _ in range(3))

    def add(self, planes: Iterable[NDArray[np.floating]], first: int = 0) -> None:
        """Count the valid values of the planes of a scene, of bands from `first` on."""
        for number, values in enumerate(planes, first):
            band = _BANDS[number]
            edges = band.edges
            # What is far outside is in the bar at the end, as one sees where it goes.
            self.bars[number] += np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
            self.low[number] += np.count_nonzero(values < band.range[0])
            self.high[number] += np.count_nonzero(values > band.range[1])
            self.all[number] += values.size


def pixels(found: Artefacts) -> Section | None:
    """The histograms; None where no scene can be read."""
    known, test = _Counts(), _Counts()
    for sar, rgb in _known(found):
        known.scenes += 1
        known.add(_radar(sar))
        known.add(_optical(rgb), 2)
    for sar in _test(found):
        test.scenes += 1
        test.add(_radar(sar))
    if not known.scenes and not test.scenes:
        return None
    plots = tuple(
        _plot(number, known, test) for number in range(len(_BANDS)) if _seen(number, known, test)
    )
    lead = f"Of {known.scenes} pairs" if known.scenes else ""
    lead += " and " if known.scenes and test.scenes else ""
    lead += (
        f"{'of' if known.scenes else 'Of'} {test.scenes} radar scenes to predict"
        if test.scenes
        else ""
    )
    lead += ", drawn evenly. What lies in a shaded range looks the same to networks."
    return Section("pixels", "Pixel values", "Pixels", lead, (Plots(plots), *_shift(known, test)))


def _seen(number: int, *counts: _Counts) -> bool:
    return any(each.all[number] for each in counts)


def _evenly(items: Sequence[Pair]) -> Sequence[Pair]:
    chosen = np.linspace(0, len(items) - 1, min(_SCENES, len(items)), dtype=int)
    return [items[number] for number in chosen]


def _known(found: Artefacts) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint16]]]:
    """The pixels of pairs to train on, as many as are enough."""
    pairs = _evenly([pair for pair in found.pairs if pair.dataset1] or found.pairs)
    if not pairs:
        return
    reader = found.attempt(lambda: open_pairs(found.folders.work, found.pairs), None)
    if reader is None:
        return
    for pair in pairs:
        try:
            with reader.pixels(pair) as (sar, rgb):
                yield np.array(sar), np.array(rgb)
        except (InputError, OSError):
            continue


def _test(found: Artefacts) -> Iterator[NDArray[np.float32]]:
    """The radar of scenes that were predicted; before there are pairs, of screened ones."""
    files = []
    if found.predictions:
        folder = found.predictions[0].input
        known = set(found.predictions[0].scenes)
        try:
            scenes = catalog(folder).of("Sentinel1") if folder.is_dir() else ()
        except InputError:
            scenes = ()
        files = [scene.files for scene in scenes if str(scene.key) in known]
    elif not found.pairs and found.scenes is not None:
        table = found.folders.work / SCENES
        files = [
            each.scene.files for each in read_screened(table) if each.scene.sensor == "Sentinel1"
        ]
    for number in np.linspace(0, len(files) - 1, min(_SCENES, len(files)), dtype=int):
        try:
            yield read_scene("Sentinel1", files[number])
        except (InputError, OSError):
            continue


def _radar(sar: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    valid = ~radar_nodata(sar)
    return [plane[valid] for plane in sar]


def _optical(rgb: NDArray[np.uint16]) -> list[NDArray[np.floating]]:
    valid = rgb.any(axis=0)
    return [plane[valid].astype(np.float64) for plane in rgb]


def _plot(number: int, known: _Counts, test: _Counts) -> Plot:
    band = _BANDS[number]
    edges = band.edges
    tones: tuple[Tone, ...] = ("train", "train", "s1", "s2", "s0")

    def draw(axes: Axes) -> None:
        for low, high in ((edges[0], band.range[0]), (band.range[1], edges[-1])):
            if high > low:
                axes.axvspan(low, high, color=color("bad"), alpha=0.12, linewidth=0)
        middle = (edges[:-1] + edges[1:]) / 2
        if total := known.all[number]:
            share = known.bars[number] / total
            axes.fill_between(
                middle, share, step="mid", color=color(tones[number]), alpha=0.75, linewidth=0
            )
        if total := test.all[number]:
            axes.step(middle, test.bars[number] / total, where="mid", color=color("test"))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
        axes.locator_params(axis="y", nbins=4)
        axes.set_xlabel(band.unit)

    legend: list[tuple[str, Tone]] = []
    if known.all[number]:
        legend.append(("pairs", tones[number]))
    if test.all[number]:
        legend.append(("to predict" if known.scenes else "screened", "test"))
    clipped = known if known.all[number] else test
    total = clipped.all[number]
    below, above = clipped.low[number] / total, clipped.high[number] / total
    low, high = band.range
    note = f"Seen: {low:g} to {high:g} {band.unit}. Clipped: {below:.2%} below, {above:.2%} above."
    return Plot(
        svg(f"band{number}", f"Histogram of {band.name}", draw), band.name, tuple(legend), note
    )


def _shift(known: _Counts, test: _Counts) -> tuple[Text, ...]:
    """A line for each polarisation whose test scenes differ from those of training."""
    lines = []
    for number, band in enumerate(_BANDS[:2]):
        if known.all[number] and test.all[number]:
            middle = (band.edges[:-1] + band.edges[1:]) / 2
            means = [float(c.bars[number] @ middle / c.all[number]) for c in (known, test)]
            if abs(means[1] - means[0]) > 1.0:
                text = f"{band.name} of the scenes to predict is {means[1] - means[0]:+.1f} dB on "
                text += "average from that of the pairs: another season, region or calibration."
                lines.append(Text(text, is_warning=True))
    return tuple(lines)
