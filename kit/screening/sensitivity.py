"""The screened scenes -> what each cloud option does to the size of Dataset-2.

In: `scenes.parquet` as `kit.screening.screen` wrote it, and a rule. Out: how many scenes are kept
by the rule as it is and with one option changed at a time, counted again on a sample. Scenes whose
tiles cannot be read any more are left out of the sample. Refused: a table that is missing or
damaged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.machine.cores import cores
from kit.progress import Advance
from kit.screening.counts import COLUMNS, count, count_with_peaks
from kit.screening.rule import CloudRule
from kit.screening.table import RATIOS, dataset1, row_groups
from kit.tiles.netcdf import Plane, parse_file
from kit.tiles.reader import Reader

_SEED = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """How many scenes of the sample are kept when one option has another value."""

    option: str
    value: str
    kept: int


@dataclass(frozen=True, slots=True)
class Effects:
    """The scenes of Dataset-1, how many of them were read again, and what each option does.

    The first row is the rule as it is; the others change one option each.
    """

    scenes: int
    sampled: int
    rows: tuple[Effect, ...]


def effects(
    table: Path,
    rule: CloudRule,
    max_cloud: float,
    *,
    sample: int = 500,
    advance: Advance | None = None,
) -> Effects:
    """Count the scenes of Dataset-1 that Dataset-2 keeps, for each option changed by itself.

    Args:
        table: `scenes.parquet`.
        rule: what is changed.
        max_cloud: the largest cloud ratio by the rule that Dataset-2 admits.
        sample: read at most so many scenes, one at random from each of as many equal stretches of
            the table; the same ones each time.
        advance: called with (scenes read, scenes to read).

    Raises:
        InputError: the table is missing or damaged, or `sample` is less than 1.
    """
    if sample < 1:
        raise InputError("sample", f"is {sample}", remedy="it must be at least 1")
    scenes = sum(int(dataset1(group).sum()) for group in row_groups(table, RATIOS))
    if not scenes:
        return Effects(0, 0, ())
    options = _options(rule, max_cloud)
    kept = np.zeros(len(options), np.int64)
    chosen = _sample(scenes, sample)
    sampled = done = 0
    reader = Reader(cores())
    for files in _files(table, chosen):
        for _, batches, errors in reader.read_all("Sentinel2", files):
            for batch in batches:
                kept += _kept(batch.pixels, options)
                sampled += len(batch.indices)
                done += len(batch.indices)
            done += len(errors)
            if advance:
                advance(done, len(chosen))
    rows = zip(options, kept.tolist(), strict=True)
    return Effects(scenes, sampled, tuple(Effect(name, value, n) for (name, value, *_), n in rows))


def _options(rule: CloudRule, max_cloud: float) -> list[tuple[str, str, CloudRule, float]]:
    """Name, value, rule and limit of each row; values that change nothing are left out."""
    found = [("as set", "-", rule, max_cloud)]

    def change(name: str, text: str, **changed: Any) -> None:
        other = replace(rule, **changed)
        if other != rule and all(other != row[2] for row in found):
            found.append((name, text, other, max_cloud))

    for step in (-100, -50, 50, 100):
        threshold = min(max(rule.threshold_milli + step, -1000), 1000) / 1000
        change("threshold", f"{threshold:g}", threshold=threshold)
    for factor in (0.8, 1.2):
        digits = -2 if rule.scale >= 1000 else 0
        scale = min(max(int(round(rule.scale * factor, digits)), 1), 65535)
        change("scale", str(scale), scale=scale)
    for area in (1, 4, 16, 64):
        change("min_area", str(area), min_area=area)
    for reach in (0, 2, 8) if max_cloud > 0 else ():  # growing makes no clear scene cloudy
        change("dilate", str(reach), dilate=reach)
    limits = [limit for limit in (0.0, 0.0001, 0.001, 0.01) if limit != max_cloud]
    return found + [("max_cloud", f"{limit:g}", rule, limit) for limit in limits]


def _sample(scenes: int, sample: int) -> NDArray[np.int64]:
    """One of each stretch: a fixed step would meet the seasons, since a place's dates recur."""
    edges = np.arange(min(sample, scenes) + 1) * scenes // min(sample, scenes)
    return np.random.default_rng(_SEED).integers(edges[:-1], edges[1:])


def _files(table: Path, chosen: NDArray[np.int64]) -> Iterator[list[list[str | Plane]]]:
    """The files of the chosen scenes of Dataset-1, those of a row group at a time."""
    first = 0
    for group in row_groups(table, [*RATIOS, "paths"]):
        rows = np.flatnonzero(dataset1(group))
        low, high = np.searchsorted(chosen, (first, first + len(rows)))
        paths: list[Any] = group["paths"].take(rows[chosen[low:high] - first]).to_pylist()
        yield [[*map(parse_file, scene)] for scene in paths]
        first += len(rows)


def _kept(
    pixels: NDArray[np.uint16], options: list[tuple[str, str, CloudRule, float]]
) -> list[int]:
    """How many of the scenes [n, 4, H, W] each option keeps."""
    rgb, qa60 = pixels[:, :3], pixels[:, 3]
    area = pixels.shape[2] * pixels.shape[3]
    highest = {
        scale: count_with_peaks(rgb, qa60, CloudRule(scale))[1]
        for scale in {rule.scale for _, _, rule, _ in options}
    }
    ratios: dict[CloudRule, NDArray[np.float64]] = {}

    def ratio(rule: CloudRule) -> NDArray[np.float64]:
        if rule not in ratios:
            # Without a pixel above the threshold there is no cloud, whatever its least area.
            cloudy = highest[rule.scale] > rule.threshold_milli
            ratios[rule] = np.zeros(len(pixels))
            counts = count(rgb[cloudy], qa60[cloudy], rule)
            ratios[rule][cloudy] = counts[:, COLUMNS.index("cloud")] / area
        return ratios[rule]

    def kept(rule: CloudRule, limit: float) -> int:
        if limit == 0:
            # Growing a cloud makes none where there was none.
            rule = replace(rule, dilate=0)
        if limit == 0 and rule.min_area == 1:
            return int((highest[rule.scale] <= rule.threshold_milli).sum())
        return int((ratio(rule) <= limit).sum())

    return [kept(rule, limit) for _, _, rule, limit in options]
