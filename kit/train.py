"""The training loop: pairs -> a run folder.

In: a variant and the pair table. Out, in `runs/<variant>/`: `config.json`, `metrics.jsonl`, sample
sheets, `checkpoint.safetensors` to go on from, `last.safetensors`, and `weights.safetensors`, the
best by hold-out MAE. The same command again goes on where the last one stopped.
"""

import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from kit.checkpoint import State, save_weights
from kit.dataset import (
    WORKERS,
    PairDataset,
    Sample,
    batches,
    mean_color,
    read_pair,
    steps_per_epoch,
)
from kit.device import pick, place
from kit.errors import BusyError, CheckError, InputError
from kit.files import lock, read_json, write_bytes, write_json
from kit.losses import discriminator_loss, generator_loss, l1
from kit.pairs import Pair, fingerprint, holdout_pairs, read_pairs, train_pairs
from kit.sheet import sheet
from kit.source import Source
from kit.validate import evaluate, infer
from kit.variants import Variant, to_dict

CHECKPOINT = "checkpoint.safetensors"
LOG_EVERY = 10
CHECKPOINT_SECONDS = 300
RECALIBRATION_BATCHES = 16
SAMPLES = 4

Watch = Callable[[dict[str, Any]], None]
"""Called with each record that goes into metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a training ended. `mae` and `psnr` are the best on the hold-out, None without one."""

    folder: Path
    steps: int
    mae: float | None
    psnr: float | None
    pairs: int


def train(
    variant: Variant,
    *,
    work: Path,
    runs: Path,
    overwrite: bool = False,
    workers: int = WORKERS,
    watch: Watch | None = None,
) -> Run:
    """Train `variant` on its data set, or go on with a training that was interrupted.

    Args:
        variant: model, losses, data set and schedule.
        work: the folder that `prepare` wrote.
        runs: the folder of all runs; this one is `runs/<variant.name>`.
        overwrite: start anew even if the run exists.
        workers: threads that make batches ahead; 0 makes each when it is needed.
        watch: called with each record of `metrics.jsonl`.

    Raises:
        InputError: no pair table, no pair to train on, or a pack that lacks one or is damaged.
        BusyError: the run exists with other settings or data, or another process trains it.
        CheckError: the loss is not a number; the last checkpoint is kept.
        KeyboardInterrupt: stopped by a signal, after saving.
    """
    folder = runs / variant.name
    table = work / "pairs.parquet"
    pairs = read_pairs(table)
    chosen = train_pairs(pairs, variant.dataset)
    if not chosen:
        raise InputError(table, f"no pair of Dataset-{variant.dataset} to train on",
                         f"{work / 'summary.json'} says what removed them")  # fmt: skip
    held = holdout_pairs(pairs)
    source = Source.open(work, (*chosen, *held))
    with lock(folder):
        config = {"variant": to_dict(variant), "pairs_sha256": fingerprint(pairs)}
        _claim(folder, config, overwrite)
        torch.manual_seed(variant.seed)
        state = State.new(variant)
        if (folder / CHECKPOINT).exists():
            state.load(folder / CHECKPOINT)
        _trim(folder / "metrics.jsonl", state.step)
        crop = min(variant.crop, 32 * math.ceil(max(max(p.height, p.width) for p in chosen) / 32))
        dataset = PairDataset(source, chosen, crop=crop, target=variant.target, seed=variant.seed)
        loop = _Loop(variant, state, dataset, held, folder, workers, watch)
        loop.run()
    return Run(folder, state.step, state.mae, state.psnr, len(chosen))


