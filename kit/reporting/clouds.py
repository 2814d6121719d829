"""The clouds near the limit: scenes that the rule nearly drops, and nearly keeps."""

import numpy as np
from matplotlib.axes import Axes

from kit.errors import InputError
from kit.figures.histogram import Histogram
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Gallery, Picture, Plot, Plots, Section, Stack, Tone
from kit.reporting.picture import CELL, uri
from kit.reporting.plot import color, svg
from kit.screening.near_limit import KINDS, Near, Statistics, near_scenes
from kit.screening.rule import CloudRule
from kit.screening.store import SCREEN, read_rule
from kit.screening.table import SCENES

_ROWS = 5
_TICKS = 7
_TONES: tuple[Tone, Tone] = ("train", "bad")


def clouds(found: Artefacts) -> Section | None:
    """The histogram of all scenes and those nearest to the limit; None before screening."""
    table = found.folders.work / SCENES
    if found.scenes is None:
        return None
    rule, max_cloud = _rule(found)
    statistics = Statistics.of(table, max_cloud, _ROWS)
    kept, dropped = map(int, statistics.ratios.sum(axis=0))
    if not kept + dropped:
        return None
    lead = f"Of {kept + dropped:,} scenes without nodata and QA60 cloud the rule keeps {kept:,}: "
    lead += f"{rule.text}, max cloud {max_cloud:g}."
    plots = (_plot("peaks", statistics.peak_plot(rule)), _plot("ratios", statistics.ratio_plot()))
    blocks: list[Block] = [Plots(plots)]
    for kind, ranked in zip(KINDS, statistics.nearest, strict=True):
        stacks = tuple(map(_stack, near_scenes(table, ranked, rule, CELL)))
        if stacks:
            title = f"{kind.capitalize()}, nearest to the limit first"
            note = "Magenta: cloud pixels. Yellow frame: where brightness exceeds saturation most."
            blocks.append(Gallery(title, (("", stacks),), note))
    return Section("clouds", "Clouds near the limit", "Clouds", lead, tuple(blocks))


def _rule(found: Artefacts) -> tuple[CloudRule, float]:
    """The rule of the last screening, and the share of cloud that Dataset-2 admits."""
    settings = found.summary.get("settings", {})
    for path in sorted((found.folders.work / SCREEN).glob("*.parquet")):
        try:
            return read_rule(path), float(settings.get("max_cloud", 0.0))
        except InputError:
            continue
    return CloudRule.of(settings), float(settings.get("max_cloud", 0.0))


def _stack(scene: Near) -> Stack:
    names = ("scene", "scene with its clouds marked")
    place, date, *rest = scene.label
    pictures = tuple(
        Picture(uri(image), f"{name} {place} {date}")
        for image, name in zip(scene.images or (), names, strict=False)
    )
    cloud, pixels, peak, *more = rest
    return Stack(date, pictures, "\n".join((place, f"{cloud}, {pixels}", peak, *more)))


def _plot(name: str, histogram: Histogram) -> Plot:
    """A histogram of the screening in the style of a report."""

    def draw(axes: Axes) -> None:
        left, right = histogram.spans.T
        below = np.zeros(len(left))
        for tone, counts in zip(_TONES, histogram.counts.T, strict=True):
            axes.bar(left, counts, (right - left) * 0.9, below, align="edge", color=color(tone))
            below += counts
        axes.axvline(histogram.limit[0], color=color("ink"), linewidth=1.2, linestyle=(0, (4, 3)))
        ticks = histogram.ticks[:: -(-len(histogram.ticks) // _TICKS)]
        axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
        # The scenes that matter are few beside those of an empty sky.
        axes.set_yscale("symlog", linthresh=max(1.0, float(np.sqrt(below.max()))))
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
        axes.minorticks_off()

    total = histogram.counts.sum(axis=0)
    legend = tuple((f"{n:,} {kind}", t) for n, kind, t in zip(total, KINDS, _TONES, strict=True))
    title = histogram.title[0].upper() + histogram.title[1:]
    return Plot(svg(name, title, draw), title, legend, f"Dashed: {histogram.limit[1]}.")
