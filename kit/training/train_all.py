"""Several variants, each trained in a process of its own.

In: names of variants. Out: the exit code and duration of each. Finished ones are skipped,
interrupted ones resume, and one that fails does not stop the others. However this process ends, its
trainings save and end too.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kit.errors import InputError
from kit.pairs.folds import take_fold
from kit.pairs.groups import read_groups
from kit.pairs.table import PAIRS, read_pairs, train_pairs
from kit.progress import Report
from kit.runs.folder import LOG
from kit.storage.files import make_folder, naming
from kit.training.child import for_child
from kit.training.signals import delayed_signals
from kit.variants.registry import FEW_PAIRS, SETS, find_variant
from kit.variants.settings import as_fold

_POLL_SECONDS = 0.2
_NARROW = 16  # channels, of the networks for few pairs
_SLOWER = 1.2  # times what was planned, from which on it is reported


@dataclass(frozen=True, slots=True)
class Training:
    """One of several variants to train: its name or TOML file, and settings of its own.

    `seconds` is what a plan expects all its runs to take, one after the other; None without one.
    """

    name: str
    settings: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the training of a variant ended: the exit code of `kit train`, 0 for success."""

    variant: str
    exit_code: int
    seconds: float


def train_all(
    trainings: Sequence[str | Training],
    *,
    settings: Sequence[str] = (),
    folds: int = 1,
    all_pairs: bool = False,
    groups: Path | None = None,
    work: Path,
    runs: Path,
    gpus: int = 0,
    options: Sequence[str] = (),
    report: Report,
) -> tuple[Outcome, ...]:
    """Train the named variants one after the other or, with GPUs, one on each at a time.

    Args:
        trainings: variants or TOML files, as for `kit train`, or those with settings of their own.
        settings: texts such as `width=16`, for all of them.
        folds: how many runs of each; every one of these holds out another part of the pairs.
        all_pairs: train each on all pairs too, after its folds, in a run of its own name.
        groups: what must not be divided between folds, as `kit.training.train.train` takes it.
        work: the folder that `prepare` wrote.
        runs: the folder of all runs; with GPUs each run's messages go to its `train.log`.
        gpus: how many to use; 0 for one training at a time, on torch's default device.
        options: further options of `kit train`.
        report: called with a line about each that starts or fails, once if they take longer than
            was planned, and first if what nobody planned is for more pairs than there are.

    Raises:
        InputError: a name or a setting is wrong, there are fewer GPUs, or the pairs cannot be
            divided into so many folds; nothing is started.
        KeyboardInterrupt: stopped by a signal; running trainings have saved.
    """
    if folds > 1:
        _check_folds(work, folds, groups)
    elif groups:
        remedy = "give --folds 5 too"
        raise InputError(groups, "groups are for several folds", remedy=remedy)
    chosen = [Training(each) if isinstance(each, str) else each for each in trainings]
    chosen = [replace(each, settings=(*each.settings, *settings)) for each in chosen]
    common = ["--work", str(work), "--runs", str(runs)]
    every = [job for each in chosen for job in _jobs(each, folds, all_pairs, groups, common)]
    jobs = {job.run: job for job in every}
    if len(jobs) < len(every):
        raise _twice([find_variant(each.name, each.settings).name for each in chosen])
    if line := _few_pairs(work, [each for each in chosen if each.seconds is None]):
        report(line)
    pace = _Pace(report)
    cards = _cards(gpus)
    waiting = list(jobs.values())
    running: list[_Running] = []
    outcomes: dict[str, Outcome] = {}

    def terminate() -> None:
        for each in running:
            each.process.send_signal(signal.SIGTERM)

    with (
        delayed_signals(ignore_repeats=True, on_signal=terminate) as signals,
        _terminated_at_exit(running),
    ):
        while running or (waiting and not signals):
            while not signals and len(running) < max(1, gpus):
                ahead = {each.run for each in running} | {each.run for each in waiting}
                job = next((each for each in waiting if ahead.isdisjoint(each.after)), None)
                if job is None:
                    break
                waiting.remove(job)
                lost = next((run for run in job.after if outcomes[run].exit_code), None)
                if lost:
                    report(f"{job.run}: not started, since {lost} failed; run this again")
                    outcomes[job.run] = replace(outcomes[lost], variant=job.run, seconds=0.0)
                    continue
                gpu = min(set(range(max(1, gpus))) - {each.gpu for each in running})
                report(f"{job.run}: starting" + (f" on GPU {gpu}" if gpus else ""))
                command = [sys.executable, "-m", "kit", "train", *options, *job.options]
                card = cards[gpu] if gpus else None
                process = _start(command, runs / job.run, card, job.planned_s)
                running.append(_Running(job.run, process, gpu, time.monotonic()))
                if signals:  # one came between the start and the append
                    process.send_signal(signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                outcome = outcomes[each.run] = each.outcome()
                if outcome.exit_code:
                    failed = f"failed with exit code {outcome.exit_code}"
                    report(f"{outcome.variant}: {'stopped' if signals else failed}")
                pace.ended(jobs[each.run].planned_s, outcome.seconds, bool(waiting))
        if signals:
            raise KeyboardInterrupt
    return tuple(outcomes[run] for run in jobs)


@dataclass(frozen=True, slots=True)
class _Job:
    """A run, what `kit train` is told to train it, and the runs that tell it when to end."""

    run: str
    options: tuple[str, ...]
    planned_s: float | None
    after: tuple[str, ...] = ()


class _Pace:
    """Reports once that trainings take longer than was planned, and the choice that this leaves."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._planned = self._taken = 0.0
        self._reported = False

    def ended(self, planned_s: float | None, seconds: float, more: bool) -> None:
        """Count a training that has ended; `more` says whether others are still to begin."""
        if planned_s is None:
            return
        self._planned += planned_s
        self._taken += seconds
        if more and not self._reported and self._taken > _SLOWER * self._planned:
            self._reported = True
            ratio = self._taken / self._planned
            self._report(
                f"trainings take {ratio:.1f} times as long as planned: this machine is slower than "
                "it was when it was measured. Let them run; or stop with Ctrl-C, remove a "
                "[[train]] from the plan and type the command again: what is trained is kept"
            )


@dataclass(frozen=True, slots=True)
class _Running:
    run: str
    process: subprocess.Popen[bytes]
    gpu: int
    started: float

    def outcome(self) -> Outcome:
        code = self.process.returncode
        code = 128 - code if code < 0 else code  # ended by a signal: the code that a shell gives
        return Outcome(self.run, code, round(time.monotonic() - self.started, 1))


def _jobs(
    training: Training, folds: int, all_pairs: bool, groups: Path | None, common: Sequence[str]
) -> Iterator[_Job]:
    """The runs of a variant, one for each fold, and one for all pairs."""
    variant = find_variant(training.name, training.settings)
    settings = [part for setting in training.settings for part in ("--set", setting)]
    planned_s = None if training.seconds is None else training.seconds / (folds + all_pairs)
    runs = list[str]()
    for fold in range(1, folds + 1):
        chosen = ["--fold", f"{fold}/{folds}"] if folds > 1 else []
        if groups:
            chosen += ["--groups", str(groups)]
        runs.append(as_fold(variant, fold, folds).name)
        yield _Job(runs[-1], (training.name, *common, *settings, *chosen), planned_s)
    if all_pairs:
        yield _Job(variant.name, (training.name, *common, *settings), planned_s, tuple(runs))


def _check_folds(work: Path, folds: int, groups: Path | None) -> None:
    """Refuse what every training would refuse: pairs that cannot be divided, or no table of groups.

    Raises:
        InputError: says what.
    """
    table = read_groups(groups) if groups else None
    if (work / PAIRS).exists():
        pairs = read_pairs(work / PAIRS)
        for fold in range(1, folds + 1):
            take_fold(pairs, fold, folds, table)


def _few_pairs(work: Path, trainings: Sequence[Training]) -> str:
    """What to train in place of wide networks where there are few pairs; "" where there are more.

    Raises:
        InputError: the table of pairs is damaged.
    """
    variants = [find_variant(each.name, each.settings) for each in trainings]
    wide = [each for each in variants if not each.is_fitted and each.width > _NARROW]
    count = len(train_pairs(read_pairs(work / PAIRS), 1)) if (work / PAIRS).exists() else 0
    if not wide or not 0 < count < FEW_PAIRS:
        return ""
    twins = any(each.target == "minmax" for each in wide)
    instead = [f"{name}m" for name in SETS["small"]] if twins else ["small"]
    return (
        f"{count} pairs are few for a network as wide as {wide[0].name}: "
        f"kit train-all {' '.join(instead)} trains those that are for few"
    )


def _twice(names: Sequence[str]) -> InputError:
    twice = next(name for name in names if names.count(name) > 1)
    problem = "two of these variants have this name"
    return InputError(twice, problem, remedy="give each a name of its own")


def _start(
    command: list[str], folder: Path, card: str | None, planned_s: float | None = None
) -> subprocess.Popen[bytes]:
    # A process group of its own: it gets Ctrl-C once, from us; a second would interrupt its saving.
    environment = os.environ | for_child(folder.parent, card, planned_s)
    if card is None:
        return subprocess.Popen(command, process_group=0, env=environment)
    environment |= {"CUDA_VISIBLE_DEVICES": card}
    with naming(folder / LOG):
        make_folder(folder)
        log = (folder / LOG).open("ab")
    with log:
        return subprocess.Popen(
            command, process_group=0, stdout=subprocess.DEVNULL, stderr=log, env=environment
        )


def _cards(gpus: int) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not gpus:
        return []
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = given.split(",") if given else [str(n) for n in range(torch.cuda.device_count())]
    if len(cards) < gpus:
        problem = f"there are {len(cards)} GPUs"
        raise InputError(f"--gpus {gpus}", problem, remedy=f"use --gpus {len(cards)}")
    return cards


@contextmanager
def _terminated_at_exit(running: list[_Running]) -> Iterator[None]:
    """Terminate the running trainings when the block ends, as it does on an error."""
    try:
        yield
    finally:
        for each in running:
            each.process.terminate()
            each.process.wait()
