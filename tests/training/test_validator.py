"""What is judged during a training: the hold-out, shared, for the weights that are kept."""

import dataclasses
import json
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kit.models.registry
import kit.training.evaluate
import kit.training.validator
from kit.errors import InputError
from kit.inputs.dataset import PairDataset, batches
from kit.machine.distributed import PeerError, ProcessGroup
from kit.metrics import Scores, summarise
from kit.models.registry import build_generator
from kit.pairs.table import Pair, read_pairs, train_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.runs.status import status
from kit.runs.weights import load_weights
from kit.training.checkpoint import at_step, checkpoints
from kit.training.evaluate import evaluate_each
from kit.training.run_log import Watch
from kit.training.setup import RunSetup
from kit.training.state import State
from kit.training.train import train
from kit.training.validator import Validator
from kit.variants.settings import Variant
from tests.helpers.inputs import planes
from tests.helpers.runs import assert_same_run
from tests.helpers.variants import tiny

FINISHED = "finished before, at step 12; --overwrite trains it from the start"


@pytest.fixture
def worse_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every validation but a run's first finds much larger errors."""
    validate, errors, worse = Validator.validate, kit.training.validator.batch_errors, [0.0]

    def validating(self: Validator, state: State, stopped: list[int]) -> dict:
        worse[0] = float(state.epoch > 1)
        try:
            return validate(self, state, stopped)
        finally:
            worse[0] = 0.0

    def erring(*rest: Any) -> list[dict[str, float]]:
        return [each | {"mae": each["mae"] + worse[0]} for each in errors(*rest)]

    monkeypatch.setattr(Validator, "validate", validating)
    monkeypatch.setattr(kit.training.validator, "batch_errors", erring)


def run(runs: str, name: str = "mended", watch: Watch | None = None) -> Path:
    return train(tiny(name, "name=mended"), work=Path("work"), runs=Path(runs), watch=watch).folder


class Threads(ProcessGroup):
    """A group whose processes are threads."""

    __slots__ = ("meeting", "said")

    def __init__(self, rank: int, size: int, meeting: threading.Barrier, said: dict) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "meeting", meeting)
        object.__setattr__(self, "said", said)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        self.said[self.rank] = values
        self.meeting.wait(60)
        total = sum(self.said[rank] for rank in range(self.world_size))
        self.meeting.wait(60)
        return total


def table(work: Path) -> tuple[tuple[Pair, ...], PairDataset]:
    pairs = read_pairs(work / "pairs.parquet")
    chosen = train_pairs(pairs, 1)
    return chosen, PairDataset(planes(), TilePairs(), chosen, crop=32)


