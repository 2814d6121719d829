"""Whether this machine computes faster in bfloat16 than in float32, found by trying it.

In: a convolution and a product such as the networks are made of. Out: the rate in each precision,
kept in the user's cache folder with the name of the machine. Other programs can only lower a rate:
a machine that proves much faster than what was kept was busy then, and is measured again.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import torch
import torch.nn.functional as F

from kit.machine.device import pick
from kit.machine.kept import keep, one_core, read_kept

# bfloat16 rounds, so a gain that is within the noise of a measurement is none.
_PAYS = 1.2
_BUSY = 1.25  # times the kept rate that show that it was measured on a busy machine
_ROUNDS = 5

WHAT, _FORMAT = "bfloat16", 2
_CHANNELS, _SIDE, _IMAGES, _PRODUCT = 128, 32, 2, 512
# A convolution and its two gradients, and a product.
_OPERATIONS = 3 * 2 * _IMAGES * _SIDE**2 * _CHANNELS**2 * 9 + 2 * _PRODUCT**3


@dataclass(frozen=True, slots=True)
class Rates:
    """Floating point operations a second in each precision, in thousands of millions."""

    float32: float
    bfloat16: float

    @property
    def gain(self) -> float:
        """How many times as fast bfloat16 is."""
        return self.bfloat16 / self.float32

    def disproves(self, kept: "Rates") -> bool:
        """Whether these show that `kept` were measured on a busy machine."""
        return self.float32 > _BUSY * kept.float32 or self.bfloat16 > _BUSY * kept.bfloat16


def bfloat16_pays() -> bool:
    """Whether networks are trained and predict faster in bfloat16 on this device."""
    if pick().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = rates()
    return found is not None and found.gain >= _PAYS


@cache
def rates() -> Rates | None:
    """The rates of this processor, as they were kept, or measured now; None if it has no bfloat16.

    Takes a fraction of a second, once in a process.
    """
    if not _has_bfloat16():
        return None
    kept = _read()
    if kept and not measure(1).disproves(kept):
        return kept
    found = measure(_ROUNDS)
    _keep(found)
    return found


def measure(rounds: int) -> Rates:
    """The best rates of one core in so many rounds, in which the precisions take turns."""
    with one_core(), torch.inference_mode(False), torch.enable_grad():
        seconds = _trial()
        for half in (False, True):  # the first call builds the kernels
            seconds(half)
        turns = [(seconds(False), seconds(True)) for _ in range(rounds)]
    return Rates(*(_OPERATIONS / min(times) / 1e9 for times in zip(*turns, strict=True)))


def _trial() -> Callable[[bool], float]:
    """A function that computes once, in bfloat16 if it is given True, and returns the seconds."""
    # Numbers of torch's own generator would change what a training draws.
    features = torch.full((_IMAGES, _CHANNELS, _SIDE, _SIDE), 0.5)
    features = features.to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.full((_CHANNELS, _CHANNELS, 3, 3), 0.5, requires_grad=True)
    product = torch.full((_PRODUCT, _PRODUCT), 0.5)

    def seconds(half: bool) -> float:
        start = time.thread_time()  # which stands while other programs have the core
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            made = F.conv2d(features, weight, padding=1)
            _ = product @ product
        made.backward(torch.ones_like(made))  # type: ignore[no-untyped-call]
        return time.thread_time() - start

    return seconds


def _has_bfloat16() -> bool:
    """Whether oneDNN has convolutions of bfloat16 here; torch's own loops take minutes."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _read() -> Rates | None:
    """What was kept of this machine; None if there is nothing, or nothing that can be read."""
    found = read_kept(WHAT, _FORMAT, ("float32", "bfloat16"))
    return Rates(*found) if found else None


def _keep(found: Rates) -> None:
    keep(WHAT, _FORMAT, asdict(found))
