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

from kit.errors import InputError
from kit.inputs.planes import season_planes
from kit.inputs.prior import no_prior
from kit.models.flips import average_views, check_flips
from kit.models.infer import infer
from kit.runs.weights import Weights, load_run
from kit.scaling import scale_radar
from kit.storage.files import AnyPath
from kit.variants.settings import Variant

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
        self,
        radar: ArrayLike,
        *,
        dates: Dates | None = None,
        priors: ArrayLike | None = None,
        flips: int = 1,
    ) -> NDArray[np.float32]:
        """Predict the optical image of a radar scene, or of several.

        Args:
            radar: sigma nought in dB, [2, H, W] as VV and VH, or [N, 2, H, W]; of any size. NaN,
                infinite and 0 are nodata, and are taken for the lowest backscatter. Where the
                variant has several `radar_dates`, their mean, as `kit.inputs.series.mean_power`
                makes it.
            dates: of each scene, or one for all; needed where the variant has `date`.
            priors: where the variant has `prior`, what each place looks like at other dates: of the
                shape and in the space of what is returned. Without any the network is told so.
            flips: average the images of so many views of each scene, 1, 4 or 8, as `kit.predict`.

        Returns:
            [3, H, W] or [N, 3, H, W] as B4, B3, B2 in [0, 1]: reflectance over 0 to 0.3 (DN 0 to
            3000) where the variant's target is "reflectance"; each channel between its own extremes
            where it is "minmax".

        Raises:
            InputError: an array of another shape; dates that are missing, too many or none; dates
                or priors for a variant that is given none; or another number of views.
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
        count, size = len(scenes), (scenes.shape[2], scenes.shape[3])
        planes = [np.stack([scale_radar(scene) for scene in scenes])]
        if self.variant.date:
            planes.append(np.stack([season_planes(x, size) for x in self._dates(dates, count)]))
        elif dates is not None:
            raise self._given_none("dates", "date")
        if self.variant.prior:
            planes.append(_prior_planes(priors, count, size))
        elif priors is not None:
            raise self._given_none("priors", "prior")
        inputs = np.concatenate(planes, axis=1)
        network = partial(infer, self.weights.placed)
        parts = [
            average_views(network, inputs[at : at + _BATCH], flips)
            for at in range(0, len(inputs), _BATCH)
        ]
        images: NDArray[np.float32] = np.concatenate(parts)
        return images[0] if single else images

    def _given_none(self, what: str, field: str) -> InputError:
        problem = f"are of no use: {self.variant.name} was trained with {field}=false"
        return InputError(what, problem, remedy="leave them out")

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


def _prior_planes(
    priors: ArrayLike | None, scenes: int, size: tuple[int, int]
) -> NDArray[np.float32]:
    """The planes [N, 4, H, W] of priors [3, H, W] or [N, 3, H, W], or of none."""
    if priors is None:
        return np.broadcast_to(no_prior(size), (scenes, 4, *size))
    images = np.asarray(priors, dtype=np.float32).reshape(-1, *np.shape(priors)[-3:])
    if images.shape != (scenes, 3, *size) or not (images.min() >= 0 and images.max() <= 1):
        height, width = size
        remedy = f"give B4, B3, B2 in [0, 1] as [{scenes}, 3, {height}, {width}]"
        problem = f"have the shape {np.shape(priors)}, or values outside of [0, 1]"
        raise InputError("priors", problem, remedy=remedy)
    return np.concatenate([images, np.ones((scenes, 1, *size), np.float32)], axis=1)


def load(folder: AnyPath) -> Trained:
    """The best weights of the run in `folder`, such as `runs/spade2`.

    Raises:
        InputError: it is not trained, or its weights are damaged or of another variant.
    """
    folder = Path(folder)
    return Trained(load_run(folder.parent, folder.name))
