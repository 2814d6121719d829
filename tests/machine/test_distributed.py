"""Two processes train what one trains, and stop, fail and go on together."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

import kit.machine.distributed
import kit.training.rates
from kit.errors import InputError
from kit.machine.distributed import PeerError, ProcessGroup, process_group
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import folded_state
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, train_pairs
from kit.runs.records import read_records
from kit.runs.tensors import TensorFile
from kit.runs.weights import load_run
from kit.screening.rule import CloudRule
from kit.storage.lock import holder
from kit.training.checkpoint import checkpoints
from kit.training.run_data import make_setup, read_data
from kit.training.train import _check, train
from tests.helpers.inputs import planes as planes_of
from tests.helpers.tiles import world
from tests.helpers.variants import TINY, tiny

pytestmark = pytest.mark.multiprocess

T = TypeVar("T")
SETTINGS = (
    "gan=1", "l1=10", "epochs=2", "decay_epochs=2", "validations=2", "name=shared", "crop=64",
    "lr=5e-6", "discriminator_lr=5e-6",
)  # fmt: skip
SMOOTH = Path(__file__).parents[1] / "helpers" / "smooth.py"


def command(*options: str, runs: str) -> list[str]:
    given = [part for text in (*TINY, *SETTINGS, *options) for part in ("--set", text)]
    return [str(SMOOTH), "train", "p2phd1", "--runs", runs, *given]


def torchrun(*options: str, processes: int = 2) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(processes), *command(*options, runs="two"),
    ]  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def weights(run: Path) -> torch.Tensor:
    tensors = TensorFile(run / "last.safetensors", str).tensors()
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


@pytest.mark.numerical
@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world(tmp_path / "data", places=30, dates=1, size=64)
    prepare(tmp_path / "data", tmp_path / "work", rule=CloudRule())
    subprocess.run([sys.executable, *command(runs="one")], check=True)
    done = subprocess.run(torchrun(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("next: kit validate") == 1  # one of the two talks
    assert "Warning" not in done.stderr.replace("OMP_NUM_THREADS", "")
    ours, theirs = read_records(Path("one/shared")), read_records(Path("two/shared"))
    assert ours[-1]["step"] >= 20
    torch.manual_seed(0)
    start = folded_state(build_generator(tiny("p2phd1")))
    begun = torch.cat([tensor.flatten() for _, tensor in sorted(start.items())])
    one, two = weights(Path("one/shared")), weights(Path("two/shared"))
    # Without kinks all that differs is rounding, most of all a weight's own: 2^-24 of it a step.
    torch.testing.assert_close(two, one, atol=1e-7, rtol=0)
    assert (one - begun).abs().max() > 5e-5
    assert (two - one).norm() < 1e-3 * (one - begun).norm()
    for row, other in zip(ours, theirs, strict=True):
        for name in row.keys() - {"images_per_s", "validation_s", "weights"}:
            assert row[name] == pytest.approx(other[name], rel=1e-5)


@pytest.mark.slow
def test_a_group_stops_together_and_goes_on_with_another_number(
    trained: Path, environment: None
) -> None:
    metrics = Path("two/elastic/metrics.jsonl")
    with subprocess.Popen(
        torchrun("name=elastic", "epochs=40"), stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while not (metrics.exists() and metrics.read_text().count("\n") > 2):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait()
    state = json.loads((checkpoints(Path("two/elastic/checkpoints"))[0] / "state.json").read_text())
    assert 0 < state["epoch"] < 42
    notes: list[str] = []
    variant = tiny("p2phd1", *SETTINGS, "name=elastic", "epochs=40")
    steps = []

    def watch(record: dict) -> None:
        notes.extend([record["note"]] if "note" in record else [])
        steps.append(record.get("step", 0))
        if steps[-1] > state["step"]:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(variant, work=Path("work"), runs=Path("two"), watch=watch)
    assert notes == [f"resuming from step {state['step']}"]


@pytest.mark.slow
def test_ranks_end_with_their_torchrun(trained: Path, environment: None) -> None:
    """Killed, it leaves them no time to hear of it from each other."""
    run = Path("two/orphaned")
    command = torchrun("name=orphaned", "epochs=4000")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not ((run / "metrics.jsonl").exists() and holder(run)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.wait()
    deadline = time.monotonic() + 60
    while holder(run):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert checkpoints(run / "checkpoints")


@pytest.mark.slow
def test_what_stops_the_first_stops_all(trained: Path, environment: None) -> None:
    (trained / "two" / "shared").mkdir(parents=True)
    (trained / "two" / "shared" / "config.json").write_text("[]")
    (trained / "two" / "shared" / "last.safetensors").touch()
    done = subprocess.run(torchrun(), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "config.json: damaged: it holds no JSON object" in done.stderr
    assert "another rank failed (exit code 3); see its message" in done.stderr


def test_a_batch_that_cannot_be_shared_is_refused(trained: Path) -> None:
    pairs = len(train_pairs(read_pairs(Path("work/pairs.parquet")), 1))
    _check(tiny("p2phd1"), pairs, ProcessGroup(0, 4), hours=None)
    for variant, size in ((tiny("p2phd1"), 3), (tiny("p2phd1", "accumulate=4"), 2)):
        parts = f"{size} processes x accumulate={variant.accumulate}"
        with pytest.raises(
            InputError, match=rf"batch=4 is not divisible by {parts}\n.*--set batch="
        ):
            _check(variant, pairs, ProcessGroup(0, size), hours=None)
    with pytest.raises(InputError, match="batch=64 is more than the 24 pairs"):
        _check(tiny("p2phd1", "batch=64"), pairs, ProcessGroup(0, 2), hours=None)


@pytest.mark.slow
def test_weights_of_a_group_are_weights(trained: Path, environment: None) -> None:
    assert subprocess.run(torchrun(processes=1), capture_output=True).returncode == 0
    assert load_run(Path("two"), "shared").variant.name == "shared"


UNCOMPILED = """
import os
import torch
from kit.cli.main import main

