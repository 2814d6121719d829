"""A trained run as a function: radar in dB -> an optical image.

In: the folder of a run, and VV and VH as arrays, with their dates where the variant was trained
with them. Out: B4, B3, B2 in [0, 1]. Refused by name: a run without weights, arrays of another
shape, dates that are missing.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kit.device import place
from kit.errors import InputError
from kit.files import AnyPath
from kit.inputs.planes import season_planes
from kit.models.flips import average_views, check_flips
from kit.models.infer import infer
from kit.runs.weights import Weights, load_run
from kit.scaling import scale_radar
from kit.variants import Variant

_BATCH = 8

Dates = str | datetime.date | Sequence[str | datetime.date]
"""Dates of radar scenes, such as "2020-07-14" or a `datetime.date`; one, or one for each scene."""


@dataclass(frozen=True)
class Trained:
    """A trained generator that predicts images from arrays."""

    weights: Weights

    @property
    def variant(self) -> Variant:
        """What was trained."""
        return self.weights.variant

    def predict(
        self, radar: ArrayLike, *, dates: Dates | None = None, flips: int = 1
    ) -> NDArray[np.float32]:
        """Predict the optical image of a radar scene, or of several.

        Args:
            radar: sigma nought in dB, [2, H, W] as VV and VH, or [N, 2, H, W]; of any size. NaN,
                infinite and 0 are nodata, and are taken for the lowest backscatter.
            dates: of each scene, or one for all; needed where the variant has `date`.
            flips: average the images of so many views of each scene, 1, 4 or 8, as `kit.predict`.

        Returns:
            [3, H, W] or [N, 3, H, W] as B4, B3, B2 in [0, 1]: reflectance over 0 to 0.3 (DN 0 to
            3000) where the variant's target is "reflectance"; each channel between its own extremes
            where it is "minmax".

        Raises:
            InputError: an array of another shape; dates that are missing, too many or none; or
                another number of views.
        """
        check_flips(flips)
        scenes = np.asarray(radar, dtype=np.float32)
        single = scenes.ndim == 3
        scenes = scenes[None] if single else scenes
        if scenes.ndim != 4 or scenes.shape[1] != 2 or 0 in scenes.shape:
            raise InputError(
                "radar",
                f"has the shape {np.shape(radar)}",
                remedy="give VV and VH in dB as [2, H, W] or [N, 2, H, W]",
            )
        inputs = np.stack([scale_radar(scene) for scene in scenes])
        if self.variant.date:
            size = scenes.shape[2], scenes.shape[3]
            seasons = [season_planes(each, size) for each in self._dates(dates, len(scenes))]
            inputs = np.concatenate([inputs, np.stack(seasons)], axis=1)
        generator = place(self.weights.generator)
        network = partial(infer, generator)
        parts = [
            average_views(network, inputs[at : at + _BATCH], flips)
            for at in range(0, len(inputs), _BATCH)
        ]
        images: NDArray[np.float32] = np.concatenate(parts)
        return images[0] if single else images

    def _dates(self, dates: Dates | None, scenes: int) -> list[datetime.date]:
        """One date for each scene."""
        remedy = "give a date for each scene, such as dates=['2020-07-14'], or one for all"
        if dates is None:
            problem = f"are missing: {self.variant.name} was trained with the date of the radar"
            raise InputError("dates", problem, remedy=remedy)
        given = [dates] if isinstance(dates, str | datetime.date) else list(dates)
        try:
            found = [datetime.date.fromisoformat(str(each)[:10]) for each in given]
        except ValueError as error:
            raise InputError("dates", f"are no dates ({error})", remedy=remedy) from None
        if len(found) not in (1, scenes):
            problem = f"are {len(found)}, for {scenes} scenes"
            raise InputError("dates", problem, remedy=remedy)
        return found * scenes if len(found) == 1 else found


def load(folder: AnyPath) -> Trained:
    """The best weights of the run in `folder`, such as `runs/spade2`.

    Raises:
        InputError: it is not trained, or its weights are damaged or of another variant.
    """
    folder = Path(folder)
    return Trained(load_run(folder.parent, folder.name))
