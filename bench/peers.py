"""What a competitor would write in an afternoon instead of taking the kit, to compare it with.

In: pairs to learn from, radar scenes to predict, a budget of CPU seconds. Out: images in [0, 1].
Each is plain and short, and as good as that allows: colours, boosted trees, and two networks.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from peer_networks import Gated, UNet, predict, train
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor

Images = NDArray[np.float32]

WHITE_DN = 3000
BOXES = (5, 15, 31)
PIXELS = 600_000  # that trees learn from, at most


class Scenes(NamedTuple):
    """Radar in dB [N, 2, H, W], its days of the year [N], and the name of each place."""

    radar: Images
    days: NDArray[np.float64]
    places: list[str]


class Known(NamedTuple):
    """What is learnt from: scenes, and the DN of their optical partners [N, 3, H, W]."""

    scenes: Scenes
    dn: NDArray[np.uint16]

    @property
    def unit(self) -> Images:
        """Reflectance in [0, 1], as it is scored."""
        return np.clip(self.dn / WHITE_DN, 0, 1).astype(np.float32)

    @property
    def stretched(self) -> Images:
        """Each channel between its own extremes, as the server scores it."""
        low, high = (f(self.dn, axis=(2, 3), keepdims=True).astype(float) for f in (np.min, np.max))
        stretched: Images = ((self.dn - low) / np.maximum(high - low, 1)).astype(np.float32)
        return stretched


def mean_color(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """One colour: the mean of all pixels."""
    return {"": _flat(known.unit.mean((0, 2, 3)), asked)}


def median_color(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """One colour: the median of all pixels."""
    return {"": _flat(np.median(known.unit, axis=(0, 2, 3)), asked)}


def stretched_color(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """One colour in the server's own space, which anchors keep."""
    return {"": _flat(known.stretched.mean((0, 2, 3)), asked)}


def other_dates(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """The median of what the same place shows on other dates; one colour where there is none."""
    images = _priors(known, asked)
    color = np.median(known.unit, axis=(0, 2, 3))[None, :, None, None]
    return {"": np.where(np.isnan(images), color, images)}


def trees(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """60 boosted trees a channel, of each pixel and the means around it."""
    return {"": _trees(_boxes(known.scenes), known, _boxes(asked), seed)}


def trees_with_date(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """The same trees, which also know the day of the year."""
    x, asked_x = ([*_boxes(scenes), *_date(scenes)] for scenes in (known.scenes, asked))
    return {"": _trees(x, known, asked_x, seed)}


def trees_with_dates(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """The same trees, which also know the day of the year and the place's other dates."""
    x, asked_x = (
        [*_boxes(scenes), *_date(scenes), *np.moveaxis(_priors(known, scenes, own), 1, 0)]
        for scenes, own in ((known.scenes, True), (asked, False))
    )
    return {"": _trees(x, known, asked_x, seed)}


def unet(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """A U-Net of four levels with batch norm, 1.9 M weights."""
    return predict(train(UNet, known.scenes.radar, known.unit, seconds, seed), asked.radar)


def nafnet(known: Known, asked: Scenes, seconds: float, seed: int) -> dict[str, Images]:
    """A U of gated blocks as in NAFNet, 1.2 M weights."""
    return predict(train(Gated, known.scenes.radar, known.unit, seconds, seed), asked.radar)


Peer = Callable[[Known, Scenes, float, int], dict[str, Images]]
"""Learns from pairs within CPU seconds, with a seed, and gives images by what tells them apart."""

STRETCHED_COLOR = "mean of stretched colours"
CONSTANTS: dict[str, Peer] = {
    "mean colour": mean_color,
    "median colour": median_color,
    STRETCHED_COLOR: stretched_color,
}
REVISITS: dict[str, Peer] = {
    "median of other dates": other_dates,
    "trees with date, other dates": trees_with_dates,
}
PEERS: dict[str, Peer] = {
    "trees": trees,
    "trees with date": trees_with_date,
    "U-Net": unet,
    "NAFNet": nafnet,
}


def _flat(color: NDArray[np.floating], asked: Scenes) -> Images:
    shape = (len(asked.radar), 3, *asked.radar.shape[2:])
    return np.broadcast_to(color[None, :, None, None], shape).astype(np.float32)


def _priors(known: Known, asked: Scenes, own: bool = False) -> Images:
    """The median of the other images of each place [N, 3, H, W]; NaN where there is none.

    `own` says that the scenes asked for are those of `known`, whose own images must not count.
    """
    result = np.full((len(asked.places), 3, *asked.radar.shape[2:]), np.nan, np.float32)
    places, unit = np.array(known.scenes.places), known.unit
    for index, place in enumerate(asked.places):
        others = places == place
        if own:
            others[index] = False
        if others.any():
            result[index] = np.median(unit[others], axis=0)
    return result


def _boxes(scenes: Scenes) -> list[Images]:
    """VV and VH, and their means over boxes: each [N, H, W]."""
    bands = [scenes.radar[:, 0], scenes.radar[:, 1]]
    return bands + [ndimage.uniform_filter(b, (0, side, side)) for side in BOXES for b in bands]


def _date(scenes: Scenes) -> list[Images]:
    """Sine and cosine of the day of the year: each [N, H, W]."""
    angle = 2 * np.pi * scenes.days[:, None, None] / 365.25
    shape = (len(scenes.days), *scenes.radar.shape[2:])
    return [np.broadcast_to(f(angle), shape).astype(np.float32) for f in (np.sin, np.cos)]


def _trees(x: list[Images], known: Known, asked: list[Images], seed: int) -> Images:
    features, wanted = (np.stack([each.ravel() for each in of], 1) for of in (x, asked))
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(features))[:PIXELS]
    channels = []
    for channel in range(3):
        model = HistGradientBoostingRegressor(
            loss="absolute_error", learning_rate=0.06, max_iter=60, max_leaf_nodes=31,
            min_samples_leaf=min(200, max(1, len(chosen) // 100)), l2_regularization=1.0,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        model.fit(features[chosen], known.unit[:, channel].ravel()[chosen])
        channels.append(model.predict(wanted).reshape(asked[0].shape))
    return np.stack(channels, 1).astype(np.float32)
