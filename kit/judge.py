"""The validations of a training: which weights are the best so far, and what they draw.

In: the state after an epoch. Out, in the folder of the run: `last.safetensors`,
`weights.safetensors` if the hold-out says that they are the best so far, and a sample sheet.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from kit.average import recalibrate
from kit.checkpoint import State
from kit.dataset import PairDataset, batches, mean_color, read_pair
from kit.device import pick
from kit.errors import CheckError
from kit.group import Group
from kit.metrics import Scores, summarise
from kit.pairs import Pair
from kit.sheet import sheet
from kit.validate import errors, infer, parts
from kit.variants import Variant
from kit.weights import save_weights

SAMPLES = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A generator that may be exported, what its weights are, and how it scores."""

    generator: nn.Module
    name: str
    scores: Scores


class Judge:
    """Validates one run.

    Args:
        variant: what is trained.
        dataset: the training pairs; batch statistics are measured on some of them.
        holdout: the pairs that decide; without any, the weights are judged to be numbers only.
        folder: the run's.
        group: the first of its processes writes.
    """

    def __init__(
        self,
        variant: Variant,
        dataset: PairDataset,
        holdout: tuple[Pair, ...],
        folder: Path,
        group: Group,
    ) -> None:
        self.variant = variant
        self.dataset = dataset
        self.holdout = holdout
        self.folder = folder
        self.group = group

    def validate(self, state: State, stopped: list[int]) -> dict[str, Any]:
        """Score the hold-out, export the weights, and draw a sample sheet.

        Args:
            state: what is judged; gets the best scores.
            stopped: the signals that have come so far.

        Returns:
            What is to be recorded; nothing without a hold-out.

        Raises:
            CheckError: the output of the generator is not a number; nothing is exported.
            KeyboardInterrupt: a signal came before all was judged; nothing is exported.
        """
        found = self._judged(state, stopped)
        # Without a hold-out nobody can say which is better; the average is, as a rule.
        best = min(found, key=lambda each: each.scores.mae) if self.holdout else found[-1]
        files = ["last.safetensors"]
        if not self.holdout or state.mae is None or best.scores.mae < state.mae:
            files.append("weights.safetensors")
            state.best_step = state.step
            if self.holdout:
                state.mae, state.psnr = best.scores.mae, best.scores.psnr
        facts = self._facts(state, best)

        def write() -> None:
            for file in files:
                about = facts | {"mean_color": self._color}
                save_weights(self.folder / file, best.generator, self.variant, about)
            self._sample(best.generator, state.epoch)

        self.group.alone(write)
        if not self.holdout:
            return {}
        row = {key: facts[key] for key in ("holdout_mae", "holdout_psnr", "weights")}
        return row | {f"{each.name}_mae": each.scores.mae for each in found}

    def _judged(self, state: State, stopped: list[int]) -> list[_Judged]:
        """The generators of `state` that may be exported, the average last."""
        found = []
        part = max(1, self.variant.batch // self.variant.accumulate // self.group.size)
        for name, generator in self._candidates(state):
            samples = self._heeding(stopped, batches(self.dataset, epoch=0, batch=part))
            recalibrate(generator, (sample.radar for sample in samples))
            scores = self._scores(generator, stopped)
            if not math.isfinite(scores.mae):
                raise CheckError(
                    f"{self.folder}: the output of the generator is not a number after epoch "
                    f"{state.epoch}\n  its last checkpoint is kept; start anew with a smaller lr"
                )
            found.append(_Judged(generator, name, scores))
        return found

    def _scores(self, generator: nn.Module, stopped: list[int]) -> Scores:
        """The scores on the hold-out, of which each process draws its share.

        They are those of one process, exactly: batches stay as they are, and to the errors of each
        pair the others add zeros.
        """
        rank, size = self.group.rank, self.group.size
        source, target = self.dataset.source, self.variant.target
        every = parts(self.holdout or self.dataset.pairs[:1])
        todo = (errors(generator, source, part, target) for part in every[rank::size])
        rounds = self._heeding(stopped, range(0, len(every), size))
        mine = [self.group.each(lambda: next(todo, [])) for _ in rounds]
        values: list[tuple[float, float]] = []
        for number, part in enumerate(every):
            own = number % size == rank
            values += mine[number // size] if own else [(0.0, 0.0)] * len(part)
        total = self.group.sum(torch.tensor(values, dtype=torch.float64, device=pick()))
        return summarise([(absolute, squared) for absolute, squared in total.tolist()])

    def _heeding(self, stopped: list[int], items: Iterable[T]) -> Iterator[T]:
        """The items, until any process of the group is told to stop."""
        for item in items:
            if self.group.any(bool(stopped)):
                raise KeyboardInterrupt
            yield item

    def _candidates(self, state: State) -> Iterator[tuple[str, nn.Module]]:
        """The generators that may be exported, by what their weights are."""
        yield "latest", state.generator
        if state.average:
            yield "average", state.average.generator(self.variant)

    def _facts(self, state: State, judged: _Judged) -> dict[str, Any]:
        facts = {"epoch": state.epoch, "step": state.step, "weights": judged.name}
        if self.holdout:
            facts |= {"holdout_mae": judged.scores.mae, "holdout_psnr": judged.scores.psnr}
        return facts

    @cached_property
    def _color(self) -> tuple[float, ...]:
        """The mean colour of the targets; not read for a run that is finished already."""
        return mean_color(self.dataset.source, self.dataset.pairs, self.variant.target)

    def _sample(self, generator: nn.Module, epoch: int) -> None:
        chosen = (self.holdout or tuple(self.dataset.pairs))[:SAMPLES]
        rows = []
        for pair in chosen:
            radar, optical = read_pair(self.dataset.source, pair, self.variant.target)
            rows.append([*radar, infer(generator, radar[None])[0], optical])
        path = self.folder / "samples" / f"epoch-{epoch:04d}.png"
        labels = [str(pair.optical) for pair in chosen]
        sheet(rows, ["VV", "VH", self.variant.name, "truth"], labels, path)
