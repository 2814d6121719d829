"""One training step: a batch of pairs -> better networks.

In: the state, and a batch. Out: the state after one step of the generator and, with a GAN loss, one
of the discriminator; the losses. An optimiser whose loss or gradient is no number takes no step.
"""

import gc
import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm, parametrize

from kit.device import multiplies_bfloat16, pick, place
from kit.distributed import Group
from kit.models.rewrites.spectral_norm import normed
from kit.pairs.dataset import Sample
from kit.training.adam import Adam
from kit.training.checkpoint import State
from kit.training.losses import discriminator_loss, generator_loss, l1
from kit.variants import Variant

# A gradient is judged by the running mean of the norms before it, once that is a mean of some.
_MEMORY = 0.99
_FIRST = 20


class NotANumberError(ArithmeticError):
    """A loss or a gradient is infinite or no number."""


class Step:
    """Takes steps with the networks of `state`, together with the other processes of `group`.

    Args:
        variant: losses, precision, and in how many parts a batch is taken.
        state: what is trained.
        group: each process is given its own share of every batch.
        compile: let torch.compile translate the generator; its first steps then take minutes.
    """

    def __init__(self, variant: Variant, state: State, group: Group, compile: bool = False) -> None:
        self.variant = variant
        self.state = state
        self.group = group
        self.half = variant.precision == "bfloat16" or (
            variant.precision == "auto" and multiplies_bfloat16()
        )
        # Beside the generator: one that is compiled itself would be anew for each validation.
        self._local: nn.Module = state.generator
        if compile:
            self._local = torch.compile(state.generator)  # type: ignore[assignment]
        self._generator = self._shared(self._local)
        self._discriminator = self._shared(state.discriminator) if state.discriminator else None

    def take(self, sample: Sample) -> dict[str, float]:
        """Take one step with this process's share of a batch; returns the losses of the whole.

        A value called `<who>_spike` tells that a gradient was shortened, and how many times its
        usual norm it had.

        Raises:
            NotANumberError: before the optimiser that it is about was touched.
        """
        state = self.state
        state.generator.train()
        parts = self._parts(Sample(*map(place, sample)))
        fakes = []
        sums = torch.zeros(2 if state.discriminator else 1, device=pick())
        for number, (part, share) in enumerate(parts, start=1):
            with self._gathered(self._generator, number == len(parts)):
                fake, losses = self._generator_losses(part, share, len(parts))
                self._weighted(losses).backward()  # type: ignore[no-untyped-call]
            fakes.append(fake.detach())
            sums += losses.detach()
        values = self._update("generator", dict(zip(("l1", "gan"), sums, strict=False)))
        if state.discriminator:
            values |= self._train_discriminator([part for part, _ in parts], fakes)
        if state.average:
            state.average.update(state.generator, state.step + 1)
        return values

    def largest(self, sample: Sample) -> int:
        """How many pairs of a batch that was too large for the device fit it at a time; 0 if none.

        The networks are left as no training should go on with.
        """
        fits, too_many = 0, len(sample.radar) // self.variant.accumulate
        while too_many - fits > 1:
            count = (fits + too_many) // 2
            if self._tries(Sample(*(tensor[:count] for tensor in sample))):
                fits = count
            else:
                too_many = count
        return fits

    def _tries(self, part: Sample) -> bool:
        for who in ("generator", "discriminator"):
            if optimizer := getattr(self.state, f"{who}_optimizer"):
                optimizer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
        try:
            part = Sample(*map(place, part))
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
        """What the generator draws, and its part of the losses: L1 and, if there is one, GAN."""
        discriminator = self.state.discriminator
        with self._forward(self.state.generator):
            fake: Tensor = self._generator(part.radar)
        losses = [l1(fake.to(part.target.dtype), part.target, part.mask) * share]
        if discriminator:
            discriminator.requires_grad_(False)
            with self._forward(discriminator):
                judged = _as_precise(discriminator(part.radar, fake), part.target)
            losses.append(generator_loss(self.variant.model, judged) / parts)
        return fake, torch.stack(losses)

    def _weighted(self, losses: Tensor) -> Tensor:
        weights = (self.variant.l1, self.variant.gan)[: len(losses)]
        return torch.stack(
            [weight * loss for weight, loss in zip(weights, losses, strict=True)]
        ).sum()

    def _train_discriminator(self, parts: list[Sample], fakes: list[Tensor]) -> dict[str, float]:
        assert self.state.discriminator is not None and self._discriminator is not None
        self.state.discriminator.requires_grad_(True)
        total = torch.zeros((), device=pick())
        for number, (part, fake) in enumerate(zip(parts, fakes, strict=True), start=1):
            if self.variant.model == "spade":
                # SPADE's authors show what the generator makes after its own step.
                with torch.no_grad(), self._forward(self.state.generator):
                    fake = self._local(part.radar)
            with self._gathered(self._discriminator, number == len(parts)):
                loss = self._discriminator_loss(self._discriminator, part, fake) / len(parts)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return self._update("discriminator", {"discriminator": total})

    def _discriminator_loss(self, discriminator: nn.Module, part: Sample, fake: Tensor) -> Tensor:
        assert self.state.discriminator is not None
        radar = torch.cat([part.radar, part.radar])
        with self._forward(self.state.discriminator):
            both = discriminator(radar, torch.cat([fake.to(part.target.dtype), part.target]))
        fakes, reals = zip(
            *(scale.chunk(2) for scale in _as_precise(both, part.target)), strict=True
        )
        return discriminator_loss(self.variant.model, fakes, reals)

    def _update(self, who: str, losses: dict[str, Tensor]) -> dict[str, float]:
        """Step the optimiser of `who` with a gradient of a usual length at most.

        Returns the losses of the whole group as numbers: with the norm of the gradient they leave
        the device in one copy, because each would make it wait.
        """
        model: nn.Module = getattr(self.state, who)
        optimizer: Adam = getattr(self.state, f"{who}_optimizer")
        norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        found = self.group.sum(torch.stack([*losses.values(), norm])) / self.group.size
        *numbers, length = found.tolist()
        values = dict(zip(losses, numbers, strict=True))
        for name, value in {**values, f"the norm of the {who}'s gradient": length}.items():
            if not math.isfinite(value):
                raise NotANumberError(f"{name} is {value}")
        usual, seen = self.state.norms.get(who, [0.0, 0])
        longest = self.variant.clip * usual
        if seen >= _FIRST and 0 < longest < length:
            clip_grads_with_norm_(model.parameters(), longest, norm)
            values[f"{who}_spike"] = length / usual
            length = longest
        memory = min(_MEMORY, seen / (seen + 1))
        self.state.norms[who] = [memory * usual + (1 - memory) * length, seen + 1]
        optimizer.step()
        optimizer.zero_grad()
        return values

    def _parts(self, sample: Sample) -> list[tuple[Sample, Tensor]]:
        """The parts of a batch, each with its share of the pixels that count.

        The L1 loss is a mean over those pixels, of which parts and processes may have different
        numbers; the gradients of processes are averaged, hence the size of the group.
        """
        count = self.variant.accumulate
        pixels = self.group.sum(sample.mask.sum()).clamp(min=1)
        parts = [Sample(*part) for part in zip(*(t.chunk(count) for t in sample), strict=True)]
        return [(part, part.mask.sum() / pixels * self.group.size) for part in parts]

    def _shared(self, model: nn.Module) -> nn.Module:
        """`model` with gradients that are averaged over the group."""
        if self.group.size == 1:
            return model
        # Buffers need no copying: estimates of spectral norms follow from the weights, and running
        # statistics are estimated anew before they are used.
        with warnings.catch_warnings():
            # torch 2.13 would have it called otherwise, by a name that 2.11 does not know.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(model, broadcast_buffers=False)

    def _gathered(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Gradients of all parts but the last stay in this process."""
        if isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return nullcontext()

    @contextmanager
    def _forward(self, model: nn.Module) -> Iterator[None]:
        """Run `model` in the precision that pays, its spectral norms in float32."""
        with parametrize.cached():
            if self.half:
                for _, module, _ in normed(model):
                    _ = module.weight
            with torch.autocast(pick().type, torch.bfloat16, enabled=self.half):
                yield


def _as_precise(maps: list[Tensor], target: Tensor) -> list[Tensor]:
    """The maps in the precision of the target, which autocast may have lowered."""
    return [scale.to(target.dtype) for scale in maps]
