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

from kit.device import pick
from kit.distributed import Group
from kit.errors import CheckError, InputError
from kit.figures.grid import sheet
from kit.metrics import Scores, summarise
from kit.models.infer import infer
from kit.pairs.dataset import PairDataset, batches, mean_color, read_pair
from kit.pairs.table import Pair
from kit.progress import Report
from kit.runs.folder import CHECKPOINTS, SAMPLES
from kit.runs.weights import load_tensors, save_weights
from kit.training.checkpoint import State, at_step
from kit.training.ema import recalibrate
from kit.training.validate import errors, parts
from kit.variants import Variant

_SAMPLED = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Scored:
    """A generator that may be exported, what its weights are, and how it scores."""

    generator: nn.Module
    name: str
    scores: Scores


class Validator:
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

    @property
    def pictures(self) -> int:
        """How many a validation draws to score the hold-out."""
        return len(self.holdout or self.dataset.pairs[:1]) * (2 if self.variant.ema else 1)

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
        best = self._best(found)
        files = ["last.safetensors"]
        if not self.holdout or state.mae is None or best.scores.mae < state.mae:
            files.append("weights.safetensors")
            state.best_step = state.step
            if self.holdout:
                state.mae, state.psnr = best.scores.mae, best.scores.psnr

        def write() -> None:
            self._export(files, state, best)
            self._sample(best.generator, state.epoch)

        self.group.alone(write)
        if not self.holdout:
            return {}
        return self._facts(best) | {f"{each.name}_mae": each.scores.mae for each in found}

    def mend(self, state: State, stopped: list[int], report: Report) -> None:
        """Export again what this run has exported once, and what is gone or damaged now.

        Args:
            state: just loaded from the newest checkpoint, and the same afterwards.
            stopped: the signals that have come so far.
            report: called with what was wrong with which file.

        Raises:
            InputError: the checkpoint that the file was made from is not whole either.
            KeyboardInterrupt: a signal came before it was done.
        """
        newest, folder = state.step, self.folder / CHECKPOINTS
        made = {"weights.safetensors": state.best_step}
        if state.epoch == self.variant.total_epochs:
            made["last.safetensors"] = newest  # otherwise soon written anew
        for name, step in made.items():
            fault = _fault(self.folder / name) if self.group.first and step is not None else ""
            if self.group.any(bool(fault)):
                self._remake(name, fault, state, at_step(folder, step), stopped)
                state.load(at_step(folder, newest))
                report(f"exported {self.folder / name} again: {fault}")

    def _remake(
        self, name: str, fault: str, state: State, checkpoint: Path, stopped: list[int]
    ) -> None:
        try:
            state.load(checkpoint)
        except InputError as error:
            problem = f"{fault}; nor is {error.where} whole, which it was made from"
            remedy = "put one of the two back, or start anew with --overwrite"
            raise InputError(self.folder / name, problem, remedy=remedy) from None
        best = self._best(self._judged(state, stopped))
        self.group.alone(lambda: self._export([name], state, best))

    def _judged(self, state: State, stopped: list[int]) -> list[_Scored]:
        """The generators of `state` that may be exported, the average last."""
        found = []
        # What a norm took together in training: on CUDA the pairs of all processes.
        sharers = 1 if pick().type == "cuda" else self.group.size
        part = max(1, self.variant.batch // self.variant.accumulate // sharers)
        for name, generator in self._candidates(state):
            samples = self._heeding(stopped, batches(self.dataset, epoch=0, batch=part))
            recalibrate(generator, (sample.radar for sample in samples))
            scores = self._scores(generator, stopped)
            if not math.isfinite(scores.mae):
                raise CheckError(
                    f"{self.folder}: the output of the generator is not a number after epoch "
                    f"{state.epoch}\n  its last checkpoint is kept; start anew with a smaller lr"
                )
            found.append(_Scored(generator, name, scores))
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

    def _best(self, found: list[_Scored]) -> _Scored:
        # Without a hold-out nobody can say which is better; the average is, as a rule.
        return min(found, key=lambda each: each.scores.mae) if self.holdout else found[-1]

    def _facts(self, judged: _Scored) -> dict[str, Any]:
        if not self.holdout:
            return {"weights": judged.name}
        mae, psnr = judged.scores.mae, judged.scores.psnr
        return {"holdout_mae": mae, "holdout_psnr": psnr, "weights": judged.name}

    def _export(self, files: list[str], state: State, judged: _Scored) -> None:
        about = {"epoch": state.epoch, "step": state.step, "mean_color": self._color}
        for file in files:
            facts = about | self._facts(judged)
            save_weights(self.folder / file, judged.generator, self.variant, facts)

    @cached_property
    def _color(self) -> tuple[float, ...]:
        """The mean colour of the targets; not read for a run that is finished already."""
        return mean_color(self.dataset.source, self.dataset.pairs, self.variant.target)

    def _sample(self, generator: nn.Module, epoch: int) -> None:
        chosen = (self.holdout or tuple(self.dataset.pairs))[:_SAMPLED]
        rows = []
        for pair in chosen:
            radar, optical = read_pair(self.dataset.source, pair, self.variant.target)
            rows.append([*radar, infer(generator, radar[None])[0], optical])
        path = self.folder / SAMPLES / f"epoch-{epoch:04d}.png"
        labels = [str(pair.optical) for pair in chosen]
        sheet(rows, ["VV", "VH", self.variant.name, "truth"], labels, path)


def _fault(path: Path) -> str:
    """What is wrong with a weights file; "" if nothing is."""
    try:
        load_tensors(path, "")
    except InputError as error:
        return error.problem
    return ""
