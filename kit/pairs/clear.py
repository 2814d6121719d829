"""What counts as a clear optical scene: what the pairs of a work folder were prepared with.

In: a work folder, and the folder of truths. Out: the cloud rule and the largest share of cloud that
it admits. Without a summary both are the usual ones. For numbers of pictures, which are no DN,
there is no cloud rule, unless they were prepared with one. Refused: a summary that is damaged.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.pairs.summary import SUMMARY, read_summary
from kit.screening.rule import CloudRule
from kit.sources.origin import read_origin, read_tile_units
from kit.sources.units import is_reflectance

_USUAL = CloudRule()


@dataclass(frozen=True, slots=True)
class Clear:
    """The cloud rule, the largest share of a scene that may be cloud by it, and who says so."""

    rule: CloudRule = _USUAL
    max_cloud: float = 0.0
    origin: str = "the default"

    @property
    def text(self) -> str:
        """What truths may have of cloud, in words."""
        if self.max_cloud >= 1:
            return f"truths may have any cloud by the rule: {self.origin}"
        share = f"{100 * self.max_cloud:.4g} %"
        return f"truths may have {share} of cloud by the rule ({self.rule.text}): {self.origin}"


def clear_pairs(work: Path) -> Clear:
    """What the pairs of a work folder were prepared with; the usual where there are none yet.

    Raises:
        InputError: the summary is damaged, or its rule is out of range.
    """
    found = _settings(work)
    if not found:
        return Clear()
    max_cloud = float(found.get("max_cloud", 0.0))
    return Clear(CloudRule.of(found), max_cloud, f"as {work} was prepared")


def clear_truths(truth: Path, work: Path | None) -> Clear:
    """What counts as clear among truths.

    Tiles that were made of another layout are judged as the pairs beside them, others as those of
    `work`.

    Args:
        truth: Sentinel-2 tiles.
        work: the folder of tables; None if there is none.

    Raises:
        InputError: a summary, or the record of what the tiles were made of, is damaged.
    """
    if read_origin(truth):
        own = Path(os.path.relpath(truth.resolve().parent.parent))
        if "source" in _settings(own):
            return clear_pairs(own)
    if not is_reflectance(read_tile_units(truth)):
        return Clear(max_cloud=1.0, origin="their values are no reflectance")
    if work is None or not is_reflectance(_settings(work).get("units")):
        return Clear()
    return clear_pairs(work)


def _settings(work: Path) -> dict[str, Any]:
    path = work / SUMMARY
    found: dict[str, Any] = read_summary(path).get("settings", {}) if path.exists() else {}
    return found
