"""Whether torch's matrix products keep up with its convolutions on this processor, by trying both.

Out: the answer in float32, kept with the name of the machine. oneDNN convolves, and MKL multiplies,
which uses half of the width of an AMD processor with AVX-512: on Zen 5 products reach half of the
rate of convolutions.
"""

import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from kit.machine.kept import keep, one_core, read_kept

# Products reached 0.46 of the rate of convolutions on an AMD EPYC (Zen 5), and 1 on Intel's.
_LAG = 0.7
_ROUNDS = 5
WHAT, FORMAT, NAMES = "products", 1, ("convolving", "multiplying")
_CHANNELS, _SIDE, _IMAGES, _PRODUCT = 128, 32, 2, 512
_CONVOLVING = 2 * _IMAGES * _SIDE**2 * _CHANNELS**2 * 9
_MULTIPLYING = 2 * _PRODUCT**3


@cache
def products_keep_up() -> bool:
    """Whether what is done by products in place of convolutions gains here.

    Takes a twentieth of a second, once on a machine. The first call is for one thread alone.
    """
    rates = read_kept(WHAT, FORMAT, NAMES)
    if rates is None:
        rates = measure()
        keep(WHAT, FORMAT, dict(zip(NAMES, rates, strict=True)))
    convolving, multiplying = rates
    return multiplying >= _LAG * convolving


def measure() -> tuple[float, float]:
    """Operations that one core convolves and multiplies in a second, in thousands of millions."""
    # Numbers of torch's own generator would change what a training draws.
    features = torch.full((_IMAGES, _CHANNELS, _SIDE, _SIDE), 0.5)
    weight = torch.full((_CHANNELS, _CHANNELS, 3, 3), 0.5)
    features, weight = (each.to(memory_format=torch.channels_last) for each in (features, weight))
    matrix = torch.full((_PRODUCT, _PRODUCT), 0.5)
    with one_core(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        turns = [
            (
                _seconds(lambda: F.conv2d(features, weight, padding=1)),
                _seconds(lambda: matrix @ matrix),
            )
            for _ in range(1 + _ROUNDS)
        ][1:]  # the first builds the kernels
    convolving, multiplying = (min(turn[which] for turn in turns) for which in (0, 1))
    return _CONVOLVING / convolving / 1e9, _MULTIPLYING / multiplying / 1e9


def _seconds(compute: Callable[[], object]) -> float:
    start = time.thread_time()  # which stands while other programs have the core
    compute()
    return max(time.thread_time() - start, time.get_clock_info("thread_time").resolution)
