"""Several variants, each trained in a process of its own.

In: names of variants. Out: how each ended. What is finished is passed over, what was interrupted
goes on, and one that fails does not stop the others.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.progress import Report
from kit.training.signals import collected
from kit.variants import find_variant

LOG = "train.log"
_PATIENCE = 0.2  # seconds between two looks at the processes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the training of one variant ended: the exit code of `kit train`, 0 where it succeeded."""

    variant: str
    exit_code: int
    seconds: float


def train_all(
    names: Sequence[str],
    *,
    settings: Sequence[str] = (),
    work: Path,
    runs: Path,
    gpus: int = 0,
    options: Sequence[str] = (),
    report: Report,
) -> tuple[Outcome, ...]:
    """Train the named variants one after the other or, given GPUs, one on each at a time.

    Args:
        names: as `kit train` takes them.
        settings: texts such as `width=16`, for all of them.
        work: the folder that `prepare` wrote.
        runs: the folder of all runs; with GPUs each run writes what it says to its `train.log`.
        gpus: how many to use; 0 for one training at a time, wherever torch puts it.
        options: further options of `kit train`.
        report: called with a line about each that begins or ends.

    Raises:
        InputError: a name or a setting is wrong, or there are not as many GPUs; nothing is begun.
        KeyboardInterrupt: stopped by a signal; what was running has saved.
    """
    variants = {name: find_variant(name, settings) for name in names}
    runs_of = [variant.name for variant in variants.values()]
    if twice := next((name for name in runs_of if runs_of.count(name) > 1), None):
        raise InputError(twice, "the name of two of these trainings", remedy="give each its own")
    cards = _cards(gpus)
    waiting = list(variants)
    running: list[_Running] = []
    outcomes: dict[str, Outcome] = {}

    def stop() -> None:
        for each in running:
            each.process.send_signal(signal.SIGTERM)

    with collected(patient=True, report=stop) as stopped, _ended(running):
        while running or (waiting and not stopped):
            while waiting and not stopped and len(running) < max(1, gpus):
                name = waiting.pop(0)
                gpu = min(set(range(max(1, gpus))) - {each.gpu for each in running})
                report(f"{variants[name].name}: begins" + (f" on GPU {gpu}" if gpus else ""))
                command = [sys.executable, "-m", "kit", "train", name, *options]
                command += ["--work", str(work), "--runs", str(runs)]
                command += [part for setting in settings for part in ("--set", setting)]
                card = cards[gpu] if gpus else None
                process = _start(command, runs / variants[name].name, card)
                running.append(_Running(name, process, gpu, time.monotonic()))
                if stopped:  # between the start and the list
                    process.send_signal(signal.SIGTERM)
            time.sleep(_PATIENCE)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                code = each.process.returncode
                code = 128 - code if code < 0 else code  # as a shell tells of a signal
                seconds = round(time.monotonic() - each.began, 1)
                outcome = Outcome(variants[each.name].name, code, seconds)
                outcomes[each.name] = outcome
                if code:
                    how = "stopped" if stopped else f"failed with exit code {code}"
                    report(f"{outcome.variant}: {how}")
        if stopped:
            raise KeyboardInterrupt
    return tuple(outcomes[name] for name in variants)


@dataclass(frozen=True, slots=True)
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    gpu: int
    began: float


def _start(command: list[str], folder: Path, card: str | None) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C reaches it once, from us, and a second one would cut its saving.
    if card is None:
        return subprocess.Popen(command, process_group=0)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": card}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            command, process_group=0, stdout=nowhere, stderr=log, env=environment
        )


def _cards(gpus: int) -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if not gpus:
        return []
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = given.split(",") if given else [str(n) for n in range(torch.cuda.device_count())]
    if len(cards) < gpus:
        raise InputError(f"--gpus {gpus}", f"there are {len(cards)}", remedy=f"--gpus {len(cards)}")
    return cards


@contextmanager
def _ended(running: list[_Running]) -> Iterator[None]:
    """Leave no training alone that an error here would leave with nobody to look after it."""
    try:
        yield
    finally:
        for each in running:
            each.process.terminate()
            each.process.wait()
