"""The training loop: pairs -> a run folder.

In: a variant and the pair table. Out, in `runs/<variant>/`: `config.json`, `metrics.jsonl`, sample
sheets, `checkpoints/` to go on from, `last.safetensors`, and `weights.safetensors`, the best by
hold-out MAE. The same command again goes on where the last one stopped, to the same end.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kit.device import keep_memory, pick
from kit.distributed import Group, PeerError, join, restarted
from kit.errors import CheckError, InputError
from kit.files import RUNS, WORK, AnyPath, lock, sweep_parts
from kit.pairs.dataset import PairDataset, Sample, batches, epoch_order, steps_per_epoch
from kit.pairs.open_source import open_source
from kit.pairs.source import WORKERS
from kit.pairs.summary import SUMMARY
from kit.pairs.table import PAIRS, fingerprint, holdout_pairs, read_pairs, train_pairs
from kit.progress import Report
from kit.runs import folder as folders
from kit.training.checkpoint import State, at_step, sweep
from kit.training.eta import Pace
from kit.training.signals import collected
from kit.training.step import NotANumberError, Step
from kit.training.validator import Validator
from kit.variants import Variant, find_variant

LOG_EVERY = 10
CHECKPOINT_SECONDS = 300

Watch = Callable[[dict[str, Any]], None]
"""Called with each record of `metrics.jsonl`, and with what is only said: a `note`, or `whole_s`,
the seconds that the run takes as a whole."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a training ended. `mae` and `psnr` are the best on the hold-out, None without one."""

    folder: Path
    steps: int
    mae: float | None
    psnr: float | None
    pairs: int


