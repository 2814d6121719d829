"""What a training changes: networks, optimisers, averaged weights and counters.

In: a variant. Out: its state at step 0; and the state as tensors and counters, and back from them,
for `kit.training.checkpoint` to store.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from kit.machine.device import pick, place
from kit.models.registry import build_discriminator, build_generator
from kit.training.adam import Adam
from kit.training.ema import MovingAverage
from kit.variants.settings import Counted, Variant

_OPTIMIZERS = "optimizers"
_RANDOM = "random"


@dataclass
class State:
    """All that changes while training.

    `batch` counts those of `epoch` that are done, `step` all of them; `mae`, `psnr` and, where that
    counts, `mse` are those of the best weights on the hold-out so far, at `best_step`, and `counts`
    says by which they are the best; `sums` are losses since the last record; `norms` are the
    running mean of each gradient's norm and how many it is of, [2] in float64 on the device;
    `recorded` is the length of the metrics in bytes.
    """

    generator: nn.Module
    generator_optimizer: Adam
    discriminator: nn.Module | None
    discriminator_optimizer: Adam | None
    average: MovingAverage | None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    mae: float | None = None
    psnr: float | None = None
    best_step: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)
    recorded: int = 0
    counts: Counted = "mae"
    mse: float | None = None

    COUNTERS: ClassVar = (
        "epoch", "batch", "step", "mae", "psnr", "best_step", "sums", "norms", "recorded",
    )  # fmt: skip
    # Stored where the MSE counts; without them, as in checkpoints of kits before 0.6.0, the MAE.
    _OF_MSE: ClassVar = ("counts", "mse")

    @property
    def best(self) -> float | None:
        """The error that counts, of the best weights; None before the first validation."""
        return self.mse if self.counts == "mse" else self.mae

    @classmethod
    def new(cls, variant: Variant, start: Callable[[nn.Module], None] = lambda _: None) -> "State":
        """Fresh networks and optimisers on the device; a discriminator only for a GAN loss.

        Args:
            variant: what is to be trained.
            start: sets other weights of the generator than random ones.
        """

        def adam(model: nn.Module, rate: float) -> Adam:
            return Adam(model.parameters(), rate, variant.betas, variant.weight_decay)

        generator = place(build_generator(variant))
        start(generator)
        discriminator = place(build_discriminator(variant)) if variant.gan else None
        return cls(
            generator,
            adam(generator, variant.lr),
            discriminator,
            adam(discriminator, variant.discriminator_lr) if discriminator else None,
            MovingAverage(generator, variant.ema) if variant.ema else None,
            counts=variant.counts,
        )

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors in groups: each network, the average, and the optimisers.

        With the optimisers is the state of torch's random numbers. The memory is shared.
        """
        groups: dict[str, dict[str, Tensor]] = {_OPTIMIZERS: {_RANDOM: torch.get_rng_state()}}
        for name, model, optimizer in self._networks():
            groups[name] = model.state_dict()
            groups[_OPTIMIZERS] |= {
                f"{name}/{key}": tensor for key, tensor in optimizer.tensors().items()
            }
        if self.average:
            groups["average"] = self.average.tensors
        return groups

    def counters(self) -> dict[str, Any]:
        """What is no tensor, and the norms, as JSON values."""
        pairs = {name: norm.tolist() for name, norm in self.norms.items()}
        norms = {name: [mean, int(count)] for name, (mean, count) in pairs.items()}
        names = (*self.COUNTERS, *(self._OF_MSE if self.counts == "mse" else ()))
        return {name: getattr(self, name) for name in names} | {"norms": norms}

    def restore(
        self, tensors: Mapping[str, Mapping[str, Tensor]], counters: Mapping[str, Any]
    ) -> None:
        """Set this state, and torch's random numbers, to what `tensors` and `counters` gave.

        Raises:
            KeyError, IndexError, TypeError, ValueError, RuntimeError: they are of other networks.
        """
        stored: dict[str, Any] = {"counts": "mae", "mse": None, **counters}
        for name in (*self.COUNTERS, *self._OF_MSE):
            value = stored[name]
            if not _valid(name, value):
                raise ValueError(f"{name} is {str(value)[:40]}")
            setattr(self, name, value)
        self.norms = {
            name: torch.tensor(norm, dtype=torch.float64, device=pick())
            for name, norm in counters["norms"].items()
        }
        for name, model, optimizer in self._networks():
            model.load_state_dict(tensors[name])
            optimizer.restore(_below(f"{name}/", tensors[_OPTIMIZERS]))
        if self.average:
            for name, tensor in self.average.tensors.items():
                tensor.copy_(tensors["average"][name])
        torch.set_rng_state(tensors[_OPTIMIZERS][_RANDOM])

    def _networks(self) -> Iterator[tuple[str, nn.Module, Adam]]:
        yield "generator", self.generator, self.generator_optimizer
        if self.discriminator and self.discriminator_optimizer:
            yield "discriminator", self.discriminator, self.discriminator_optimizer


def _valid(counter: str, value: Any) -> bool:
    """Whether a counter has a value of its kind."""
    if counter == "counts":
        return value in get_args(Counted)
    if counter in ("mae", "mse", "psnr", "best_step"):
        return value is None or (type(value) in (int, float) and math.isfinite(value))
    if counter == "sums":
        return isinstance(value, dict) and all(type(x) in (int, float) for x in value.values())
    if counter == "norms":
        return isinstance(value, dict) and all(
            isinstance(pair, list) and [type(x) in (int, float) for x in pair] == [True, True]
            for pair in value.values()
        )
    return type(value) is int and 0 <= value < 2**63


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}
