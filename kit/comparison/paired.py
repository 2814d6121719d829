"""Two sides scored on the same scenes -> by how much one is better, and whether beyond noise.

In: the score of every scene by each side, and the place of the scene. Out: the mean difference with
its 95 % interval (a bootstrap over places, `kit.intervals`), the scenes where each side wins most,
and the verdict. Refused by name: sides without a common scene, and scores that are no numbers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from kit.errors import InputError
from kit.intervals import ENOUGH_PLACES, interval
from kit.metrics import MEASURES, check_measure


class SceneScore(NamedTuple):
    """What one side scores on a scene, and the place of the scene."""

    score: float
    place: object


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared; `scores` are by scene."""

    name: str
    scores: dict[str, SceneScore]


@dataclass(frozen=True, slots=True)
class SceneDifference:
    """The scores of both sides on a scene; `gain` is by how much the second is better."""

    scene: str
    first: float
    second: float
    gain: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """By how much the second side is better than the first, by a measure, over common scenes.

    `scores` are the means of both sides and `gain` that of the differences, positive where the
    second is better, with its 95 % `interval`. `differences` are those of all common scenes, the
    largest gain first. `only` counts the scenes that the other side lacks, by side. `notes` are
    lines about how the sides were scored, `kept_notes` those that somebody keeps of each.
    """

    first: str
    second: str
    measure: str
    scores: tuple[float, float]
    gain: float
    interval: tuple[float, float]
    places: int
    differences: tuple[SceneDifference, ...]
    only: tuple[int, int]
    notes: tuple[str, ...] = ()
    kept_notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def better(self) -> str:
        """The side that is better beyond noise; "" where none is, or places are too few."""
        if self.places < ENOUGH_PLACES:
            return ""
        low, high = self.interval
        return self.second if low > 0 else self.first if high < 0 else ""

    @property
    def wins(self) -> tuple[int, int]:
        """On how many scenes the first is better, and on how many the second."""
        return (
            sum(each.gain < 0 for each in self.differences),
            sum(each.gain > 0 for each in self.differences),
        )

    @property
    def verdict(self) -> str:
        """One line that says which is better, and how certain that is."""
        over = f"on {len(self.differences)} scenes of {self.places} places"
        if self.wins == (0, 0):
            return f"{self.first} and {self.second} score the same {over}"
        names, (low, high) = (self.second, self.first), self.interval
        if self.gain < 0:
            names, (low, high) = names[::-1], (-high, -low)
        lead = f"{abs(self.gain):.3g} ({low:.3g} to {high:.3g}) {self.measure} {over}"
        if self.better:
            return f"{names[0]} is better than {names[1]} by {lead}"
        doubt = "no difference beyond noise"
        if self.places < ENOUGH_PLACES:
            doubt = f"{self.places} places are too few to tell, {ENOUGH_PLACES} are needed"
        return f"{doubt}: {names[0]} leads {names[1]} by {lead}"

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        first, second = self.wins
        return {
            "first": self.first,
            "second": self.second,
            "measure": self.measure,
            "scores": list(self.scores),
            "gain": self.gain,
            "interval": list(self.interval),
            "scenes": len(self.differences),
            "places": self.places,
            "wins": [first, second],
            "only": list(self.only),
            "better": self.better,
            "verdict": self.verdict,
            "notes": list(self.notes),
            "kept_notes": {name: list(texts) for name, texts in self.kept_notes.items()},
            "differences": [
                {"scene": each.scene, "scores": [each.first, each.second], "gain": each.gain}
                for each in self.differences
            ],
        }


def common_scenes(first: tuple[str, Iterable[str]], second: tuple[str, Iterable[str]]) -> list[str]:
    """The scenes that two sides, each with its name, have both, in the order of the first.

    Raises:
        InputError: there is none.
    """
    names, scenes = (first[0], second[0]), ([*first[1]], [*second[1]])
    in_second = set(scenes[1])
    if both := [scene for scene in scenes[0] if scene in in_second]:
        return both
    counts = ", ".join(
        f"{name} has {len(those)}" + (f", {those[0]} first" if those else "")
        for name, those in zip(names, scenes, strict=True)
    )
    problem = f"no scene is common: {counts}"
    raise InputError(" ".join(names), problem, remedy="compare what has the same scenes")


def check_by_scene(measure: str) -> None:
    """Refuse a measure that no scene has for itself.

    Raises:
        InputError: it is unknown, or is of all images together.
    """
    check_measure(measure)
    if measure == "psnr_pooled":
        raise InputError(measure, "is of all images together", remedy="take psnr or mse")


def paired(
    measure: str,
    first: Side,
    second: Side,
    only: tuple[int, int] = (0, 0),
    notes: Iterable[str] = (),
    kept_notes: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> Comparison:
    """Compare two sides that are scored on the same scenes.

    Args:
        measure: a key of `kit.metrics.MEASURES`.
        first: one side.
        second: the other side.
        only: how many scenes each has that the other lacks.
        notes: lines about how they were scored.
        kept_notes: what somebody keeps of each, or of its members.

    Raises:
        InputError: a score is not finite.
    """
    scenes = [*first.scores]
    for side in (first, second):
        for scene in scenes:
            if not math.isfinite(side.scores[scene].score):
                problem = f"its {measure} of {scene} is {side.scores[scene].score:g}"
                raise InputError(side.name, problem, remedy="give another --measure")
    each = np.array([[side.scores[scene].score for scene in scenes] for side in (first, second)])
    gains = MEASURES[measure].sign * (each[0] - each[1]) + 0.0  # no -0
    places = [first.scores[scene].place for scene in scenes]
    differences = [
        SceneDifference(scene, *map(float, (*each[:, row], gains[row])))
        for row, scene in enumerate(scenes)
    ]
    means = each.mean(axis=1)
    return Comparison(
        first=first.name,
        second=second.name,
        measure=measure,
        scores=(float(means[0]), float(means[1])),
        gain=float(gains.mean()),
        interval=interval(gains, places),
        places=len(set(places)),
        differences=tuple(sorted(differences, key=lambda difference: -difference.gain)),
        only=only,
        notes=tuple(notes),
        kept_notes={name: tuple(texts) for name, texts in kept_notes.items() if texts},
    )