class _Loop:
    """One training, from the state it is given to its last epoch."""

    def __init__(
        self,
        variant: Variant,
        state: State,
        dataset: PairDataset,
        holdout: tuple[Pair, ...],
        folder: Path,
        workers: int,
        watch: Watch | None,
    ) -> None:
        self.variant = variant
        self.state = state
        self.dataset = dataset
        self.holdout = holdout
        self.folder = folder
        self.workers = workers
        self.watch = watch
        self.epochs = variant.epochs + variant.decay_epochs
        self.steps = steps_per_epoch(len(dataset), variant.batch)
        self.saved = self.logged = time.monotonic()
        self.images = 0

    @cached_property
    def color(self) -> tuple[float, ...]:
        """The mean colour of the targets; not read for a run that is finished already."""
        return mean_color(self.dataset.source, self.dataset.pairs, self.variant.target)

    def run(self) -> None:
        """Train to the end of the schedule."""
        state = self.state
        every = math.ceil(self.epochs / self.variant.validations)
        with _signals() as stopped:
            while state.epoch < self.epochs:
                self._epoch(stopped)
                state.epoch, state.batch = state.epoch + 1, 0
                if state.epoch % every == 0 or state.epoch == self.epochs:
                    self._validate()
                    self._save()
                    self.logged = time.monotonic()

    def _epoch(self, stopped: list[int]) -> None:
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
        )
        try:
            for sample in todo:
                self._take(self._step(sample), len(sample.radar))
                if stopped or time.monotonic() - self.saved > CHECKPOINT_SECONDS:
                    self._save()
                if stopped:
                    raise KeyboardInterrupt
        except InputError:  # a tile that could be read when it was screened
            self._save()
            raise
        self._log()

    def _take(self, losses: dict[str, float], images: int) -> None:
        """Count a step that was taken, and record the mean losses now and then."""
        state = self.state
        state.batch, state.step = state.batch + 1, state.step + 1
        self.images += images
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
        self.state.save(self.folder / CHECKPOINT)
        self.saved = time.monotonic()

    def _step(self, sample: Sample) -> dict[str, float]:
        """One step of the generator and, with a GAN loss, one of the discriminator."""
        state, variant = self.state, self.variant
        device = pick()
        sample = Sample(*map(place, sample))
        state.generator.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            fake = state.generator(sample.radar)
            distance = l1(fake.float(), sample.target, sample.mask)
            values = {"l1": float(distance.detach())}
            loss = variant.l1 * distance
            if state.discriminator:
                state.discriminator.requires_grad_(False)
                judged = state.discriminator(sample.radar, fake)
                adversarial = generator_loss(variant.model, [scale.float() for scale in judged])
                loss = loss + variant.gan * adversarial
                values["gan"] = float(adversarial.detach())
        self._update(state.generator_optimizer, loss, "generator")
        if state.discriminator and state.discriminator_optimizer:
            state.discriminator.requires_grad_(True)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss = self._discriminator_loss(sample, fake.detach())
            self._update(state.discriminator_optimizer, loss, "discriminator")
            values["discriminator"] = float(loss.detach())
        return values

    def _discriminator_loss(self, sample: Sample, fake: Tensor) -> Tensor:
        assert self.state.discriminator is not None
        if self.variant.model == "spade":
            # SPADE's authors show the discriminator what the generator makes after its own step.
            with torch.no_grad():
                fake = self.state.generator(sample.radar)
        both = self.state.discriminator(
            torch.cat([sample.radar, sample.radar]), torch.cat([fake.float(), sample.target])
        )
        fakes, reals = zip(*(scale.float().chunk(2) for scale in both), strict=True)
        return discriminator_loss(self.variant.model, fakes, reals)

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor, who: str) -> None:
        if not torch.isfinite(loss):
            raise self._broken(f"the {who}'s loss is {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _broken(self, what: str) -> CheckError:
        state = self.state
        where = f"step {state.step}, epoch {state.epoch}, batch {state.batch}"
        return CheckError(
            f"{self.folder}: {what} at {where}\n  its last checkpoint is kept; try a smaller lr"
        )

    def _validate(self) -> None:
        """Score the hold-out, keep the best weights, and draw a sample sheet."""
        state, variant = self.state, self.variant
        _recalibrate(state.generator, self.dataset, variant.batch)
        facts: dict[str, Any] = {"epoch": state.epoch, "step": state.step, "mean_color": self.color}
        judged = self.holdout or self.dataset.pairs[:1]
        found = evaluate(state.generator, self.dataset.source, judged, variant.target)
        if not math.isfinite(found.mae):
            raise self._broken("the output of the generator is not a number")
        best = not self.holdout
        if self.holdout:
            scores = {"holdout_mae": found.mae, "holdout_psnr": found.psnr}
            self._record(scores)
            facts |= scores
            if best := state.mae is None or found.mae < state.mae:
                state.mae, state.psnr = found.mae, found.psnr
        names = ["last.safetensors"] + ["weights.safetensors"] * best
        for name in names:
            save_weights(self.folder / name, state.generator, variant, facts)
        self._sample()

    def _sample(self) -> None:
        chosen = (self.holdout or tuple(self.dataset.pairs))[:SAMPLES]
        rows = []
        for pair in chosen:
            radar, optical = read_pair(self.dataset.source, pair, self.variant.target)
            rows.append([*radar, infer(self.state.generator, radar[None])[0], optical])
        path = self.folder / "samples" / f"epoch-{self.state.epoch:04d}.png"
        labels = [str(pair.optical) for pair in chosen]
        sheet(rows, ["VV", "VH", self.variant.name, "truth"], labels, path)

    def _record(self, values: dict[str, Any]) -> None:
        state = self.state
        total = self.epochs * self.steps
        record = {"step": state.step, "steps": total, "epoch": state.epoch} | values
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        if self.watch:
            self.watch(record)


def _claim(folder: Path, config: dict[str, Any], overwrite: bool) -> None:
    """Make `folder` the run of this configuration, or refuse if it is another's."""
    path = folder / "config.json"
    if overwrite:
        for name in folder.iterdir():
            if name.name != ".lock":
                shutil.rmtree(name) if name.is_dir() else name.unlink()
    if path.exists():
        remedy = "start anew with --overwrite"
        old = read_json(path, remedy)
        if not isinstance(old, dict) or not isinstance(old.get("variant"), dict):
            raise InputError(path, "not what kit train writes", remedy)
        before = old["variant"] | {"data": old.get("pairs_sha256")}
        now = config["variant"] | {"data": config["pairs_sha256"]}
        if changed := [key for key in now if now[key] != before.get(key)]:
            raise BusyError(
                f"{folder}: this run was begun with other {', '.join(changed)}\n"
                "  give what it was begun with, or --overwrite, or another name with --set name=..."
            )
    write_json(path, config)


def _trim(metrics: Path, step: int) -> None:
    """Take out records of steps that are about to be taken again, and one that a kill cut short."""
    if metrics.exists():
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.endswith("}\n"))
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        write_bytes(metrics, "".join(kept).encode())


def _recalibrate(generator: nn.Module, dataset: PairDataset, batch: int) -> None:
    """Replace the running statistics of batch norms by their mean over training batches.

    The exponential averages that training leaves behind follow weights that have since moved on.
    """
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    generator.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        todo = batches(dataset, epoch=0, batch=batch)
        for _, sample in zip(range(RECALIBRATION_BATCHES), todo, strict=False):
            generator(place(sample.radar))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM so that a step is never cut in two; a second one takes effect."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
