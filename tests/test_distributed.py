"""Two processes train what one trains, and stop, fail and go on together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kit.distributed import ProcessGroup
from kit.errors import InputError
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import folded_state
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, train_pairs
from kit.runs.folder import read_records
from kit.runs.tensors import TensorFile
from kit.runs.weights import load_run
from kit.screening.rule import CloudRule
from kit.training.checkpoint import checkpoints
from kit.training.train import _check, train
from tests.helpers.tiles import world
from tests.helpers.variants import TINY, tiny

pytestmark = pytest.mark.multiprocess

SETTINGS = (
    "gan=1", "l1=10", "epochs=2", "decay_epochs=2", "validations=2", "name=shared", "crop=64",
    "lr=5e-6", "discriminator_lr=5e-6",
)  # fmt: skip
SMOOTH = Path(__file__).parent / "helpers" / "smooth.py"


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
    tensors = TensorFile(run / "last.safetensors", "").tensors()
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


def stop_after(epochs: int) -> Callable[[dict], None]:
    """What interrupts a training once it has recorded an epoch's validation."""

    def watch(record: dict) -> None:
        if record.get("epoch", 0) >= epochs and "holdout_mae" in record:
            os.kill(os.getpid(), signal.SIGINT)

    return watch
