"""Members against their ensemble on scenes that none has seen, with error maps; the worst scenes.

In: the held-out predictions that `kit fit`, or folds, have left in the folders of runs. Out: the
errors of each scene, and images of some of them. Nothing is predicted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kit.metrics import MEASURES, errors, is_official_measure, psnr
from kit.prediction.combination import PLAIN, Combination
from kit.progress import Advance
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Gallery, Picture, Section, Stack, Table, Text
from kit.reporting.picture import error_scale, shown, shown_errors
from kit.runs.ensemble import trained_variants
from kit.scaling import UINT16_MAX, scale_radar
from kit.training.evaluate import official_errors
from kit.training.heldout import HeldOut, kept

_MOST_MEMBERS, _SPREAD, _WORST = 8, 4, 6
_MOST_SCENES = 2000


@dataclass(frozen=True, slots=True)
class _Compared:
    """Members with held-out predictions, how they are combined, and the errors of each scene.

    `errors` has a row for each of `scenes` and a column for each of `names`, the combination last
    where there is one that the measure can say something of.
    """

    members: tuple[HeldOut, ...]
    combination: Combination
    title: str
    measure: str
    scenes: tuple[str, ...]
    names: tuple[str, ...]
    errors: NDArray[np.float64]

    @property
    def counted(self) -> int:
        """The column that counts: the combination, or else the best member."""
        combined = len(self.names) > len(self.members)
        return len(self.names) - 1 if combined else self.best_member

    @property
    def best_member(self) -> int:
        """The column of the member whose images are best alone."""
        means = self.errors[:, : len(self.members)].mean(axis=0)
        return int((MEASURES[self.measure].sign * means).argmin())

    def order(self) -> list[int]:
        """The scenes by their error, worst first."""
        costs = MEASURES[self.measure].sign * self.errors[:, self.counted]
        return list(np.argsort(-costs, kind="stable"))


def comparison(found: Artefacts, measure: str | None, advance: Advance | None) -> Section | None:
    """The comparison; None without a trained run, a text where nothing is predicted yet."""
    if not found.pairs or not any(run.status.mae is not None for run in found.runs):
        return None
    members, combination, title, fitted_for = _members(found)
    if not members:
        text = Text("Nothing that was held out is predicted yet.", "kit fit")
        return Section("members", "Members and ensemble", "Ensemble", "", (text,))
    counts = measure or fitted_for or (found.validation.measure if found.validation else "mae")
    section = _section(_compare(members, combination, title, counts, advance))
    if fitted_for and found.outdated:
        return replace(section, blocks=(found.outdated, *section.blocks))
    return section


def _members(found: Artefacts) -> tuple[tuple[HeldOut, ...], Combination, str, str]:
    """Those of the ensemble that was fitted last; without one the best ones that are predicted."""
    folders, ensemble = found.folders, found.ensemble

    def read(name: str) -> HeldOut | None:
        return found.attempt(lambda: kept(folders.runs, name, folders.work), None)

    if ensemble:
        members = [read(name) for name in ensemble.members]
        if all(members):
            title = f"ensemble {ensemble.name}"
            complete = tuple(each for each in members if each)
            return complete, ensemble.combination, title, ensemble.measure
    names = trained_variants(folders.runs)
    known = {run.base_name: run.status.mae or math.inf for run in reversed(found.runs)}
    names = tuple(sorted(names, key=lambda name: known.get(name, math.inf)))
    alike = [each for name in names if (each := read(name))]
    same = tuple(e for e in alike if (e.target, e.scenes) == (alike[0].target, alike[0].scenes))
    return same[:_MOST_MEMBERS], PLAIN, "the mean", ""


def _compare(
    members: tuple[HeldOut, ...],
    combination: Combination,
    title: str,
    measure: str,
    advance: Advance | None,
) -> _Compared:
    every = members[0].scenes
    drawn = np.unique(np.linspace(0, len(every) - 1, min(_MOST_SCENES, len(every)), dtype=int))
    scenes = tuple(every[number] for number in drawn)
    names = tuple(member.name for member in members)
    target = members[0].target
    # In the server's space alone, an image has no errors in another.
    measured = is_official_measure(measure) or combination.space(target) == target
    combined = measured and (len(members) > 1 or combination != PLAIN)
    rows = []
    for done, scene in enumerate(scenes, 1):
        images = [member.image(scene) for member in members]
        images += [combination.apply(images)] if combined else []
        rows.append([_error(members[0], scene, image, measure) for image in images])
        if advance:
            advance(done, len(scenes))
    names += (title,) if combined else ()
    return _Compared(members, combination, title, measure, scenes, names, np.array(rows))


def _error(member: HeldOut, scene: str, image: NDArray[np.uint16], measure: str) -> float:
    """The error of one image by the measure that counts."""
    unit = image / np.float32(UINT16_MAX)
    if is_official_measure(measure):
        found = official_errors(measure, member.reader, member.pairs[scene], unit)
        return found[measure]
    values = errors(unit, member.truth(scene, member.target))
    return psnr(values["mse"]) if measure.startswith("psnr") else values[measure]


def _section(compared: _Compared) -> Section:
    means = compared.errors.mean(axis=0)
    best = compared.best_member
    lead = f"{compared.names[best]} alone: {compared.measure} {means[best]:.5g}"
    if len(compared.names) > len(compared.members):
        lead += f"; {compared.title} of {len(compared.members)}: {means[-1]:.5g}"
    elif compared.combination.affine:
        lead += f"; {compared.title} is in the server's space"
        lead += f", where {compared.measure} says nothing"
    lead += f", on {len(compared.scenes):,} scenes that none has seen."
    rows = [
        (name, f"{mean:.5g}", *(f"{np.quantile(column, q):.5g}" for q in (0.1, 0.5, 0.9)))
        for name, mean, column in zip(compared.names, means, compared.errors.T, strict=True)
    ]
    titles = ("", f"mean {compared.measure}", "10 % quantile", "median", "90 % quantile")
    table = Table(titles, rows, marked=frozenset({compared.counted}))
    order = compared.order()
    worst = order[:_WORST]
    rest = [n for n in range(len(compared.scenes)) if n not in worst]
    spread = [rest[n] for n in np.linspace(0, len(rest) - 1, min(_SPREAD, len(rest)), dtype=int)]
    blocks: list[Block] = [table]
    for name, numbers in (("Scenes drawn evenly", spread), ("Worst scenes", worst)):
        if gallery := _gallery(compared, name, numbers):
            blocks.append(gallery)
    return Section("members", "Members and ensemble", "Ensemble", lead, tuple(blocks))


def _gallery(compared: _Compared, title: str, numbers: Sequence[int]) -> Gallery | None:
    rows = tuple(_row(compared, number) for number in numbers)
    note = f"By {compared.measure}. Below each image its errors, the mean of the three channels."
    return Gallery(title, rows, note, error_scale()) if rows else None


def _shown(compared: _Compared) -> list[str]:
    """The combination first, then the first members."""
    own = list(compared.names[len(compared.members) :])
    return own + list(compared.names[: len(compared.members)][:_MOST_MEMBERS])


def _row(compared: _Compared, number: int) -> tuple[str, tuple[Stack, ...]]:
    scene, first = compared.scenes[number], compared.members[0]
    pair = first.pairs[scene]
    with first.reader.pixels(pair) as (sar, _):
        radar = scale_radar(np.array(sar))
    truth = first.truth(scene, first.target)
    own_truth = first.truth(scene, compared.combination.space(first.target))
    images = [member.image(scene) for member in compared.members]
    made = dict(zip(compared.names, images, strict=False))
    if len(compared.names) > len(images):
        made[compared.title] = compared.combination.apply(images)
    planes = [
        Picture(shown(plane), f"{name} of {scene}")
        for name, plane in zip(("VV", "VH"), radar, strict=True)
    ]
    stacks = [Stack("VV, VH", tuple(planes))]
    stacks.append(Stack("truth", (Picture(shown(truth), f"truth of {scene}"),)))
    for name in _shown(compared):
        unit = made[name] / np.float32(UINT16_MAX)
        value = compared.errors[number, compared.names.index(name)]
        own = Picture(shown(unit), f"{name}, {scene}")
        against = own_truth if name == compared.title else truth
        errors_of = Picture(shown_errors(unit, against), f"errors of {name}, {scene}")
        stacks.append(Stack(name, (own, errors_of), f"{value:.4g}"))
    days = (pair.optical.date - pair.radar.date).days
    label = f"{pair.optical.lon}_{pair.optical.lat}, {pair.optical.date}, radar {-days:+} days"
    return label, tuple(stacks)
