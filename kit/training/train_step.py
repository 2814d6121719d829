"""One training step: a batch of pairs -> better networks.

In: the state, and a batch. Out: the state after one step of the generator and, with a GAN loss, one
of the discriminator; the losses. Where a loss or gradient is not finite, no optimiser takes that
step, or one after it. On a card this is decided there, so that nothing waits for it.
"""

import gc
import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm, parametrize

from kit.inputs.dataset import Sample
from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.device import pick
from kit.machine.distributed import ProcessGroup
from kit.machine.products import products_keep_up
from kit.machine.spinning import SPINNING
from kit.machine.transfer import Download, Uploads
from kit.models.layers.convolution import with_products
from kit.models.rewrites.spectral_norm import read_weights
from kit.training.adam import Adam
from kit.training.clipping import clip
from kit.training.compile_error import compile_failures_named
from kit.training.losses import discriminator_loss, generator_loss, pixel_loss
from kit.training.state import State
from kit.variants.settings import Variant

# What is read beside the losses: a value of a network has its name before this.
_NORM, _SPIKE = "_norm", "_spike"


class NotFiniteError(ArithmeticError):
    """A loss or a gradient is NaN or infinite.

    Args:
        what: which, and its value.
        counted: whether `State.step` counts its step already.
    """

    def __init__(self, what: str, counted: bool) -> None:
        super().__init__(what)
        self.counted = counted


