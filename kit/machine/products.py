"""Whether torch's matrix products keep up with its convolutions on this processor, by trying both.

Out: the answer in float32. oneDNN convolves, and MKL multiplies, which uses half of the width of an
AMD processor with AVX-512: there products reach half of the rate of convolutions. Elsewhere both
are alike, so that no noise of a measurement changes the answer, nor with it how a training rounds.
"""

import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

# Products reached 0.46 of the rate of convolutions on an AMD EPYC (Zen 5), and 1 on Intel's.
_LAG = 0.7
_ROUNDS = 5
_CHANNELS, _SIDE, _IMAGES, _PRODUCT = 128, 32, 2, 512
_CONVOLVING = 2 * _IMAGES * _SIDE**2 * _CHANNELS**2 * 9
_MULTIPLYING = 2 * _PRODUCT**3


def products_keep_up() -> bool:
    """Whether what is done by products in place of convolutions gains here.

    Takes a twentieth of a second, once in a process.
    """
    return share() >= _LAG


@cache
def share() -> float:
    """The rate of products as a share of that of convolutions, of one core in float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            # Numbers of torch's own generator would change what a training draws.
            features = torch.full((_IMAGES, _CHANNELS, _SIDE, _SIDE), 0.5)
            weight = torch.full((_CHANNELS, _CHANNELS, 3, 3), 0.5)
            features, weight = (
                each.to(memory_format=torch.channels_last) for each in (features, weight)
            )
            matrix = torch.full((_PRODUCT, _PRODUCT), 0.5)
            turns = [
                (
                    _seconds(lambda: F.conv2d(features, weight, padding=1)),
                    _seconds(lambda: matrix @ matrix),
                )
                for _ in range(1 + _ROUNDS)
            ][1:]  # the first builds the kernels
    finally:
        torch.set_num_threads(threads)
    convolving, multiplying = (min(turn[which] for turn in turns) for which in (0, 1))
    return (_MULTIPLYING / multiplying) / (_CONVOLVING / convolving)


def _seconds(compute: Callable[[], object]) -> float:
    start = time.thread_time()  # which stands while other programs have the core
    compute()
    return time.thread_time() - start
