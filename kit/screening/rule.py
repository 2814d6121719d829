"""The cloud rule, and where it sees cloud in a scene: in numpy, as the definition reads.

In: digital numbers of B4, B3, B2 of one scene. Out: where the rule sees cloud, and how far the
scene is from the threshold, in exact integer arithmetic: the reference of the compiled core.
Refused: settings out of their range.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.errors import InputError

NO_PEAK = -1000


@dataclass(frozen=True, slots=True)
class CloudRule:
    """A pixel is cloud where its brightness exceeds its saturation by more than `threshold`.

    With the digital numbers clipped to `scale` (5000 is a reflectance of 0.5) and M, m the largest
    and smallest of the three, brightness is v = M / scale, saturation is s = (M - m) / M, and the
    pixel is cloud where v - s > threshold. Haze brightens and whitens, so v - s grows with it: the
    colour attenuation prior of Zhu, Mai and Shao, IEEE TIP 24(11), 2015.

    Then areas of fewer than `min_area` cloud pixels, corners touching, are dropped: roofs and
    rocks are small. What is left grows by `dilate` pixels to every side, since a cloud's edge is
    thin. Pixels without data are never cloud.

    The defaults are calibrated on the 13 official sample scenes. At scale 5000 the largest v - s in
    a scene is at most 0.394 over the 5 that are clear by eye, and at least 0.479 in each of the 8
    cloudy ones; 0.43 lies between.

    Args:
        scale: 1 to 65535, in digital numbers.
        threshold: -1 to 1 in steps of 0.001, so that integers can hold it.
        min_area: pixels, at least 1, which drops nothing.
        dilate: pixels, 0 to 1000.

    Raises:
        InputError: a value is out of its range.
    """

    scale: int = 5000
    threshold: float = 0.43
    min_area: int = 1
    dilate: int = 0

    def __post_init__(self) -> None:
        _require_integer("cloud scale", self.scale, 1, 65535)
        _require_integer("cloud min_area", self.min_area, 1, 2**31 - 1)
        _require_integer("cloud dilate", self.dilate, 0, 1000)
        # The tolerance admits sums such as 0.1 + 0.2. NaN fails the range.
        in_range = -1 <= self.threshold <= 1
        if not in_range or abs(self.threshold - self.threshold_milli / 1000) > 1e-9:
            allowed = "it must be a multiple of 0.001 from -1 to 1"
            raise InputError("cloud threshold", f"is {self.threshold!r}", remedy=allowed)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "CloudRule":
        """The rule among settings of a preparation; what is missing has its default."""
        return cls(**{name: settings[name] for name in cls.__slots__ if name in settings})

    @property
    def text(self) -> str:
        """The rule in words."""
        words = f"threshold {self.threshold:g}, scale {self.scale}, "
        return words + f"min area {self.min_area}, dilate {self.dilate}"

    @property
    def threshold_milli(self) -> int:
        """The threshold in thousandths."""
        return round(self.threshold * 1000)

    @property
    def by_pixel(self) -> bool:
        """Whether a pixel's neighbours do not matter."""
        return self.min_area == 1 and self.dilate == 0


def cloud_mask(rgb: NDArray[np.uint16], rule: CloudRule) -> NDArray[np.bool_]:
    """Where `rule` sees cloud in one scene [3, H, W], as [H, W]."""
    numerator, denominator = excess(rgb, rule.scale)
    mask: NDArray[np.bool_] = numerator > rule.threshold_milli * denominator
    if rule.min_area > 1:
        mask = _drop_small(mask, rule.min_area)
    if rule.dilate:
        mask = grow(mask, rule.dilate)
    mask &= rgb.max(axis=0) != 0
    return mask


def peak(rgb: NDArray[np.uint16], scale: int) -> int:
    """The largest v - s in a scene [3, H, W], rounded up to thousandths; `NO_PEAK` if all is 0."""
    numerator, denominator = excess(rgb, scale)
    valid = denominator > 0
    thousandths = -(-numerator[valid] // denominator[valid])
    return int(thousandths.max(initial=NO_PEAK))


def excess(rgb: NDArray[np.uint16], scale: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """v - s of a scene [3, H, W] in thousandths, as numerators and denominators [H, W].

    Both are 0 where all bands are.
    """
    clipped = np.minimum(rgb, scale).astype(np.int64)
    largest, smallest = clipped.max(axis=0), clipped.min(axis=0)
    return 1000 * (largest * largest - scale * (largest - smallest)), scale * largest


def _drop_small(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    kept = np.zeros_like(mask)
    while left:
        area = [left.pop()]
        for y, x in area:  # grows while it is walked
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            area.extend(near)
        if len(area) >= min_area:
            kept[tuple(zip(*area, strict=True))] = True
    return kept


def grow(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Whatever is at most `reach` pixels from what is set in [H, W], diagonals included."""
    for axis in (0, 1):
        margin = [(0, 0), (0, 0)]
        margin[axis] = (reach, reach)
        windows = sliding_window_view(np.pad(mask, margin), 2 * reach + 1, axis=axis)
        mask = np.asarray(windows.any(axis=-1))
    return mask


def _require_integer(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            name, f"is {value!r}", remedy=f"it must be an integer from {low} to {high}"
        )
