"""A radar scene, an optical scene or both of one place: pixels, and what the kit knows of them.

In: what `kit.showing.finding` has read. Out: masks, bands in numbers, and errors of predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.ground import Place
from kit.metrics import errors, mse, psnr
from kit.pairs.table import Pair
from kit.scaling import UINT16_MAX, radar_nodata, scale_optical, stretch
from kit.screening.counts import scene_masks
from kit.screening.rule import CloudRule, excess
from kit.showing.band import Band
from kit.tiles.names import RGB_BANDS, S1_BANDS, SceneKey
from kit.tiles.raster import Grid
from kit.tiles.scenes import Scene

_MASKS = {"nodata": "nodata", "qa60": "QA60", "cloud": "cloud"}
"""The masks that are shown, of those of screening, and what they are called."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A scene and its pixels [bands, H, W]; of an optical one B4, B3, B2 and, if there is, QA60."""

    scene: Scene
    values: NDArray[Any]
    grid: Grid

    @property
    def key(self) -> SceneKey:
        """Its place and date."""
        return self.scene.key


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image [3, H, W] that a run made of a radar scene; its values over 65535 are in [0, 1].

    `target` is the space of the values, `origin` where the image lies, and `doubt` what speaks
    against taking its errors for those of an unseen place; "" if nothing does.
    """

    name: str
    image: NDArray[np.uint16]
    target: str
    origin: str
    doubt: str = ""

    @property
    def unit(self) -> NDArray[np.float32]:
        """The image in [0, 1]."""
        return self.image.astype(np.float32) / np.float32(UINT16_MAX)


@dataclass(frozen=True, slots=True)
class View:
    """What there is of one radar scene, of one optical scene, or of both.

    `left_out` is why it is in no pair, where screening or pairing has a reason.
    """

    radar: Pixels | None
    optical: Pixels | None
    pair: Pair | None
    rule: CloudRule
    predictions: tuple[Prediction, ...] = ()
    left_out: str = ""

    @property
    def place(self) -> Place:
        """Longitude and latitude as the names give them."""
        key = self._one.key
        return key.place

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        return self._one.grid

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._one.values.shape[1], self._one.values.shape[2]

    @property
    def _one(self) -> Pixels:
        one = self.radar or self.optical
        assert one
        return one

    @property
    def title(self) -> str:
        """The place and the dates, in a line."""
        parts = ["_".join(self.place)]
        parts += [f"radar {self.radar.key.date}"] if self.radar else []
        parts += [f"optical {self.optical.key.date}"] if self.optical else []
        return ", ".join(parts)

    @property
    def standing(self) -> str:
        """What becomes of it in training, in words."""
        if self.pair is None:
            return "in no pair" + (f": {self.left_out}" if self.left_out else "")
        if not self.pair.dataset1:
            return "pair, in no data set"
        dataset = "Dataset-1 and Dataset-2" if self.pair.dataset2 else "Dataset-1"
        split = {
            "train": "trained on",
            "holdout": "hold-out",
            "buffer": "buffer: shares ground with the hold-out, not trained on",
        }[self.pair.split]
        return f"pair of {dataset}, {split}"

    def radar_nodata(self) -> NDArray[np.bool_] | None:
        """Where the radar has no measurement, [H, W]; None without a radar scene."""
        return radar_nodata(self.radar.values) if self.radar else None

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Where screening counts nodata, a flag of QA60, and cloud by the rule, as [H, W].

        Empty without an optical scene.
        """
        if self.optical is None:
            return {}
        rgb, flags = self.optical.values[:3], self.optical.values[3:]
        qa60 = flags[0] if len(flags) else np.zeros_like(rgb[0])
        masks = scene_masks(rgb, qa60, self.rule)
        return {shown: masks[name] for name, shown in _MASKS.items()}

    def haze(self) -> NDArray[np.float64] | None:
        """v - s of the cloud rule, [H, W]; NaN without data; None without an optical scene."""
        if self.optical is None:
            return None
        numerator, denominator = excess(self.optical.values[:3], self.rule.scale)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(denominator > 0, numerator / denominator / 1000, np.nan)

    def bands(self) -> list[Band]:
        """The bands in numbers, of pixels that are measurements."""
        found = []
        if self.radar:
            valid = ~radar_nodata(self.radar.values)
            found += [
                Band(name, band[valid])
                for name, band in zip(S1_BANDS, self.radar.values, strict=True)
            ]
        if self.optical:
            valid = ~self.masks()["nodata"]
            found += [
                Band(name, band[valid])
                for name, band in zip(RGB_BANDS, self.optical.values, strict=False)
            ]
        return found

    def truth(self, target: str) -> NDArray[np.float32] | None:
        """The optical scene [3, H, W] in [0, 1], in the space of `target`; None without one."""
        return scale_optical(self.optical.values[:3], target) if self.optical else None

    def errors(self, prediction: Prediction) -> dict[str, float]:
        """The errors of a prediction against the optical scene; empty without one."""
        truth = self.truth(prediction.target)
        if truth is None:
            return {}
        if truth.shape != prediction.image.shape:
            size = "x".join(map(str, truth.shape[1:]))
            problem = f"is {list(prediction.image.shape)}, and the optical scene is {size}"
            raise InputError(prediction.origin, problem, remedy="predict it again")
        found = errors(prediction.unit, truth)
        stretched = self.truth("minmax")
        assert stretched is not None
        return found | {
            "psnr": psnr(found["mse"]),
            "official": mse(stretch(prediction.image), stretched),
        }

    def as_dict(self) -> Mapping[str, Any]:
        """Everything but pixels, as JSON values."""
        west, south, east, north = self.grid.bounds(*self.size)
        return {
            "place": "_".join(self.place),
            "crs": self.grid.crs,
            "bounds": {"west": west, "south": south, "east": east, "north": north},
            "height": self.size[0],
            "width": self.size[1],
            "radar": _scene(self.radar),
            "optical": _scene(self.optical),
            "standing": self.standing,
            "shares": {name: float(mask.mean()) for name, mask in self.masks().items()},
            "detector": self.pair.flagged if self.pair else None,
            "bands": [band.as_dict() for band in self.bands()],
            "predictions": [
                {"name": each.name, "file": each.origin, "target": each.target}
                | {"doubt": each.doubt, "errors": self.errors(each)}
                for each in self.predictions
            ],
        }


def _scene(pixels: Pixels | None) -> dict[str, Any] | None:
    if pixels is None:
        return None
    return {"scene": str(pixels.key), "files": [*map(str, pixels.scene.files)]}