def backend(graph, inputs):
    if os.environ["RANK"] == "1":
        raise RuntimeError("no working compiler")
    return graph.forward

whole = torch.compile
torch.compile = lambda network: whole(network, backend=backend)
main()
"""


@pytest.mark.slow
def test_a_compiler_that_fails_on_one_of_two_is_named_and_ends_both(
    trained: Path, environment: None
) -> None:
    Path("uncompiled.py").write_text(UNCOMPILED)
    launch = ["uncompiled.py" if part == str(SMOOTH) else part for part in torchrun()]
    done = subprocess.run([*launch, "--compile"], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    failure = "shared: torch.compile fails on this machine: no working compiler\n"
    assert done.stderr.count(failure) == 1, done.stderr
    assert "train with --no-compile" in done.stderr
    assert "compile_error.py" not in done.stderr  # no traceback but torchrun's own


STALE = """
import os
import kit.training.checkpoint, kit.training.trainer
from kit.cli.main import main

seen, run = kit.training.checkpoint.checkpoints, kit.training.trainer.Trainer.run
if os.environ["RANK"] == "1":
    kit.training.checkpoint.checkpoints = lambda folder: seen(folder)[1:]

def report(trainer):
    state = trainer.state
    os.write(1, f"starts at {state.step} {state.epoch}\\n".encode())
    run(trainer)

kit.training.trainer.Trainer.run = report
main()
"""


@pytest.mark.slow
def test_all_go_on_from_what_the_first_sees(trained: Path, environment: None) -> None:
    variant = tiny("p2phd1", *SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        train(variant, work=Path("work"), runs=Path("two"), watch=stop_after(epochs=2))
    found = checkpoints(Path("two/shared/checkpoints"))
    assert len(found) >= 2
    Path("stale.py").write_text(STALE)
    launch = ["stale.py" if part == str(SMOOTH) else part for part in torchrun()]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    begun = [line for line in done.stdout.splitlines() if line.startswith("starts at")]
    state = json.loads((found[0] / "state.json").read_text())
    assert begun == 2 * [f"starts at {state['step']} {state['epoch']}"]


FAILING = """
import os, sys
import torch
from kit.machine.distributed import process_group

def odd():
    if os.environ["RANK"] == "1":
        raise torch.OutOfMemoryError("too much") if how == "shared" else ZeroDivisionError("odd")

how = sys.argv[1]
try:
    with process_group() as group:
        if how == "dies" and group.rank == 1:
            os._exit(9)
        if how == "alone":
            odd()
        group.on_all(odd) if how == "shared" else group.sum(torch.ones(1))
except Exception as error:
    os.write(1, f"{group.rank} {type(error).__name__}: {error}\\n".encode())
    sys.exit(1)
