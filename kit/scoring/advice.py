"""Scores of the same predictions, packaged in several ways -> the way that scores best.

In: a report, and how the archive was packaged. Out: the report with the measure that counts for its
layout, and with the setting and the command that would have scored better by it on the same truths.
"""

import dataclasses
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.archive.layout import LAYOUTS, Layout
from kit.averaging import averaging_text
from kit.metrics import better, official_of
from kit.prediction.combination import PLAIN, Combination
from kit.scoring.report import Advice, Report, Variation

ANCHORS = "anchors"


@dataclass(frozen=True, slots=True)
class Packaging:
    """How an archive was packaged; without `variants` nothing but its images is known.

    `fitted` is the name of the ensemble, where it is one that was fitted, and `layout_file` the
    TOML file of a layout of one's own.
    """

    variants: tuple[str, ...] = ()
    combination: Combination = PLAIN
    layout: Layout | None = None
    expected: Path | None = None
    fitted: str = ""
    layout_file: Path | None = None


def advised(report: Report, made: Packaging, measure: str | None = None) -> Report:
    """The report with its measure, its better member and its advice.

    Args:
        report: the scores.
        made: how the archive was packaged.
        measure: the one that counts; that of the layout if None.
    """
    if measure is None:
        measure = measure_of(made.layout, (image.submission for image in report.own_images()))
        if math.isnan(report.own.get(measure)):  # in the server's space, where it says nothing
            measure = official_of(measure)
    alike = (v for v in report.variations if v.member and v.stretch == made.combination.stretch)
    best = _best(report, measure, report.variations)
    return dataclasses.replace(
        report,
        measure=measure,
        better_member=_best(report, measure, alike),
        advice=_advice(best, report, measure, made) if best else None,
    )


def measure_of(layout: Layout | None, images: Iterable[str]) -> str:
    """The layout's measure; without one that of the layout in whose folder all images lie."""
    if layout:
        return layout.measure
    folders = {name.rpartition("/")[0] for name in images}
    known = [layout.measure for layout in LAYOUTS.values() if {layout.root} == folders]
    return known[0] if known else "mae"


def _best(report: Report, measure: str, variations: Iterable[Variation]) -> Variation | None:
    best, score = None, report.own.get(measure)
    for one in variations:
        if better(measure, one.row.get(measure), score):
            best, score = one, one.row.get(measure)
    return best


def _advice(best: Variation, report: Report, measure: str, made: Packaging) -> Advice:
    words = [f"{best.member} alone"] if best.member else []
    if best.stretch != made.combination.stretch:
        words.append("with anchors" if best.stretch == ANCHORS else "without anchors")
    return Advice(
        measure=measure,
        score=best.row.get(measure),
        instead_of=report.own.get(measure),
        setting=" ".join(words),
        command=_command(best, made) if made.variants else "",
    )


def _command(best: Variation, made: Packaging) -> str:
    ensemble = best.member or made.fitted or ",".join(made.variants)
    words = ["kit", "package", "--ensemble", ensemble]
    if ensemble == made.fitted:
        # Which brings its average, and its stretch unless another is asked for.
        words += ["--stretch", best.stretch]
    elif not best.member and made.combination.averaging != "mean":
        words += ["--average", averaging_text(made.combination.averaging)]
    if best.stretch == ANCHORS and ensemble != made.fitted:
        words += ["--stretch", ANCHORS]
    if made.layout and made.layout.name != "2022":
        known = LAYOUTS.get(made.layout.name) == made.layout
        own = str(made.layout_file or f"{made.layout.name}.toml")
        words += ["--layout", made.layout.name if known else own]
    if made.expected:
        words += ["--expected", str(made.expected)]
    return shlex.join(words)