def shared(
    size: int, judged: tuple[Pair, ...], dataset: PairDataset, state: State, told: int = -1
) -> list:
    """What each of `size` processes finds, or what it ends with; one is told to stop."""
    meeting, said = threading.Barrier(size), {}

    def one(rank: int) -> Scores | BaseException:
        group = Threads(rank, size, meeting, said)
        validator = Validator(RunSetup(tiny("p2phd1"), dataset, judged, Path("run"), group))
        try:
            return validator._scores(state.generator, [15] * (rank == told))
        except (InputError, PeerError, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_shared_hold_out_gives_the_same_figures(trained: Path, monkeypatch, size: int) -> None:
    monkeypatch.setattr(kit.training.evaluate, "BATCH", 5)
    judged, dataset = table(Path("work"))
    state = State.new(tiny("p2phd1"))
    expected = summarise(evaluate_each(state.generator, dataset.planes, TilePairs(), judged))
    drawn = []
    whole = kit.training.validator.batch_errors
    monkeypatch.setattr(
        kit.training.validator,
        "batch_errors",
        lambda *rest: (drawn.append(len(rest[3])), whole(*rest))[1],
    )
    # The server's measures are for the table of a validation; a training does not choose by them.
    expected = dataclasses.replace(expected, others={})
    assert shared(size, judged, dataset, state) == [expected] * size
    assert sum(drawn) == len(judged) == 24


@pytest.mark.parametrize("norm", ["batch", "sync_batch"])
def test_a_norm_is_measured_on_as_many_pairs_as_it_was_trained_on(
    trained: Path, norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every device: two ranks of a batch of 8 that share statistics, or each has its own."""
    judged, dataset = table(Path("work"))
    variant = tiny("spade2", f"norm={norm}", "batch=8", "accumulate=2")
    monkeypatch.setattr(kit.models.registry.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(kit.models.registry.distributed, "get_world_size", lambda: 2)
    generator = build_generator(variant)
    meeting, said = threading.Barrier(2), {}

    def inputs(rank: int) -> list[torch.Tensor]:
        setup = RunSetup(variant, dataset, judged, Path("run"), Threads(rank, 2, meeting, said))
        return [*Validator(setup)._recalibrating(generator)]

    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(inputs, range(2))
    joined = [torch.cat(shares) for shares in zip(ours, theirs, strict=True)]
    if norm == "batch":
        expected = [each.inputs for each in batches(dataset, epoch=0, batch=2)]
        assert all(map(torch.equal, ours, theirs))
        joined = ours
    else:
        expected = [each.inputs for each in batches(dataset, epoch=0, batch=4)]
    assert all(map(torch.equal, joined, expected)) and len(joined) == len(expected)


def test_samples_say_their_epoch_and_their_errors(trained: Path, monkeypatch) -> None:
    asked: dict[str, Any] = {}

    def write_grid(rows, columns, labels, path):
        asked.update(rows=rows, columns=columns, labels=labels, path=path)

    monkeypatch.setattr(kit.training.validator, "write_grid", write_grid)
    judged, dataset = table(Path("work"))
    judged = judged[:2]
    state = State.new(tiny("p2phd1"))
    setup = RunSetup(tiny("p2phd1"), dataset, judged, Path("run"), ProcessGroup(0, 1))
    Validator(setup)._write_samples(state.generator, 7)
    assert asked["path"] == Path("run/samples/epoch-0007.png")
    assert asked["columns"] == ["VV", "VH", "p2phd1, epoch 7", "truth"]
    for label, row, pair in zip(asked["labels"], asked["rows"], judged, strict=True):
        error = np.abs(row[2] - row[3]).mean(dtype=np.float64)
        assert label == f"{pair.optical}\nMAE {error:.4f}"


def test_a_tile_that_one_of_them_cannot_read_ends_all(trained: Path, monkeypatch) -> None:
    monkeypatch.setattr(kit.training.evaluate, "BATCH", 5)
    judged, dataset = table(Path("work"))
    whole = kit.training.validator.batch_errors

    def errors(generator, planes, reader, part):
        if judged[7] in part:
            raise InputError("tile.tiff", "is gone")
        return whole(generator, planes, reader, part)

    monkeypatch.setattr(kit.training.validator, "batch_errors", errors)
    ends = shared(2, judged, dataset, State.new(tiny("p2phd1")))
    assert isinstance(ends[0], PeerError) and ends[0].exit_code == InputError.exit_code
    assert "tile.tiff" in str(ends[1])


def test_a_signal_to_one_of_them_stops_all(trained: Path) -> None:
    judged, dataset = table(Path("work"))
    ends = shared(2, judged, dataset, State.new(tiny("p2phd1")), told=1)
    assert [type(end) for end in ends] == [KeyboardInterrupt] * 2


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("p2phd1", "weights.safetensors", "gone"),
        pytest.param("spade2", "weights.safetensors", "flipped", marks=pytest.mark.slow),
        ("p2phd1", "last.safetensors", "cut"),
    ],
)
def test_a_finished_run_exports_again_what_was_lost(
    trained: Path, worse_later: None, name: str, file: str, damage: str
) -> None:
    path = run("runs", name) / file
    others = {each: each.read_bytes() for each in Path("runs/mended").rglob("*.*") if each != path}
    before = path.read_bytes()
    facts = load_weights(path).facts
    assert facts["epoch"] == (1 if file.startswith("weights") else 2)
    spoilt = bytearray(before)
    spoilt[-100] ^= 1
    path.write_bytes(spoilt if damage == "flipped" else before[:-4])
    if damage == "gone":
        path.unlink()
    told: list[dict] = []
    run("runs", name, told.append)
    mended = load_weights(path)
    if file.startswith("weights"):  # the last were judged by the fixture
        assert path.read_bytes() == before
    assert mended.facts["step"] == facts["step"]
    assert any(str(path) in record.get("note", "") for record in told)
    assert all(each.read_bytes() == data for each, data in others.items())
    told.clear()
    run("runs", name, told.append)
    assert [record["note"] for record in told] == [FINISHED]


@pytest.mark.slow
def test_a_run_that_goes_on_mends_what_it_will_not_make_again(
    trained: Path, worse_later: None, monkeypatch
) -> None:
    straight = run("a", "p2phd1")

    def watch(record: dict) -> None:
        if record.get("epoch") == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run("b", "p2phd1", watch)
    Path("b/mended/weights.safetensors").unlink()
    assert_same_run(straight, run("b", "p2phd1"))


@pytest.mark.slow
def test_what_cannot_be_mended_names_both_files(trained: Path, worse_later: None) -> None:
    folder = run("runs", "p2phd1")
    (folder / "weights.safetensors").unlink()
    shutil.rmtree(at_step(folder / "checkpoints", 6))
    message = r"weights.safetensors: no such file(.|\n)*step-00000006(.|\n)*--overwrite"
    with pytest.raises(InputError, match=message):
        run("runs", "p2phd1")


# The MAE and the MSE of each candidate after each epoch: they never agree on which is better.
DISAGREEING = {
    "latest": ((0.20, 0.09), (0.18, 0.10), (0.16, 0.12)),
    "average": ((0.30, 0.05), (0.28, 0.06), (0.26, 0.07)),
}
LONGER = ("epochs=3", "decay_epochs=0", "validations=3", "name=counted")


@pytest.fixture
def disagreeing(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = Validator._candidates

    def known(self: Validator, state: State, signals: list[int]) -> list:
        found = []
        for each in candidates(self, state, signals):
            mae, mse = DISAGREEING[each.name][state.epoch - 1]
            scores = dataclasses.replace(each.scores, mae=mae, mse=mse)
            found.append(dataclasses.replace(each, scores=scores))
        return found

    monkeypatch.setattr(Validator, "_candidates", known)


def counted(name: str, runs: str, *settings: str, watch: Watch | None = None) -> Path:
    variant = tiny(name, *LONGER, *settings)
    return train(variant, work=Path("work"), runs=Path(runs), watch=watch).folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "best", "epoch"), [("unet1m", "average", 1), ("unet1", "latest", 3)]
)
def test_weights_are_chosen_by_the_error_that_they_are_trained_by(
    trained: Path, disagreeing: None, name: str, best: str, epoch: int
) -> None:
    folder = counted(name, "all")
    facts = load_weights(folder / "weights.safetensors").facts
    mae, mse = DISAGREEING[best][epoch - 1]
    assert (facts["weights"], facts["epoch"], facts["holdout_mae"]) == (best, epoch, mae)
    assert facts.get("holdout_mse") == (mse if name == "unet1m" else None)
    (shown,) = (each for each in status(Path("all")) if each.variant == "counted")
    assert (shown.mae, shown.mae_step) == (mae, facts["step"])


@pytest.mark.slow
def test_patience_is_with_the_error_that_counts(trained: Path, disagreeing: None) -> None:
    """By MAE each epoch is better than the one before, by MSE the first is best."""
    told: list[dict] = []
    counted("unet1m", "all", "epochs=2", "patience=1", watch=told.append)
    assert [record["counts"] for record in told if "patience" in record] == []
    folder = counted("unet1m", "more", "patience=1", watch=told.append)
    assert [record["counts"] for record in told if "patience" in record] == ["mse"]
    assert load_weights(folder / "last.safetensors").facts["epoch"] == 2


@pytest.mark.slow
def test_a_run_that_an_earlier_kit_began_goes_on_by_mae(
    trained: Path, disagreeing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(record: dict) -> None:
        if record.get("epoch") == 1 and "holdout_mae" in record:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as earlier:
        earlier.setattr(Variant, "counts", property(lambda self: "mae"))
        straight = counted("unet1m", "a")
        with pytest.raises(KeyboardInterrupt):
            counted("unet1m", "b", watch=stop)
    (path, *_) = checkpoints(Path("b/counted/checkpoints"))
    assert not {"counts", "mse"} & json.loads((path / "state.json").read_text()).keys()
    told: list[dict] = []
    folder = counted("unet1m", "b", watch=told.append)
    assert_same_run(straight, folder)
    for name in ("weights.safetensors", "last.safetensors"):
        assert (folder / name).read_bytes() == (straight / name).read_bytes()
    assert any("chosen by MAE, as an earlier kit" in record.get("note", "") for record in told)
    (folder / "weights.safetensors").unlink()
    counted("unet1m", "b")
    best, other = (each / "weights.safetensors" for each in (straight, folder))
    assert load_weights(best).facts == load_weights(other).facts
