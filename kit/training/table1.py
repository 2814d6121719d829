"""Table 1: the rows of runs and of baselines on pairs that none of them has seen.

In: the errors of each on each scene. Out: a table for each part of the pairs, with intervals over
places, and by how much each run is behind the best.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kit.intervals import interval
from kit.metrics import MEASURES, Scores, anchored, official_of, psnr, summarise
from kit.pairs.table import Pair
from kit.runs.seen import place_of
from kit.training.unseen import HOLDOUT, Part
from kit.variants.registry import PAPER

Errors = Mapping[str, Mapping[str, float]]
"""By optical scene and by measure; NaN where a measure means nothing."""
Parts = dict[Part, tuple[str, ...]]
"""The optical scenes of each part."""

BEHIND = "behind the best"
"""The title of a column that few terminals have room for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, in the space of its target.

    `part` says which pairs it is of; the rows of one part are a table, of pairs of so many
    `places`. `interval` is that of the measure that was asked for, and `behind` by how much the row
    is worse than the best run of its part and target, with the interval of that; None where there
    are none, as of a single place. The paper's figures are None for a variant that it does not
    have. `warning` says what speaks against comparing the row with the others. `not_beaten` are the
    baselines that score as well, or better.
    """

    variant: str
    target: str
    scores: Scores
    paper: tuple[float, float] | None
    warning: str = ""
    part: Part = HOLDOUT
    places: int = 0
    interval: tuple[float, float] | None = None
    behind: tuple[float, float, float] | None = None
    is_baseline: bool = False
    not_beaten: tuple[str, ...] = ()

    def cells(self, measure: str) -> dict[str, str]:
        """The row as text by the titles of the columns; a score that is no number is "-".

        Args:
            measure: the one that `interval` is of.
        """
        scores, low_high, behind = self.scores, self.interval, self.behind
        reflectance = self.target == "reflectance"
        papers = (f"{self.paper[0]:.5f}", f"{self.paper[1]:.2f}") if self.paper else ("", "")
        return {
            "variant": self.variant if reflectance else f"{self.variant} ({self.target})",
            "MAE": _text(scores.mae, ".5f"),
            "PSNR": _text(scores.psnr, ".2f"),
            "pooled PSNR": _text(scores.psnr_pooled, ".2f"),
            **{name: _text(value, ".4f") for name, value in scores.others.items()},
            f"95 % of {measure}": "{:.4g} to {:.4g}".format(*low_high) if low_high else "",
            BEHIND: "{:.3g} ({:.3g} to {:.3g})".format(*behind) if behind else "",
            "paper's MAE": papers[0],
            "paper's PSNR": papers[1],
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """The errors of one variant, or baseline, on each scene that it has not seen."""

    name: str
    target: str
    errors: Errors
    warning: str = ""
    is_baseline: bool = False


def _text(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def ranked(rows: Iterable[Row], measure: str) -> list[Row]:
    """The rows, the best by a measure first; with an official one by the better of both ways."""
    return sorted(rows, key=lambda row: _cost(row.scores.as_dict(), measure))


def scenes_of(parts: Mapping[Part, Sequence[Pair]]) -> Parts:
    """The optical scenes of the pairs of each part."""
    return {part: tuple(str(pair.optical) for pair in those) for part, those in parts.items()}


def tabulate(parts: Parts, scored: Sequence[Scored], measure: str) -> tuple[Row, ...]:
    """The rows of all parts, each of those that have errors on all of its scenes.

    Args:
        parts: the scenes of each part.
        scored: baselines and runs.
        measure: a key of `kit.metrics.MEASURES`, by which runs are in order if it is not "mae".
    """
    rows: list[Row] = []
    for part, scenes in parts.items():
        rows += _table(part, scenes, scored, measure)
    return tuple(rows)


def _table(part: Part, scenes: Sequence[str], scored: Sequence[Scored], measure: str) -> list[Row]:
    """The rows of one part: the baselines, then the runs in order, with their intervals."""
    places = [place_of(scene) for scene in scenes]
    values: dict[str, NDArray[np.float64]] = {}
    rows = []
    for each in scored:
        if not all(scene in each.errors for scene in scenes):
            continue
        found = [each.errors[scene] for scene in scenes]
        row = Row(
            each.name, each.target, summarise(found), PAPER.get(each.name), each.warning, part,
            len(set(places)), is_baseline=each.is_baseline,
        )  # fmt: skip
        if MEASURES[measure].of_image or measure in found[0] or measure == "psnr":
            values[each.name] = np.array([_value(one, measure) for one in found])
            if len(set(places)) > 1 and not np.isnan(values[each.name]).any():
                row = replace(row, interval=interval(values[each.name], places))
        rows.append(row)
    baselines = [row for row in rows if row.is_baseline]
    runs = [_compared(row, baselines, measure) for row in rows if not row.is_baseline]
    best: dict[str, Row] = {}
    for row in ranked(runs, measure):
        best.setdefault(row.target, row)
    for number, row in enumerate(runs):
        first = best[row.target]
        if row is not first and row.interval and first.interval:
            worse = MEASURES[measure].sign * (values[row.variant] - values[first.variant])
            behind = float(worse.mean()), *interval(worse, places)
            runs[number] = replace(row, behind=behind)
    return [*baselines, *(runs if measure == "mae" else ranked(runs, measure))]


def _value(found: Mapping[str, float], measure: str) -> float:
    """One number of a scene; of an official measure the better of both ways."""
    if measure == "psnr":
        return psnr(found["mse"])
    values = [found[name] for name in (measure, anchored(measure)) if name in found]
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _compared(row: Row, baselines: Sequence[Row], measure: str) -> Row:
    """A run with the baselines that it does not beat: by a measure in the space of its target."""
    measure = measure if row.target == "reflectance" else official_of(measure)
    own = _cost(row.scores.as_dict(), measure)
    found = [each.variant for each in baselines if _cost(each.scores.as_dict(), measure) <= own]
    return replace(row, not_beaten=tuple(found))


def _cost(scores: Mapping[str, float], measure: str) -> float:
    """What to compare by, less is better: infinite where a score means nothing."""
    sign = MEASURES[measure].sign
    found = [sign * scores[name] for name in (measure, anchored(measure)) if name in scores]
    return min((cost for cost in found if not math.isnan(cost)), default=math.inf)
