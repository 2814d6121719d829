"""Which method is taken: the least free one that no freer one beats beyond noise.

In: observations of held-out predictions, and the predictions themselves. Out: every method with its
score on scenes that it was not fitted on, exact over all pixels, and the one that is taken. Places
are divided into groups; each is scored by what was fitted on the others. What fits nothing is taken
where it gains; a freer method where the 95 % interval of what it gains, over the same scenes, is
above zero; or, so that no ensemble loses to its member, where the best member alone errs less than
what would be taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.fitting.methods import (
    ANCHORED,
    COLOR,
    MEDIAN,
    PLAIN,
    SINGLE,
    Method,
    methods,
    with_affine,
)
from kit.fitting.observations import Floats, Found, Image, Observations, moments_of
from kit.intervals import ENOUGH_PLACES, interval
from kit.metrics import MEASURES, is_official_measure, is_stretched_measure, mae, mse, psnr
from kit.prediction.combination import Combination
from kit.scaling import UINT16_MAX, stretch

GROUPS = 5
FEWEST_PLACES = 3
"""Fewer cannot be fitted on some and scored on others."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One method: what it fits on all scenes, and its score on scenes that it was not fitted on.

    `gain` is by how much it is better than the plain mean, with its interval; positive is better.
    """

    name: str
    combination: Combination
    score: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Selection:
    """All candidates, which is taken, why, and what speaks against relying on it."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    why: str
    doubts: tuple[str, ...]


def select(
    measure: str,
    observed: Observations,
    found: Callable[[], Found],
    advance: Callable[[int, int], object] | None = None,
) -> Selection:
    """Fit every method, score it elsewhere, and take one.

    Args:
        measure: a key of `kit.fitting.objectives.OBJECTIVES`.
        observed: of all scenes, at least `FEWEST_PLACES` places of them.
        found: gives what `observed` was made of once more.
        advance: called with the scenes scored, and their number.
    """
    known = methods(measure, observed.members)
    groups = groups_of(observed.places)
    fitted = _fit(measure, known, observed, groups, found)
    scores: dict[str, list[float]] = {method.name: [] for method in known}
    for row, (images, truth) in enumerate(found()):
        made: dict[Combination, float] = {}
        for method in known:
            combination = fitted[method.name, groups[row]]
            if combination not in made:
                made[combination] = score_image(measure, combination.apply(images), truth)
            scores[method.name].append(made[combination])
        if advance:
            advance(row + 1, len(observed.scenes))
    costs = {name: np.array(values) for name, values in scores.items()}
    candidates = {
        method.name: _candidate(method.name, fitted[method.name, None], measure, observed, costs)
        for method in known
    }
    return _choose(measure, known, candidates, costs, observed.places)


def crossfitted(
    measure: str, name: str, observed: Observations, found: Callable[[], Found]
) -> list[Combination]:
    """For each scene, what a method fits on other places than that of the scene.

    Args:
        measure: a key of `kit.fitting.objectives.OBJECTIVES`.
        name: of the method; where it makes no difference for so few members, the plain mean.
        observed: of all scenes, at least `FEWEST_PLACES` places of them.
        found: gives what `observed` was made of once more.
    """
    known = {method.name: method for method in methods(measure, observed.members)}
    plain = ", ".join([PLAIN, *name.split(", ")[1:]])
    method = known.get(name) or known.get(plain) or known[PLAIN]
    groups = groups_of(observed.places)
    fitted = _fit(measure, [method], observed, groups, found)
    return [fitted[method.name, group] for group in groups]


