"""What is kept of held-out predictions and their truths to fit by; a few kilobytes a scene.

In: for each scene the images of all members and the truth. Out: pixels, drawn with a seed, for
absolute errors, and exact moments over all pixels for squared ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.averaging import Averaging, average
from kit.prediction.affine import stretch_channel
from kit.scaling import UINT16_MAX

VALUES = 1 << 16
"""How many values of each member are kept in all, over scenes and channels."""

Floats = NDArray[np.float64]
Image = NDArray[np.uint16]
Found = Iterable[tuple[Sequence[Image], NDArray[np.floating]]]
"""For each scene the images [3, H, W] of all members, and the truth [3, H, W] in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Of S scenes and K sources: the M members, and from three members on their median.

    Attributes:
        scenes: their names.
        places: where each is.
        members: M.
        pixels: [S, K, 3, P] in [0, 1], those that were drawn.
        truth: [S, 3, P], their truth.
        means: [S, 3, K + 1], of each channel of each source, the truth's last.
        covariances: [S, 3, K + 1, K + 1], of the same.
    """

    scenes: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    members: int
    pixels: Floats
    truth: Floats
    means: Floats
    covariances: Floats

    @property
    def sources(self) -> int:
        """K."""
        return int(self.pixels.shape[1])


def observe(
    scenes: Sequence[str],
    places: Sequence[tuple[str, str]],
    found: Found,
    *,
    stretched: bool = False,
) -> Observations:
    """Look at every scene once.

    Args:
        scenes: their names.
        places: where each is.
        found: for each scene in turn the images [3, H, W] of all members, and the truth [3, H, W]
            in [0, 1].
        stretched: look at the images as the server stretches them.
    """
    random = np.random.default_rng(0)
    per_scene = max(1, VALUES // (3 * len(scenes)))
    pixels, truths, means, covariances = [], [], [], []
    members = 0
    for images, truth in found:
        members = len(images)
        median = [average(images, "median")] if members > 2 else []
        shown = [*map(stretch_image, (*images, *median))] if stretched else [*images, *median]
        stack = np.stack(shown).reshape(members + len(median), 3, -1)
        # Drawn with replacement: every scene counts alike, whatever its size.
        drawn = random.integers(stack.shape[2], size=per_scene)
        values = stack / float(UINT16_MAX)
        flat = np.asarray(truth, np.float64).reshape(3, -1)
        pixels.append(values[:, :, drawn])
        truths.append(flat[:, drawn])
        both = np.concatenate([values, flat[None]]).transpose(1, 0, 2)
        mean = both.mean(axis=2)
        means.append(mean)
        both = both - mean[:, :, None]
        covariances.append(both @ both.transpose(0, 2, 1) / both.shape[2])
    return Observations(
        scenes=tuple(scenes),
        places=tuple(places),
        members=members,
        pixels=np.stack(pixels),
        truth=np.stack(truths),
        means=np.stack(means),
        covariances=np.stack(covariances),
    )


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one average in the server's space, in [0, 1]; each is [S, 3].

    Its mean, the variance of its pixels around it, and their covariance with those of the truth.
    """

    mean: Floats
    variance: Floats
    covariance: Floats


def moments_of(averagings: Iterable[Averaging], found: Found) -> dict[Averaging, Moments]:
    """Look at every scene once more, for averages that are stretched after they are made."""
    wanted = list(dict.fromkeys(averagings))
    rows: dict[Averaging, list[list[Floats]]] = {each: [] for each in wanted}
    for images, truth in found:
        flat = np.asarray(truth, np.float64).reshape(3, -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        for averaging in wanted:
            image = stretch_image(average(images, averaging)).reshape(3, -1) / float(UINT16_MAX)
            mean = image.mean(axis=1)
            image = image - mean[:, None]
            covariance = (image * flat).mean(axis=1)
            rows[averaging].append([mean, np.square(image).mean(axis=1), covariance])
    found_rows = {each: np.array(values).transpose(1, 0, 2) for each, values in rows.items()}
    return {each: Moments(*values) for each, values in found_rows.items()}


def stretch_image(image: Image) -> Image:
    """An image [3, H, W] as the server stretches it, over all of uint16."""
    return np.stack([stretch_channel(channel) for channel in image]).astype(np.uint16)
