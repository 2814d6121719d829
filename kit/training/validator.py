"""The validations of a training: which weights are the best so far, and sample images of them.

In: the state after an epoch. Out, in the folder of the run: `last.safetensors`,
`weights.safetensors` if they are the best so far on the hold-out, and a grid of samples.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kit.colors import Colors
from kit.errors import CheckError, InputError
from kit.figures.grid import write_grid
from kit.inputs.colors import measure_colors
from kit.inputs.dataset import batches
from kit.inputs.planes import read_pair
from kit.machine.device import pick, place
from kit.metrics import Scores, image_measures, mae, summarise
from kit.models.infer import infer
from kit.models.layers.sync_batch_norm import SyncBatchNorm
from kit.progress import Report
from kit.runs.folder import BEST, CHECKPOINTS, LAST, SAMPLES
from kit.runs.weights import read_weights, save_weights
from kit.training import checkpoint
from kit.training.checkpoint import at_step
from kit.training.ema import recalibrate
from kit.training.evaluate import batch_errors, batches_of_a_size
from kit.training.setup import RunSetup
from kit.training.state import State
from kit.variants.settings import Counted

_SAMPLED = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A generator that may be exported, whose weights they are, and its scores."""

    generator: nn.Module
    name: str
    scores: Scores

    def error(self, counts: Counted) -> float:
        """The error by which weights are chosen."""
        return self.scores.mse if counts == "mse" else self.scores.mae


