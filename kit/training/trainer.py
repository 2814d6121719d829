"""The training loop.

In: a run's setup, and its state at any step. Out: the state at the end of the schedule, having
written checkpoints, metrics and weights on the way.
"""

import time
from collections.abc import Callable, Iterator

import torch

from kit.errors import CheckError, InputError
from kit.inputs.dataset import Sample, batches, epoch_order
from kit.machine.device import pick
from kit.machine.memory import ran_out
from kit.runs import earlier
from kit.runs.folder import CHECKPOINTS
from kit.runs.records import sync_records
from kit.training import checkpoint
from kit.training.memory import to_fit
from kit.training.run_log import RunLog
from kit.training.schedule import rate_share
from kit.training.setup import RunSetup
from kit.training.signals import delayed_signals
from kit.training.state import State
from kit.training.train_step import NotFiniteError, TrainStep
from kit.training.validator import Validator

CHECKPOINT_SECONDS = 300


class Trainer:
    """Trains `state` to the end of its variant's schedule.

    Args:
        setup: the run.
        state: at step 0, or as a checkpoint left it.
        log: gets the losses and the scores.
        compile: compile the generator with torch.compile.
        workers: threads that prepare batches ahead; 0 prepares each when it is needed.
    """

    def __init__(
        self,
        setup: RunSetup,
        state: State,
        log: RunLog,
        *,
        compile: bool = False,
        workers: int = 1,
    ) -> None:
        self.setup = setup
        self.state = state
        self.log = log
        self.workers = workers
        self.train_step = TrainStep(setup.variant, state, setup.group, compile)
        self.validator = Validator(setup)
        self.signals: list[int] = []
        self.saved = time.monotonic()
        self.images = 0  # of the last step

    def run(self) -> None:
        """Train to the end of the schedule.

        Raises:
            InputError: a tile cannot be read, or a batch is too large for the device.
            CheckError: the loss or the generator's output is not finite.
            KeyboardInterrupt: a signal asked to stop; a checkpoint is saved.
        """
        state, variant, group = self.state, self.setup.variant, self.setup.group
        with delayed_signals(ignore_repeats=group.world_size > 1) as self.signals:
            self.validator.restore_exports(state, self.signals, self.log.note)
            self.log.start()
            self.saved = time.monotonic()
            while not self.setup.is_over(state.epoch, state.best_step):
                for sample in self._batches():
                    # A single training step.
                    self._set_learning_rates()
                    losses = self._train_step(sample)
                    if self.train_step.late:
                        self._log(losses)  # of the step before, while the counters are its own
                    state.batch, state.step = state.batch + 1, state.step + 1
                    self.images = len(sample.inputs) * group.world_size
                    if not self.train_step.late:
                        self._log(losses)

                    # Once in a while, and on a signal: save a checkpoint.
                    stop, due = self._stop_or_due()
                    if stop or due:
                        self._save()
                    if stop:
                        raise KeyboardInterrupt
                self._log_last()
                self.log.flush()

                # Once in a while: score the hold-out and export the weights.
                if variant.validates_after(state.epoch):
                    self._validate()
                else:
                    state.epoch, state.batch = state.epoch + 1, 0

    def _set_learning_rates(self) -> None:
        """Set those of the next step."""
        state, variant = self.state, self.setup.variant
        share = rate_share(variant, state.epoch, state.batch, self.setup.steps_per_epoch)
        _set_rate(state.generator_optimizer, variant.lr * share)
        if state.discriminator_optimizer:
            _set_rate(state.discriminator_optimizer, variant.discriminator_lr * share)

    def _batches(self) -> Iterator[Sample]:
        """This rank's shares of the epoch's remaining batches.

        Where one rank cannot read its share, all of them save and end.
        """
        samples = batches(
            self.setup.dataset,
            epoch=self.state.epoch,
            batch=self.setup.variant.batch,
            skip=self.state.batch,
            workers=self.workers,
            rank=self.setup.group.rank,
            world=self.setup.group.world_size,
        )
        while True:
            try:
                sample = self.setup.group.on_all(lambda: next(samples, None))
            except Exception:  # most often a tile that was readable when it was screened
                self._save()
                raise
            if sample is None:
                return
            yield sample

    def _train_step(self, sample: Sample) -> dict[str, float]:
        try:
            return self._finite(lambda: self.train_step(sample))
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            # A processor grants more than there is, so that trying less may end the process.
            can_try = isinstance(error, torch.OutOfMemoryError)
        # The memory of the step is free only outside of the handler.
        raise self._out_of_memory(sample, can_try)

    def _log(self, losses: dict[str, float]) -> None:
        if losses:
            self.log.step(losses, self.images)

    def _log_last(self) -> None:
        """Log the last step, if its losses are not read yet."""
        self._log(self._finite(self.train_step.last_losses))

    def _finite(self, read: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What is read, or an error that names the pairs of the step that is not finite."""
        try:
            return read()
        except NotFiniteError as error:
            raise self._not_finite(error) from None

    def _stop_or_due(self) -> tuple[bool, bool]:
        """Whether any rank got a signal, and whether a checkpoint is due by the clock of rank 0."""
        group, passed = self.setup.group, time.monotonic() - self.saved
        stop, due = group.each_any(
            [bool(self.signals), group.is_main and passed > CHECKPOINT_SECONDS]
        )
        return stop, due

    def _save(self) -> None:
        folder = self.setup.folder / CHECKPOINTS
        self._log_last()

        def save() -> None:
            sync_records(self.setup.folder)  # which the checkpoint counts
            checkpoint.save(self.state, folder)

        self.setup.group.on_main(save)
        self.saved = time.monotonic()

    def _validate(self) -> None:
        """End the epoch with a validation, between two checkpoints: before it and after it."""
        started = time.monotonic()
        self.log.validation_starts()
        self._save()
        if self.setup.group.any(bool(self.signals)):
            raise KeyboardInterrupt
        self.state.epoch, self.state.batch = self.state.epoch + 1, 0
        if scores := self.validator.validate(self.state, self.signals):
            self.log.validation(scores, time.monotonic() - started)
        if self.setup.ends_early(self.state.epoch, self.state.best_step):
            self.log.ended_early()
        self._save()
        self.setup.group.on_main(lambda: earlier.settle(self.setup.folder))
        self.log.validation_ended(time.monotonic() - started)

    def _not_finite(self, error: NotFiniteError) -> CheckError:
        state, data, batch = self.state, self.setup.dataset, self.setup.variant.batch
        number, step = state.batch - error.counted, state.step - error.counted
        order = epoch_order(len(data), data.seed, state.epoch)[number * batch :][:batch]
        pairs = [data.pairs[index] for index in order]
        names = "".join(f"\n    {pair.radar} with {pair.optical}" for pair in pairs)
        return CheckError(
            f"{self.setup.folder}: {error} at step {step}, epoch {state.epoch}, batch "
            f"{number}\n  the last checkpoint is kept; check these pairs, or train from the "
            f"start with a smaller lr and --overwrite:{names}"
        )

    def _out_of_memory(self, sample: Sample, can_try: bool) -> InputError:
        pairs, setup = len(sample.inputs), self.setup
        at_a_time = pairs // setup.variant.accumulate
        problem = f"{pick()} has too little memory for {at_a_time} pairs at a time"
        fits = None
        # With several ranks the others wait in a step that this one will never finish.
        if can_try and setup.group.world_size == 1:
            fits = self.train_step.largest(sample)
        return InputError(setup.folder, problem, remedy=to_fit(setup, fits))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
