"""Threads that wait for each other spin long on a quiet machine, and briefly on a crowded one."""

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.machine import spinning as module
from kit.machine.openmp import affine_cores
from kit.machine.spinning import Spinning, Times, thread_times


class Machine:
    """What a process is told of its threads: the time, and how long each ran and had no core."""

    def __init__(self) -> None:
        self.time = 0.0
        self.threads = {"1": Times(0, 0), "2": Times(0, 0)}

    def passes(self, seconds: float, waiting: float, working: float = 1) -> None:
        """Both threads work for a share of the time, one of them without a core for `waiting`."""
        self.time += seconds
        self.adds("1", seconds * working, 0)
        self.adds("2", seconds * working - waiting, waiting)

    def adds(self, thread: str, ran: float, waited: float) -> None:
        before = self.threads.get(thread, Times(0, 0))
        self.threads[thread] = Times(before.ran + ran, before.waited + waited)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def spinning(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spinning]:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_hold_team", lambda end: end.wait())
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(module, "affine_cores", lambda: 2)
    made = Spinning(lambda: dict(machine.threads), lambda: machine.time)
    yield made
    machine.passes(60, 0)
    made.adapt()


def test_on_a_quiet_machine_threads_spin_long(machine: Machine, spinning: Spinning) -> None:
    for _ in range(3):
        machine.passes(1, 0.1)
        spinning.adapt()
        assert not spinning.brief


def test_they_spin_briefly_while_others_want_the_cores(
    machine: Machine, spinning: Spinning
) -> None:
    before = threading.active_count()
    for waiting, brief in ((0.7, True), (0.7, True), (0.0, False), (0.7, True), (0.1, False)):
        machine.passes(1, waiting)
        spinning.adapt()
        assert spinning.brief == brief
    machine.passes(1, 0.7)
    spinning.adapt()
    assert threading.active_count() == before + 1


def test_what_counts_is_the_share_of_the_time_that_passed(
    machine: Machine, spinning: Spinning
) -> None:
    machine.passes(10, 2)  # a long step
    spinning.adapt()
    assert not spinning.brief
    machine.passes(10, 2, working=0.3)
    spinning.adapt()
    assert spinning.brief


def test_a_process_that_did_nothing_learns_nothing(machine: Machine, spinning: Spinning) -> None:
    for waiting, brief in ((0.7, True), (0.7, True), (0.1, False)):
        machine.passes(1, 0.05, working=0.06)
        before = spinning.brief
        spinning.adapt()
        assert spinning.brief == before
        machine.passes(1, waiting)
        spinning.adapt()
        assert spinning.brief == brief


def test_it_looks_once_a_second(machine: Machine, spinning: Spinning) -> None:
    machine.passes(0.9, 0.9)
    spinning.adapt()
    assert not spinning.brief
    machine.passes(0.1, 0)
    spinning.adapt()
    assert spinning.brief


def test_threads_that_began_or_ended_since_count_what_they_waited(
    machine: Machine, spinning: Spinning
) -> None:
    machine.passes(1, 0.1)
    machine.adds("3", 0, 0.2)
    spinning.adapt()
    del machine.threads["3"]
    machine.passes(1, 0.3)
    spinning.adapt()
    assert not spinning.brief
    machine.adds("4", 0, 0.2)
    machine.passes(1, 0.3)
    spinning.adapt()
    assert spinning.brief


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_who_has_said_how_threads_wait_decides(
    machine: Machine, spinning: Spinning, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "7")
    machine.passes(1, 0.9)
    spinning.adapt()
    assert not spinning.brief


@pytest.mark.parametrize(
    ("threads", "cores", "teams"), [(1, 8, 0), (2, 2, 1), (16, 16, 1), (8, 16, 2), (2, 4, 3)]
)
def test_there_are_more_threads_than_cores(threads: int, cores: int, teams: int) -> None:
    assert module._teams(threads, cores) == teams
    assert threads == 1 or threads + teams * (threads - 1) > cores


@pytest.mark.skipif(platform.system() != "Linux", reason="Linux counts it")
def test_linux_counts_how_long_a_thread_had_no_core() -> None:
    mine = thread_times()[str(threading.get_native_id())]
    assert mine.ran > 0 and mine.waited >= 0


def test_nothing_is_counted_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_TASKS", tmp_path / "none")
    assert thread_times() == {}
    monkeypatch.setattr(module, "_TASKS", tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "1" / "schedstat").write_text("5 2500000000 1\n")
    assert thread_times() == {"1": Times(5e-9, 2.5)}
    (tmp_path / "2" / "schedstat").write_text("nonsense\n")
    assert thread_times() == {}


# In a process whose torch starts two threads: how often one of them fell asleep in 2,000 short
# loops, while its threads spin long, briefly, and long again.
FALLING_ASLEEP = """
import json, resource, threading, torch
from kit.machine.spinning import Spinning, Times

def fallen_asleep():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(2_000):
        numbers.add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

assert torch.get_num_threads() == 2
numbers = torch.ones(65_536)
seconds, waited, found = 0.0, 0.0, []
own = Spinning(lambda: {"1": Times(seconds - waited, waited)}, lambda: seconds)
alone = threading.active_count()
for share in (0.0, 0.9, 0.0):
    seconds, waited = seconds + 1, waited + share
    own.adapt()
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
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {cores})\n{FALLING_ASLEEP}"],
        env=clean, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    quiet, crowded, after = json.loads(done.stdout)
    assert crowded > 3 * max(quiet, after, 10)