class Validator:
    """Validates one run.

    Without a hold-out it only checks that outputs are finite, and the newest weights are the best.
    """

    def __init__(self, setup: RunSetup) -> None:
        self.setup = setup
        self.variant = setup.variant
        self.folder = setup.folder
        self.group = setup.group
        self._planes = setup.dataset.planes
        self._reader = setup.dataset.reader

    def validate(self, state: State, signals: list[int]) -> dict[str, Any]:
        """Score the hold-out, export the weights, and write a grid of samples.

        Args:
            state: what is validated; its best scores are updated.
            signals: those that have come so far.

        Returns:
            The record of the validation; empty without a hold-out.

        Raises:
            CheckError: the output of the generator is not finite; nothing is exported.
            KeyboardInterrupt: a signal came before all was scored; nothing is exported.
        """
        candidates = self._candidates(state, signals)
        best = self._best(candidates, state.counts)
        files = [LAST]
        if not self.setup.holdout or state.best is None or best.error(state.counts) < state.best:
            files.append(BEST)
            state.best_step = state.step
            if self.setup.holdout:
                state.mae, state.psnr = best.scores.mae, best.scores.psnr
                state.mse = best.scores.mse if state.counts == "mse" else None

        def write() -> None:
            self._export(files, _moment(state), best, state.counts)
            self._write_samples(best.generator, state.epoch)

        self.group.on_main(write)
        if not self.setup.holdout:
            return {}
        each_one = {f"{each.name}_{state.counts}": each.error(state.counts) for each in candidates}
        return self._facts(best, state.counts) | each_one

    def publish(
        self,
        generator: nn.Module,
        facts: dict[str, Any],
        signals: list[int],
        before: Callable[[dict[str, Any]], None],
    ) -> None:
        """Score a generator that was fitted in one go, write a grid of samples, and its weights.

        Args:
            generator: on the CPU.
            facts: what its weights file says of its fit.
            signals: those that have come so far.
            before: rank 0 calls it with the scores, before the weights are there.

        Raises:
            CheckError: the output of the generator is not finite; nothing is exported.
            KeyboardInterrupt: a signal came before all was scored; nothing is exported.
        """
        scores = self._scores(place(generator), signals)
        best = _Candidate(generator, "fitted", scores)
        if not math.isfinite(scores.mae):
            problem = f"{self.folder}: the generator's output is not finite"
            raise CheckError(f"{problem}\n  check what it was fitted on: kit verify")

        def write() -> None:
            self._write_samples(generator, 1)
            before(self._facts(best))
            self._export([BEST], facts, best)

        self.group.on_main(write)

    def restore_exports(self, state: State, signals: list[int], report: Report) -> None:
        """Export again what this run has exported before and is missing or damaged now.

        Args:
            state: just loaded from the newest checkpoint, and the same afterwards.
            signals: those that have come so far.
            report: called with each file, and what was wrong with it.

        Raises:
            InputError: the checkpoint that the file was made from is damaged too.
            KeyboardInterrupt: a signal came before it was done.
        """
        newest, folder = state.step, self.folder / CHECKPOINTS
        exported = {BEST: state.best_step}
        if self.setup.is_over(state.epoch, state.best_step):
            exported[LAST] = newest  # before the end the next validation writes it
        for name, step in exported.items():
            fault = fault_of(self.folder / name) if self.group.is_main and step is not None else ""
            if self.group.any(bool(fault)):
                self._export_again(name, fault, state, at_step(folder, step), signals)
                checkpoint.load(state, at_step(folder, newest))
                report(f"exported {self.folder / name} again: {fault}")

    def _export_again(
        self, name: str, fault: str, state: State, path: Path, signals: list[int]
    ) -> None:
        try:
            checkpoint.load(state, path)
        except InputError as error:
            problem = f"{fault}; the checkpoint it was made from is damaged too: {error.where}"
            remedy = "restore one of the two, or train from the start with --overwrite"
            raise InputError(self.folder / name, problem, remedy=remedy) from None
        best = self._best(self._candidates(state, signals), state.counts)
        self.group.on_main(lambda: self._export([name], _moment(state), best, state.counts))

    def _candidates(self, state: State, signals: list[int]) -> list[_Candidate]:
        """The generators of `state` that may be exported, scored; the average is the last."""
        generators = {"latest": state.generator}
        if state.average:
            generators["average"] = state.average.generator(self.variant)
        candidates = []
        for name, generator in generators.items():
            recalibrate(generator, self._until(signals, self._recalibrating(generator)))
            scores = self._scores(generator, signals)
            if not math.isfinite(scores.mae):
                raise CheckError(
                    f"{self.folder}: the generator's output is not finite after epoch "
                    f"{state.epoch}\n  the last checkpoint is kept; train from the start with a "
                    "smaller lr and --overwrite"
                )
            candidates.append(_Candidate(generator, name, scores))
        return candidates

    def _recalibrating(self, generator: nn.Module) -> Iterator[Tensor]:
        """Inputs of batches [B, C, H, W], of which a norm sees as many as in training at a time.

        A norm that shares its statistics gets this rank's share of a batch. For the others every
        rank takes the same batches, of a share's size.
        """
        rank, world = self.group.rank, self.group.world_size
        size = self.variant.batch // self.variant.accumulate
        if not any(isinstance(module, SyncBatchNorm) for module in generator.modules()):
            rank, world, size = 0, 1, max(1, size // world)
        samples = batches(self.setup.dataset, epoch=0, batch=size, rank=rank, world=world)
        while sample := self.group.on_all(lambda: next(samples, None)):
            yield sample.inputs

    def _scores(self, generator: nn.Module, signals: list[int]) -> Scores:
        """The scores on the hold-out, of which each rank predicts its share.

        They are exactly those of a single process: batches are the same, and to the errors of a
        pair the ranks that did not predict it add zeros.
        """
        rank, size = self.group.rank, self.group.world_size
        every = batches_of_a_size(self.setup.scored)
        todo = (
            batch_errors(generator, self._planes, self._reader, batch)
            for batch in every[rank::size]
        )
        rounds = self._until(signals, range(0, len(every), size))
        mine = [self.group.on_all(lambda: next(todo, [])) for _ in rounds]
        names = image_measures()
        values: list[list[float]] = []
        for number, batch in enumerate(every):
            own = mine[number // size] if number % size == rank else [{}] * len(batch)
            values += [[errors.get(name, 0.0) for name in names] for errors in own]
        total = self.group.sum(torch.tensor(values, dtype=torch.float64, device=pick()))
        return summarise([dict(zip(names, row, strict=True)) for row in total.tolist()])

    def _until(self, signals: list[int], items: Iterable[T]) -> Iterator[T]:
        """The items, until a signal comes on any rank."""
        for item in items:
            if self.group.any(bool(signals)):
                raise KeyboardInterrupt
            yield item

    def _best(self, candidates: list[_Candidate], counts: Counted) -> _Candidate:
        # Without a hold-out there is no telling; the average usually is.
        if not self.setup.holdout:
            return candidates[-1]
        return min(candidates, key=lambda each: each.error(counts))

    def _facts(self, best: _Candidate, counts: Counted = "mae") -> dict[str, Any]:
        if not self.setup.holdout:
            return {"weights": best.name}
        scores = best.scores
        own = {"mae": scores.mae, counts: best.error(counts), "psnr": scores.psnr} | scores.others
        return {f"holdout_{name}": value for name, value in own.items()} | {"weights": best.name}

    def _export(
        self,
        files: list[str],
        about: dict[str, Any],
        best: _Candidate,
        counts: Counted = "mae",
    ) -> None:
        for file in files:
            facts = about | self._colors.as_facts() | self._facts(best, counts)
            if self.setup.units:
                facts["units"] = self.setup.units
            save_weights(self.folder / file, best.generator, self.variant, facts)

    @cached_property
    def _colors(self) -> Colors:
        """The colours of the targets; a finished run does not need them."""
        return measure_colors(self._reader, self.setup.dataset.pairs, self.variant.target)

    def _write_samples(self, generator: nn.Module, epoch: int) -> None:
        chosen = (self.setup.holdout or tuple(self.setup.dataset.pairs))[:_SAMPLED]
        rows, labels = [], []
        for pair in chosen:
            inputs, optical = read_pair(self._planes, self._reader, pair)
            predicted = infer(generator, inputs[None])[0]
            rows.append([*inputs[:2], predicted, optical])
            labels.append(f"{pair.optical}\nMAE {mae(predicted, optical):.4f}")
        path = self.folder / SAMPLES / f"epoch-{epoch:04d}.png"
        columns = ["VV", "VH", f"{self.variant.name}, epoch {epoch}", "truth"]
        write_grid(rows, columns, labels, path)


def _moment(state: State) -> dict[str, Any]:
    """Where in its training a state is, as a weights file says it."""
    return {"epoch": state.epoch, "step": state.step}


def fault_of(path: Path) -> str:
    """What is wrong with a weights file; "" if it is intact."""
    try:
        read_weights(path).tensors()
    except InputError as error:
        return error.problem
    return ""