def _fit(
    measure: str,
    known: Sequence[Method],
    observed: Observations,
    groups: Sequence[int],
    found: Callable[[], Found],
) -> dict[tuple[str, int | None], Combination]:
    """What each method fits on all scenes but those of each group; on all where that is None."""
    rows = {
        group: [row for row, own in enumerate(groups) if own != group]
        for group in (*sorted(set(groups)), None)
    }
    fitted = {
        (method.name, group): method.fit(measure, observed, rows[group])
        for method in known
        for group in rows
    }
    affine = [(method.name, group) for method in known if method.affine for group in rows]
    averagings = {key: fitted[key].averaging for key in affine}
    moments = moments_of(averagings.values(), found()) if affine else {}
    for key, averaging in averagings.items():
        fitted[key] = with_affine(averaging, moments[averaging], observed, rows[key[1]])
    return fitted


def score_image(measure: str, image: Image, truth: NDArray[np.floating]) -> float:
    """The score of one image [3, H, W] by a measure; the truth is in the space that it compares.

    Of one truth and one image, the official measures of both years are the MSE of stretched images.
    """
    if is_stretched_measure(measure):
        made = stretch(image)
        if measure.endswith("_mae"):
            return mae(made, truth)
        return psnr(mse(made, truth)) if measure.endswith("_psnr") else mse(made, truth)
    unit = image / np.float64(UINT16_MAX)
    of_image = MEASURES[measure].of_image
    return of_image(unit, truth, None) if of_image else psnr(mse(unit, truth))


def groups_of(places: Sequence[tuple[str, str]]) -> list[int]:
    """The group of each scene; places are divided evenly and by chance, the same each time."""
    known = list(dict.fromkeys(places))
    order = np.random.default_rng(0).permutation(len(known))
    group = {known[place]: number % GROUPS for number, place in enumerate(order)}
    return [group[place] for place in places]


def _candidate(
    name: str,
    combination: Combination,
    measure: str,
    observed: Observations,
    scores: dict[str, Floats],
) -> Candidate:
    own = scores[name]
    gain = MEASURES[measure].sign * (scores[PLAIN] - own)
    return Candidate(
        name=name,
        combination=combination,
        score=float(own.mean()),
        interval=interval(own, observed.places),
        gain=float(gain.mean()),
        gain_interval=interval(gain, observed.places),
    )


def _choose(
    measure: str,
    known: Sequence[Method],
    candidates: dict[str, Candidate],
    scores: dict[str, Floats],
    places: Sequence[tuple[str, str]],
) -> Selection:
    sign, few = MEASURES[measure].sign, len(set(places)) < ENOUGH_PLACES
    color, plain, *freer = (candidates[method.name] for method in known)
    taken, why = plain, "no freer method wins beyond noise on scenes that it was not fitted on"
    doubts = []
    # Neither is freer than the plain mean: nothing is fitted that noise could mislead.
    for name, gaining in ((ANCHORED, "anchors gain"), (MEDIAN, "the median gains")):
        unfitted = candidates.get(name)
        if unfitted and unfitted.gain > 0:
            taken, why = unfitted, f"{why}, and {gaining} {unfitted.gain:.3g}"
    loses = sign * (color.score - taken.score) <= 0
    if loses and is_official_measure(measure):
        # With anchors it is an archive like any other, and no fit is to be worse.
        taken, why = color, "the plain mean is no better than one colour, and nothing freer is"
    elif loses:
        doubts.append(f"the {taken.name} is no better than {COLOR}: train longer, or on more pairs")
    if few:
        doubts.append(
            f"{len(set(places))} places are too few to tell a gain from chance: "
            f"from {ENOUGH_PLACES} on, freer methods are considered"
        )
    for candidate in () if few else freer:
        gain = sign * (scores[taken.name] - scores[candidate.name])
        low, high = interval(gain, places)
        if low > 0:
            why = f"better than {taken.name} by {gain.mean():.3g} ({low:.3g} to {high:.3g})"
            taken = candidate
    alone = next((each for each in freer if each.name.startswith(SINGLE)), None)
    if alone and not few and sign * (taken.score - alone.score) > 0:
        best = min(freer, key=lambda each: sign * each.score)
        why = (
            f"{taken.name} errs more than a member alone, and this errs least, if not beyond noise"
        )
        taken = best
    return Selection(tuple(candidates.values()), taken, why, tuple(doubts))
