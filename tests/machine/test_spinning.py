"""Threads that wait for each other spin long on a quiet machine, and briefly on a crowded one."""

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from kit.inputs.dataset import Sample
from kit.machine import spinning as module
from kit.machine.distributed import ProcessGroup
from kit.machine.openmp import affine_cores
from kit.machine.spinning import SPINNING, Spinning, waited
from kit.models.infer import infer_tiles
from kit.training.state import State
from kit.training.train_step import TrainStep
from kit.variants.registry import find_variant


class Machine:
    """What a process is told of its threads: the time, and how long each had no core."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waited = {"1": 0.0, "2": 0.0}

    def passes(self, seconds: float, waiting: float = 0) -> None:
        self.time += seconds
        self.waited["2"] += waiting


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def held() -> list[threading.Event]:
    """The ends of the teams that sleep."""
    return []


@pytest.fixture
def spinning(
    machine: Machine, held: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> Spinning:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)

    def hold(threads: int, cores: int) -> Callable[[], None]:
        held.append(threading.Event())
        return held[-1].set

    monkeypatch.setattr(module, "_hold_teams", hold)
    monkeypatch.setattr(module, "pick", lambda: torch.device("cpu"))
    return Spinning(lambda: dict(machine.waited), lambda: machine.time)


def work(spinning: Spinning, machine: Machine, seconds: float, waiting: float) -> None:
    with spinning.watch():
        machine.passes(seconds, waiting)


def brief_after(spinning: Spinning, machine: Machine, seconds: float, waiting: float) -> bool:
    """Whether the piece of work after this one is begun with brief spinning."""
    work(spinning, machine, seconds, waiting)
    with spinning.watch():
        return spinning.brief


def test_it_is_brief_while_others_want_the_cores(
    machine: Machine, spinning: Spinning, held: list[threading.Event]
) -> None:
    for waiting, brief in ((0.1, False), (0.7, True), (0.6, True), (0.0, False), (0.7, True)):
        assert brief_after(spinning, machine, 1, waiting) == brief
    assert [end.is_set() for end in held] == [True, False]


def test_what_counts_is_the_share_of_the_work(machine: Machine, spinning: Spinning) -> None:
    assert not brief_after(spinning, machine, 10, 2)  # a long step
    machine.passes(60)
    assert brief_after(spinning, machine, 1, 0.7)
    machine.passes(60)
    assert brief_after(spinning, machine, 1, 0.7)


def test_it_looks_once_in_a_second_of_work(machine: Machine, spinning: Spinning) -> None:
    assert not brief_after(spinning, machine, 0.9, 0.9)
    assert brief_after(spinning, machine, 0.1, 0)


def test_what_was_before_the_first_piece_counts(machine: Machine, spinning: Spinning) -> None:
    """A process that starts among many others would not end its first step for minutes."""
    machine.passes(3, 2.5)
    with spinning.watch():
        assert spinning.brief


def test_threads_that_began_or_ended_since_count_what_they_waited(
    machine: Machine, spinning: Spinning
) -> None:
    machine.waited["3"] = 0.2
    assert not brief_after(spinning, machine, 1, 0.1)
    del machine.waited["3"]
    assert not brief_after(spinning, machine, 1, 0.3)
    machine.waited["4"] = 0.2
    assert brief_after(spinning, machine, 1, 0.3)


def test_where_nothing_is_counted_it_stays_as_it_is(machine: Machine, spinning: Spinning) -> None:
    assert brief_after(spinning, machine, 1, 0.7)
    before = dict(machine.waited)
    machine.waited.clear()
    with spinning.watch():
        machine.time += 5
    with spinning.watch():
        assert spinning.brief
    machine.waited |= before
    assert not brief_after(spinning, machine, 1, 0)


def test_work_in_another_thread_is_not_counted_twice(machine: Machine, spinning: Spinning) -> None:
    with spinning.watch():
        work(spinning, machine, 1, 0.7)
        assert not spinning.brief
    with spinning.watch():
        assert spinning.brief


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_who_has_said_how_threads_wait_decides(
    machine: Machine, spinning: Spinning, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "7")
    assert not brief_after(spinning, machine, 1, 0.9)


def test_beside_a_card_it_does_nothing(
    machine: Machine, spinning: Spinning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "pick", lambda: torch.device("cuda"))
    assert not brief_after(spinning, machine, 1, 0.9)


@pytest.mark.parametrize(
    ("threads", "cores", "teams"),
    [(1, 8, 0), (2, 2, 1), (16, 16, 1), (8, 16, 2), (2, 4, 3), (8, 4, 0), (2, 64, 0)],
)
def test_there_are_more_threads_than_cores(threads: int, cores: int, teams: int) -> None:
    assert module._teams(threads, cores) == teams
    assert not teams or threads + teams * (threads - 1) > cores


def test_threads_that_the_system_does_not_grant_end_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse_the_third(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_third)
    assert module._hold_teams(3, 3) is None
    for thread in begun:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_process_may_end_while_its_teams_are_started() -> None:
    """A training that was done on a busy machine ended with SIGABRT."""
    held = "from kit.machine.spinning import _hold_teams\nassert _hold_teams(2, 2)"
    done = subprocess.run([sys.executable, "-c", held], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="nothing counts it here")
def test_linux_counts_how_long_a_thread_had_no_core() -> None:
    assert waited()[str(threading.get_native_id())] >= 0


def test_elsewhere_nothing_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_TASKS", tmp_path / "none")
    assert waited() == {}
    monkeypatch.setattr(module, "_TASKS", tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "1" / "schedstat").write_text("5 2500000000 1\n")
    assert waited() == {"1": 2.5}
    (tmp_path / "2" / "schedstat").write_text("nonsense\n")
    assert waited() == {}


class Watched(Exception):
    """What a piece of work that is watched raises here."""


def test_steps_and_drawing_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def watch() -> NoReturn:
        raise Watched

    monkeypatch.setattr(SPINNING, "watch", watch)
    with pytest.raises(Watched):
        infer_tiles(lambda tiles: tiles, torch.zeros(1, 2, 4, 4))
    variant = find_variant("unet2", ["width=4"])
    step = TrainStep(variant, State.new(variant), ProcessGroup())
    with pytest.raises(Watched):
        step(Sample(torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)))


# In a process whose torch starts two threads: how often one of them fell asleep in 2,000 short
# loops, while its threads spin long, briefly, and long again.
FALLING_ASLEEP = """
import json, resource, threading, torch
from kit.machine.spinning import Spinning

def fallen_asleep():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(2_000):
        numbers.add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

assert torch.get_num_threads() == 2
numbers = torch.ones(65_536)
seconds, waited, found = 0.0, 0.0, []
own = Spinning(lambda: {"1": waited}, lambda: seconds)
alone = threading.active_count()
for share in (0.0, 0.9, 0.0):
    with own.watch():
        seconds, waited = seconds + 1, waited + share
    with own.watch():
        assert own.brief == (share > 0)
    threading.Event().wait(0.5)  # until its team is there, or gone
    assert threading.active_count() == alone + own.brief
    found.append(fallen_asleep())
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="torch has libgomp on Linux alone")
@pytest.mark.skipif(affine_cores() < 2, reason="one core has one thread")
def test_libgomp_spins_briefly_beside_another_team() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    others = ("OMP_", "GOMP_", "MKL_")
    clean = {n: v for n, v in os.environ.items() if not n.startswith(others)}
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {cores})\n{FALLING_ASLEEP}"],
        env=clean | {"OMP_NUM_THREADS": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    quiet, crowded, after = json.loads(done.stdout)
    assert crowded > 3 * max(quiet, after, 10)
