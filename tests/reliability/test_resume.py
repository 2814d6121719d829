"""Killed at any moment and started again until done, a training ends as if nothing had happened.

`make soak` kills it 100 times.
"""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

import kit.training.run_log
import kit.training.trainer
from kit.runs.folder import finished
from kit.training.checkpoint import checkpoints
from kit.training.train import train
from tests.helpers.runs import assert_same_run
from tests.helpers.soak import SOAK
from tests.helpers.variants import tiny

KILLS = 100 if SOAK else 12
LONG = ("gan=1", "l1=10", "epochs=3", "decay_epochs=2", "validations=3", "name=long")


def run(folder: str, workers: int) -> None:
    """A training that saves all the time, in a process that is killed at some moment of it."""
    import torch

    torch.set_num_threads(1)
    kit.training.trainer.CHECKPOINT_SECONDS = 0.05
    train(tiny("p2phd1", *LONG), work=Path("work"), runs=Path(folder), workers=workers)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_any_moment_will_do(trained: Path) -> None:
    straight = train(tiny("p2phd1", *LONG), work=Path("work"), runs=Path("straight"))
    # A server that has imported torch, so that a process lives to train and not to import.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.reliability.test_resume", "torch._dynamo"])
    draw = random.Random(KILLS)
    kills = ends = 0
    while kills < KILLS or not ends:
        runs = f"killed{ends}"
        process = processes.Process(target=run, args=(runs, draw.choice([0, 1, 3])))
        process.start()
        if kills < KILLS:
            deadline = time.monotonic() + draw.uniform(0.1, 3.0)
            while process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
        else:
            process.join()
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode == 0:
            assert_same_run(straight.folder, Path(runs) / "long")
            ends += 1
    assert kills == KILLS


@pytest.mark.slow
def test_the_moments_are_moments_of_training(trained: Path) -> None:
    """What the test above relies on: checkpoints in the middle of epochs are made and used."""
    runs = Path("cut")
    kit.training.trainer.CHECKPOINT_SECONDS, before = 0.0, kit.training.trainer.CHECKPOINT_SECONDS
    variant = tiny("p2phd1", *LONG)
    whole = kit.training.run_log.RunLog.step
    steps = []

    def count(self, *rest):
        whole(self, *rest)
        steps.append(self._state.step)
        if len(steps) == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        kit.training.run_log.RunLog.step = count
        with pytest.raises(KeyboardInterrupt):
            train(variant, work=Path("work"), runs=runs)
        newest = checkpoints(runs / "long" / "checkpoints")[0]
        assert newest.name == f"step-{steps[-1]:08d}"
        assert not finished(runs / "long", variant)
        train(variant, work=Path("work"), runs=runs)
        assert steps == list(range(1, len(steps) + 1))
        assert finished(runs / "long", variant)
    finally:
        kit.training.run_log.RunLog.step = whole
        kit.training.trainer.CHECKPOINT_SECONDS = before
