"""The average of a network's images over flips and quarter turns of its input.

In: inputs [N, C, H, W], and whatever makes images of them. Out: images [N, 3, H, W], the mean in
float32 of what it makes of each view, turned back. Refused by name: another number of views.
"""

from collections.abc import Callable

import numpy as np

from kit.errors import InputError
from kit.scaling import Array

# Quarter turns, and whether columns are mirrored after them. The first four keep the size.
_VIEWS = tuple((turns, mirrored) for turns in (0, 2, 1, 3) for mirrored in (False, True))
FLIPS = (1, 4, 8)
"""How many views there may be: the image itself; with both mirrors; with quarter turns too."""


def check_flips(flips: int) -> None:
    """Refuse a number of views that is not one of `FLIPS`.

    Raises:
        InputError: it is another.
    """
    if flips not in FLIPS:
        raise InputError(f"--flips {flips}", "no such number of views", remedy="give 1, 4 or 8")


def average_views(network: Callable[[Array], Array], inputs: Array, flips: int) -> Array:
    """The mean image of `flips` views of each input; with one, what `network` makes of it.

    Args:
        network: inputs [N, C, H, W] or, for quarter turns, [N, C, W, H] to images of that size.
        inputs: [N, C, H, W].
        flips: one of `FLIPS`.

    Returns:
        [N, 3, H, W].
    """
    if flips == 1:
        return network(inputs)
    first, *others = _VIEWS[:flips]
    total = _back(network(_seen(inputs, *first)), *first)
    for view in others:
        total = total + _back(network(_seen(inputs, *view)), *view)
    mean = total / flips  # exact: a power of two
    return np.ascontiguousarray(mean) if isinstance(mean, np.ndarray) else mean.contiguous()


def _seen(inputs: Array, turns: int, mirrored: bool) -> Array:
    if not isinstance(inputs, np.ndarray):
        view = inputs.rot90(turns, (2, 3))
        return (view.flip(3) if mirrored else view).contiguous()
    turned = np.rot90(inputs, turns, axes=(2, 3))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def _back(images: Array, turns: int, mirrored: bool) -> Array:
    if not isinstance(images, np.ndarray):
        return (images.flip(3) if mirrored else images).rot90(-turns, (2, 3))
    return np.rot90(images[..., ::-1] if mirrored else images, -turns, axes=(2, 3))