class TrainStep:
    """Trains the networks of `state` by one batch a call, with the other ranks of `group`.

    Args:
        variant: losses, precision, and the parts that a batch is computed in.
        state: what is trained.
        group: each rank gets its own share of every batch.
        compile: compile the generator with torch.compile; the first steps then take minutes.

    Attributes:
        late: whether losses are read a step late, as on a card, where reading is waiting.
    """

    def __init__(
        self, variant: Variant, state: State, group: ProcessGroup, compile: bool = False
    ) -> None:
        self.variant = variant
        self.state = state
        self.group = group
        self.half = variant.precision == "bfloat16" or (
            variant.precision == "auto" and bfloat16_pays()
        )
        self.late = pick().type == "cuda"
        self._products = not (self.late or self.half) and products_keep_up()
        self._uploads = Uploads()
        self._unread: tuple[list[str], Download] | None = None
        # 1 from the first step on that is not finite.
        self._stopped = torch.zeros((), dtype=torch.float32, device=pick())
        # Not in place: a generator compiled in place would be compiled again for each validation.
        self._local: nn.Module = state.generator
        if compile:
            self._local = torch.compile(state.generator)  # type: ignore[assignment]
        self._generator = self._synchronised(self._local)
        self._discriminator = (
            self._synchronised(state.discriminator) if state.discriminator else None
        )

    def __call__(self, sample: Sample) -> dict[str, float]:
        """Train by this rank's share of a batch; returns the losses of the whole batch.

        A value `<network>_spike` reports that its gradient was clipped: the norm that it had, as a
        multiple of the running mean. Where losses are read late, a call returns those of the call
        before, unless `last_losses` has.

        Raises:
            NotFiniteError: a loss or a gradient of what is read is not finite.
            CompileError: the generator cannot be compiled.
        """
        with SPINNING.watch(), compile_failures_named(self.variant.name):
            return self._step(sample)

    def _step(self, sample: Sample) -> dict[str, float]:
        state = self.state
        state.generator.train()
        parts = self._parts(Sample(*self._uploads(sample)))
        fakes = []
        sums = torch.zeros(2 if state.discriminator else 1, device=pick())
        for number, (part, share) in enumerate(parts, start=1):
            with self._synchronise_last(self._generator, number == len(parts)):
                fake, losses = self._generator_losses(part, share, len(parts))
                self._weighted(losses).backward()  # type: ignore[no-untyped-call]
            fakes.append(fake.detach())
            sums += losses.detach()
        values = self._update(
            "generator", dict(zip((self.variant.pixel_loss, "gan"), sums, strict=False))
        )
        if state.discriminator:
            values |= self._train_discriminator([part for part, _ in parts], fakes)
        found = self.last_losses()
        self._unread = [*values], Download(torch.stack([*values.values()]))
        if not self.late:
            found = self._read(counted=False)
        if state.average:
            state.average.update(state.generator, state.step + 1)
        return found

    def last_losses(self) -> dict[str, float]:
        """The losses of the last call, once the device has them; empty if they were returned.

        Raises:
            NotFiniteError: one of them, or a gradient, is not finite.
        """
        return self._read(counted=True)

    def _read(self, counted: bool) -> dict[str, float]:
        if self._unread is None:
            return {}
        (names, download), self._unread = self._unread, None
        values = dict(zip(names, download.numbers(), strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                network = name.removesuffix(_NORM)
                what = name if network == name else f"the norm of the {network}'s gradient"
                raise NotFiniteError(f"{what} is {value}", counted)
        return {
            name: value
            for name, value in values.items()
            if not name.endswith(_NORM) and (value or not name.endswith(_SPIKE))
        }

    def largest(self, sample: Sample) -> int:
        """How many pairs of a batch that was too large for the device fit at a time; 0 if none.

        No training should continue with the networks afterwards.
        """
        fits, too_many = 0, len(sample.inputs) // self.variant.accumulate
        while too_many - fits > 1:
            count = (fits + too_many) // 2
            if self._fits(Sample(*(tensor[:count] for tensor in sample))):
                fits = count
            else:
                too_many = count
        return fits

    def _fits(self, part: Sample) -> bool:
        for optimizer in (self.state.generator_optimizer, self.state.discriminator_optimizer):
            if optimizer:
                optimizer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
        try:
            part = Sample(*self._uploads(part))
            fake, losses = self._generator_losses(part, torch.ones((), device=pick()), 1)
            self._weighted(losses).backward()  # type: ignore[no-untyped-call]
            if self.state.discriminator:
                self.state.discriminator.requires_grad_(True)
                loss = self._discriminator_loss(self.state.discriminator, part, fake.detach())
                loss.backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            return False
        return True

    def _generator_losses(self, part: Sample, share: Tensor, parts: int) -> tuple[Tensor, Tensor]:
        """The generator's images, and its losses: of pixels and, with a discriminator, GAN."""
        discriminator = self.state.discriminator
        with self._forward(self.state.generator):
            fake: Tensor = self._generator(part.inputs)
        images = fake.to(part.target.dtype), part.target
        losses = [pixel_loss(*images, part.mask, self.variant.pixel_loss) * share]
        if discriminator:
            discriminator.requires_grad_(False)
            with self._forward(discriminator):
                maps = _to_precision_of(part.target, discriminator(part.inputs, fake))
            losses.append(generator_loss(self.variant.model, maps) / parts)
        return fake, torch.stack(losses)

    def _weighted(self, losses: Tensor) -> Tensor:
        weights = (self.variant.l1, self.variant.gan)[: len(losses)]
        return torch.stack(
            [weight * loss for weight, loss in zip(weights, losses, strict=True)]
        ).sum()

    def _train_discriminator(self, parts: list[Sample], fakes: list[Tensor]) -> dict[str, Tensor]:
        assert self.state.discriminator is not None and self._discriminator is not None
        self.state.discriminator.requires_grad_(True)
        total = torch.zeros((), device=pick())
        for number, (part, fake) in enumerate(zip(parts, fakes, strict=True), start=1):
            if self.variant.model == "spade":
                # SPADE's authors use the images of the generator after its own step.
                with torch.no_grad(), self._forward(self.state.generator):
                    fake = self._local(part.inputs)
            with self._synchronise_last(self._discriminator, number == len(parts)):
                loss = self._discriminator_loss(self._discriminator, part, fake) / len(parts)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return self._update("discriminator", {"discriminator": total})

    def _discriminator_loss(self, discriminator: nn.Module, part: Sample, fake: Tensor) -> Tensor:
        assert self.state.discriminator is not None
        inputs = torch.cat([part.inputs, part.inputs])
        with self._forward(self.state.discriminator):
            both = discriminator(inputs, torch.cat([fake.to(part.target.dtype), part.target]))
        fakes, reals = zip(
            *(scale.chunk(2) for scale in _to_precision_of(part.target, both)), strict=True
        )
        return discriminator_loss(self.variant.model, fakes, reals)

    def _update(self, network: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clip the gradient of a network and step its optimiser, unless something is not finite.

        Returns the losses of the whole batch, the norm of the gradient, and its spike or 0: numbers
        in float64 on the device.
        """
        model: nn.Module = getattr(self.state, network)
        optimizer: Adam = getattr(self.state, f"{network}_optimizer")
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = get_total_norm(gradients)
        mean = self.group.sum(torch.stack([*losses.values(), norm])) / self.group.world_size
        stopped = mean.isfinite().all().logical_not().to(self._stopped.dtype)
        self._stopped = torch.maximum(self._stopped, stopped)
        *numbers, length = mean.double().unbind()
        usual = self.state.norms.get(network, mean.new_zeros(2, dtype=torch.float64))
        clipped = clip(gradients, norm, length, usual, self.variant.clip)
        self.state.norms[network] = usual.where(self._stopped > 0, clipped.usual)
        optimizer.step(self._stopped)
        optimizer.zero_grad()
        extra = {network + _NORM: length, network + _SPIKE: clipped.spike}
        return dict(zip(losses, numbers, strict=True)) | extra

    def _parts(self, sample: Sample) -> list[tuple[Sample, Tensor]]:
        """The parts of a batch, each with its share of the valid pixels.

        The pixel loss is a mean over the valid pixels, of which parts and ranks may have different
        numbers; gradients are averaged over ranks, hence the world size.
        """
        count = self.variant.accumulate
        pixels = self.group.sum(sample.mask.sum()).clamp(min=1)
        parts = [Sample(*part) for part in zip(*(t.chunk(count) for t in sample), strict=True)]
        return [(part, part.mask.sum() / pixels * self.group.world_size) for part in parts]

    def _synchronised(self, model: nn.Module) -> nn.Module:
        """`model` with gradients that are averaged over the ranks."""
        if self.group.world_size == 1:
            return model
        # Buffers need no copying: estimates of spectral norms follow from the weights, and running
        # statistics are recalibrated before they are used.
        with warnings.catch_warnings():
            # torch 2.13 renames this argument; the new name does not exist in 2.11.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(model, broadcast_buffers=False)

    def _synchronise_last(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Synchronise gradients after the last part of a batch alone."""
        if isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return nullcontext()

    @contextmanager
    def _forward(self, model: nn.Module) -> Iterator[None]:
        """Run `model` in the precision of the variant, its spectral norms in float32.

        They are computed ahead, so that neither autocast nor torch.compile sees more than weights.
        """
        with parametrize.cached(), with_products(self._products):
            read_weights(model)
            with torch.autocast(pick().type, torch.bfloat16, enabled=self.half):
                yield


def _to_precision_of(target: Tensor, maps: list[Tensor]) -> list[Tensor]:
    """The maps in the precision of the target, which autocast may have lowered."""
    return [scale.to(target.dtype) for scale in maps]
