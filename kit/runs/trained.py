"""A trained run as a function: radar in dB -> an optical image.

In: the folder of a run, and VV and VH as arrays. Out: B4, B3, B2 in [0, 1]. Refused by name: a run
without weights, arrays of another shape.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kit.device import place
from kit.errors import InputError
from kit.files import AnyPath
from kit.models.infer import infer
from kit.runs.weights import Weights, load_run
from kit.scaling import scale_radar
from kit.variants import Variant

_BATCH = 8


@dataclass(frozen=True)
class Trained:
    """A trained generator that predicts images from arrays."""

    weights: Weights

    @property
    def variant(self) -> Variant:
        """What was trained."""
        return self.weights.variant

    def predict(self, radar: ArrayLike) -> NDArray[np.float32]:
        """Predict the optical image of a radar scene, or of several.

        Args:
            radar: sigma nought in dB, [2, H, W] as VV and VH, or [N, 2, H, W]; of any size. NaN,
                infinite and 0 are nodata, and are taken for the lowest backscatter.

        Returns:
            [3, H, W] or [N, 3, H, W] as B4, B3, B2 in [0, 1]: reflectance over 0 to 0.3 (DN 0 to
            3000) where the variant's target is "reflectance"; each channel between its own extremes
            where it is "minmax".

        Raises:
            InputError: an array of another shape.
        """
        scenes = np.asarray(radar, dtype=np.float32)
        single = scenes.ndim == 3
        scenes = scenes[None] if single else scenes
        if scenes.ndim != 4 or scenes.shape[1] != 2 or 0 in scenes.shape:
            raise InputError(
                "radar",
                f"has the shape {np.shape(radar)}",
                remedy="give VV and VH in dB as [2, H, W] or [N, 2, H, W]",
            )
        scaled = np.stack([scale_radar(scene) for scene in scenes])
        generator = place(self.weights.generator)
        parts = [infer(generator, scaled[at : at + _BATCH]) for at in range(0, len(scaled), _BATCH)]
        images: NDArray[np.float32] = np.concatenate(parts)
        return images[0] if single else images


def load(folder: AnyPath) -> Trained:
    """The best weights of the run in `folder`, such as `runs/spade2`.

    Raises:
        InputError: it is not trained, or its weights are damaged or of another variant.
    """
    folder = Path(folder)
    return Trained(load_run(folder.parent, folder.name))