"""

LOST = r"another rank has ended \(see its message\), or what connects the ranks failed:"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "ends"),
    {
        "shared": [
            r"0 PeerError: another rank failed \(exit code 1\); see its message",
            "1 OutOfMemoryError: too much",
        ],
        "alone": [
            rf"0 PeerError: {LOST} .*gloo.*",
            "1 ZeroDivisionError: odd",
        ],
        "dies": [rf"0 PeerError: {LOST} .*gloo.*"],
    }.items(),
)
def test_what_one_rank_ends_with_ends_all(
    environment: None, tmp_path: Path, how: str, ends: list[str]
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    launch = [part for part in torchrun() if part != str(SMOOTH)]
    # torchrun ends the others as soon as it sees one end, which may be before they have.
    launch = [*launch[: launch.index("2") + 1], "--monitor-interval", "5", str(script), how]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    said = sorted(done.stdout.splitlines())
    assert [*map(re.fullmatch, ends, said)].count(None) == 0 and len(said) == len(ends), said


@pytest.fixture(params=["nccl", "gloo"])
def group_calls(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[str]]:
    """A backend, and which calls for a group of it are made where none need be there."""
    backend: str = request.param
    calls: list[str] = []
    distributed = torch.distributed
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(distributed, name, lambda *_, name=name, **__: calls.append(name))
    monkeypatch.setattr(
        distributed.distributed_c10d, "_abort_process_group", lambda: calls.append("abort")
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: backend == "nccl")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(kit.machine.distributed, "end_with", lambda parent: None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    return backend, calls


@pytest.mark.parametrize("fails", [True, False])
def test_a_group_is_left_without_waiting_after_a_failure_alone(
    group_calls: tuple[str, list[str]], fails: bool
) -> None:
    """NCCL ends a group by waiting for kernels that may never end."""
    backend, calls = group_calls
    with suppress(ZeroDivisionError), process_group():
        assert not fails or 1 / 0
    expected = "abort" if fails and backend == "nccl" else "destroy_process_group"
    assert calls == ["init_process_group", expected]


NO_SHARED_MEMORY = """
NCCL error in: NCCLUtils.cpp:77, unhandled system error, NCCL version 2.27.5
ncclSystemError: System call (e.g. socket, malloc) or external library call failed.
Last error:
Error while creating shared memory segment /dev/shm/nccl-GyQ (size 9637888), error: No space left
Exception raised from create at NCCLUtils.cpp:77 (most recent call first):
frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x98
"""


def test_why_a_group_fell_apart_is_said(group_calls: tuple[str, list[str]]) -> None:
    """It need not be another rank's end; torch has one class for all that NCCL says."""
    with (
        pytest.raises(PeerError, match=rf"^{LOST} NCCL.*\bNo space left$") as told,
        process_group(),
    ):
        raise torch.distributed.DistBackendError(NO_SHARED_MEMORY)
    assert told.value.exit_code == 1


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.machine.distributed, "end_with", lambda parent: None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="2 cards can be seen") as refused, process_group():
        pass
    assert refused.value.remedy == "give --nproc-per-node 2"


def test_what_ranks_tell_each_other_waits_for_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum on a card begins when the steps before it have ended, and reading it waits for it."""
    summed: list[torch.Tensor] = []
    monkeypatch.setattr(torch.distributed, "all_reduce", summed.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    group = ProcessGroup(0, 2)
    assert group.any(True)
    assert group.broadcast([3, 4]) == [3, 4]
    assert group.broadcast_text("text") == "text"
    assert group.on_all(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        group.on_main(lambda: 1 / 0)
    assert len(summed) == 6
    assert {tensor.device.type for tensor in summed} == {"cpu"}


@pytest.mark.slow
def test_measuring_a_rate_exchanges_what_fails_before_a_step(trained: Path, monkeypatch) -> None:
    """A rank that cannot read its share must not leave the others waiting in a step."""
    exchanged: list[str] = []

    class Group(ProcessGroup):
        def on_all(self, work: Callable[[], T]) -> T:
            exchanged.append("on_all")
            return work()

    variant = tiny("p2phd1", "batch=4")
    data = read_data(variant, Path("work"))
    setup = make_setup(variant, planes_of(), data, Path("run"), Group())
    whole = kit.training.rates.batches

    def batches(*given: Any, **settings: Any) -> Iterator[Any]:
        for sample in whole(*given, **settings):
            exchanged.append("batch")
            yield sample

    monkeypatch.setattr(kit.training.rates, "batches", batches)
    kit.training.rates.measure_rate(setup, workers=0)
    first = exchanged.index("batch")
    assert exchanged[first - 1] == "on_all" and exchanged.count("batch") < exchanged.count("on_all")


def stop_after(epochs: int) -> Callable[[dict], None]:
    """What interrupts a training once it has recorded an epoch's validation."""

    def watch(record: dict) -> None:
        if record.get("epoch", 0) >= epochs and "holdout_mae" in record:
            os.kill(os.getpid(), signal.SIGINT)

    return watch