def train(
    variant: Variant | str,
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    overwrite: bool = False,
    workers: int = WORKERS,
    compile: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Train `variant` on its data set, or go on with a training that was interrupted.

    Started by torchrun, the processes share each batch, and the first of them writes.

    Args:
        variant: model, losses, data set and schedule; or the name of one, as `find` takes it.
        work: the folder that `prepare` wrote.
        runs: the folder of all runs; this one is `runs/<variant.name>`.
        overwrite: start anew even if the run exists.
        workers: threads that make batches ahead; 0 makes each when it is needed.
        compile: let torch.compile translate the generator.
        watch: called with each record of `metrics.jsonl`.

    Raises:
        InputError: no pair table, no pair to train on, a pack that lacks one or is damaged, no
            whole checkpoint, or a batch that cannot be shared or is too large for the device.
        BusyError: the run exists with other settings or data, or another process trains it.
        CheckError: the loss is not a number; the last checkpoint is kept.
        OutputError: the disk is full; the last checkpoint is kept.
        KeyboardInterrupt: stopped by a signal, after saving; only in the main thread.
    """
    work, runs = Path(work), Path(runs)
    variant = find_variant(variant) if isinstance(variant, str) else variant
    folder = runs / variant.name
    table = work / PAIRS
    pairs = read_pairs(table)
    chosen = train_pairs(pairs, variant.dataset)
    if not chosen:
        raise InputError(
            table,
            f"no pair of Dataset-{variant.dataset} to train on",
            remedy=f"{work / SUMMARY} says what removed them",
        )
    holdout = holdout_pairs(pairs)
    source = open_source(work, (*chosen, *holdout))
    keep_memory()
    with join() as group, ExitStack() as held:
        _check_share(variant, len(chosen), group)

        def own() -> None:
            held.enter_context(lock(folder, restarted()))
            folders.claim(folder, variant, fingerprint(pairs), overwrite and not restarted())
            sweep_parts(folder)
            sweep_parts(folder / folders.SAMPLES)
            sweep(folder / folders.CHECKPOINTS)

        group.alone(own)
        torch.manual_seed(variant.seed)
        crop = min(variant.crop, 32 * math.ceil(max(max(p.height, p.width) for p in chosen) / 32))
        dataset = PairDataset(source, chosen, crop=crop, target=variant.target, seed=variant.seed)
        state = group.each(lambda: _begin(variant))
        validator = Validator(variant, dataset, holdout, folder, group)
        loop = _Loop(variant, state, dataset, validator, folder, group, workers, watch)
        if _resume(state, folder / folders.CHECKPOINTS, group, loop.note):
            loop.note(f"goes on from step {state.step}")
        elif group.first and folders.records(folder):
            loop.note("begins anew: it stopped before its first checkpoint")
        if group.first:
            folders.cut(folder, state.recorded)
        loop.run(Step(variant, state, group, compile))
    return Run(folder, state.step, state.mae, state.psnr, len(chosen))


def _begin(variant: Variant) -> State:
    try:
        return State.new(variant)
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        problem = f"its networks cannot be made ({reason})"
        raise InputError(variant.name, problem, remedy="give it a smaller width") from None


def _resume(state: State, folder: Path, group: Group, report: Report) -> bool:
    """Load the newest whole checkpoint of those that the first process sees, if there are any."""
    found = group.each(lambda: group.first and state.resume(folder, report))
    resumed, step = group.same([found, state.step])

    def follow() -> None:
        if resumed and not group.first:
            state.follow(at_step(folder, step))

    group.each(follow)
    return bool(resumed)


class _Loop:
    """One training, from the state it is given to its last epoch."""

    def __init__(
        self,
        variant: Variant,
        state: State,
        dataset: PairDataset,
        validator: Validator,
        folder: Path,
        group: Group,
        workers: int,
        watch: Watch | None,
    ) -> None:
        self.variant = variant
        self.state = state
        self.dataset = dataset
        self.validator = validator
        self.folder = folder
        self.group = group
        self.workers = workers
        self.watch = watch if group.first else None
        self.epochs = variant.total_epochs
        self.steps = steps_per_epoch(len(dataset), variant.batch)
        self.saved = self.logged = time.monotonic()
        self.images = 0

    def run(self, step: Step) -> None:
        """Train to the end of the schedule."""
        state = self.state
        with collected(patient=self.group.size > 1) as stopped:
            self.validator.mend(state, stopped, self.note)
            self.pace = self._pace()
            self.saved = self.logged = time.monotonic()
            while state.epoch < self.epochs:
                self._epoch(step, stopped)
                validates = folders.validates(self.variant, state.epoch)
                began = time.monotonic()
                if validates:
                    self.pace.settle()
                    self._save()  # whatever becomes of the validation
                    if self.group.any(bool(stopped)):
                        raise KeyboardInterrupt
                state.epoch, state.batch = state.epoch + 1, 0
                if validates:
                    self._validate(stopped, began)

    def _validate(self, stopped: list[int], began: float) -> None:
        if row := self.validator.validate(self.state, stopped):
            row["validation_s"] = round(time.monotonic() - began, 2)
            self.group.alone(lambda: self._record(row))
        self._save()
        self.logged = time.monotonic()
        self.pace.validated(self.logged - began)

    def _pace(self) -> Pace:
        # A picture that is only drawn takes about a third of one that is learnt from.
        drawn = self.validator.pictures / 3

        def report(seconds: float) -> None:
            if self.watch:
                self.watch({"whole_s": seconds})

        validations = folders.validations(self.variant)
        return Pace(self.epochs * self.steps, validations, drawn / self.variant.batch, report)

    def note(self, words: str) -> None:
        """Report the user, who need not know it later."""
        if self.watch:
            self.watch({"note": words})

    def _epoch(self, step: Step, stopped: list[int]) -> None:
        state, variant = self.state, self.variant
        fall = max(0, state.epoch - variant.epochs) / max(1, variant.decay_epochs)
        _set_rate(state.generator_optimizer, variant.lr * (1 - fall))
        if state.discriminator_optimizer:
            _set_rate(state.discriminator_optimizer, variant.discriminator_lr * (1 - fall))
        todo = batches(
            self.dataset,
            epoch=state.epoch,
            batch=variant.batch,
            skip=state.batch,
            workers=self.workers,
            rank=self.group.rank,
            world=self.group.size,
        )
        while (sample := self._next(todo)) is not None:
            self._count(self._take(step, sample), len(sample.radar) * self.group.size)
            due = time.monotonic() - self.saved > CHECKPOINT_SECONDS
            stop, due = self._agreed(bool(stopped), due)
            if stop or due:
                self._save()
            if stop:
                raise KeyboardInterrupt
        self._log()

    def _next(self, todo: Iterator[Sample]) -> Sample | None:
        """The next batch; where one process cannot read its part, all of them save and end."""
        try:
            return self.group.each(lambda: next(todo, None))
        except (InputError, PeerError):  # a tile that could be read when it was screened
            self._save()
            raise

    def _take(self, step: Step, sample: Sample) -> dict[str, float]:
        try:
            return step.take(sample)
        except NotANumberError as error:
            raise self._broken(str(error)) from None
        except torch.OutOfMemoryError:
            pass  # outside of the handler the memory of the step is free again
        raise self._too_large(step, sample)

    def _agreed(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """Whether any process was told to stop, and whether the first one's clock says to save."""
        if self.group.size == 1:
            return stop, due
        flags = torch.tensor([stop, due and self.group.first], device=pick(), dtype=torch.int32)
        stop, due = (bool(flag) for flag in self.group.sum(flags).tolist())
        return stop, due

    def _count(self, losses: dict[str, float], images: int) -> None:
        """Count a step that was taken, and record the mean losses now and then."""
        state = self.state
        state.batch, state.step = state.batch + 1, state.step + 1
        self.images += images
        self.pace.step()
        if spikes := {name: losses.pop(name) for name in list(losses) if name.endswith("_spike")}:
            self._record(spikes)
        for name, value in {"steps": 1.0, **losses}.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        if state.step % LOG_EVERY == 0:
            self._log()

    def _log(self) -> None:
        """Record the mean losses since the last record."""
        sums, self.state.sums = self.state.sums, {}
        if sums:
            steps = sums.pop("steps")
            rate = self.images / (time.monotonic() - self.logged)
            means = {name: value / steps for name, value in sums.items()}
            self._record(means | {"images_per_s": round(rate, 2)})
        self.logged, self.images = time.monotonic(), 0

    def _save(self) -> None:
        self.group.alone(lambda: self.state.save(self.folder / folders.CHECKPOINTS))
        self.saved = time.monotonic()

    def _broken(self, what: str) -> CheckError:
        state, data = self.state, self.dataset
        start = state.batch * self.variant.batch
        order = epoch_order(len(data), data.seed, state.epoch)
        pairs = [data.pairs[index] for index in order[start : start + self.variant.batch]]
        names = "".join(f"\n    {pair.radar} with {pair.optical}" for pair in pairs)
        where = f"step {state.step}, epoch {state.epoch}, batch {state.batch}"
        return CheckError(
            f"{self.folder}: {what} at {where}\n  its last checkpoint is kept; "
            f"look at these pairs, or start anew with a smaller lr:{names}"
        )

    def _too_large(self, step: Step, sample: Sample) -> InputError:
        pairs = len(sample.radar)
        # Alone: the others wait in a step that this process will never finish.
        most = step.largest(sample) if self.group.size == 1 else 0
        remedy = "take the batch in parts, --set accumulate=2 or more, or give it a smaller crop"
        if most:
            parts = next(n for n in range(1, pairs + 1) if pairs % n == 0 and pairs / n <= most)
            remedy = f"{most} fit: --set accumulate={parts} takes the same batch in parts"
        problem = f"{pick()} has too little memory for {pairs // self.variant.accumulate} pairs"
        return InputError(self.folder, problem, remedy=remedy)

    def _record(self, values: dict[str, Any]) -> None:
        state = self.state
        if self.group.first:
            total = self.epochs * self.steps
            record = {"step": state.step, "steps": total, "epoch": state.epoch} | values
            state.recorded = folders.append(self.folder, record)
            if self.watch:
                self.watch(record)


def _check_share(variant: Variant, pairs: int, group: Group) -> None:
    shares = group.size * variant.accumulate
    if shares > 1 and (variant.batch % shares or pairs < variant.batch):
        raise InputError(
            variant.name,
            f"a batch of {min(variant.batch, pairs)} cannot be shared by {group.size} processes "
            f"in {variant.accumulate} parts each",
            remedy=f"give --set batch=..., a multiple of {shares} and at most {pairs}",
        )


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
