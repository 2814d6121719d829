"""Training runs, ends, goes on, and stops when it must."""

import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

import kit.training.checkpoint
import kit.training.evaluate
import kit.training.train
import kit.training.train_step
import kit.training.trainer
import kit.training.validator
from kit.colors import Colors
from kit.errors import BusyError, CheckError, InputError, OutputError
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, train_pairs, write_pairs
from kit.runs.folder import finished
from kit.runs.weights import load_run, load_weights
from kit.screening.rule import CloudRule
from kit.storage.files import write_json
from kit.storage.lock import lock
from kit.training.checkpoint import checkpoints
from kit.training.run_log import Watch
from kit.training.train import Run, train
from kit.training.train_step import TrainStep
from tests.helpers.runs import assert_same_run, records
from tests.helpers.tiles import key, optical, radar
from tests.helpers.variants import TINY, tiny


def test_a_run_folder_holds_everything(trained: Path) -> None:
    for name in ("spade4", "spade2", "p2phd1"):
        run = trained / "runs" / name
        names = {path.name for path in run.iterdir()}
        assert names >= {"config.json", "metrics.jsonl", "samples", "checkpoints",
                         "last.safetensors", "weights.safetensors"}  # fmt: skip
        assert json.loads((run / "config.json").read_text())["variant"]["width"] == 2
        weights = load_run(trained / "runs", name)
        best = min(row["holdout_mae"] for row in records(run) if "holdout_mae" in row)
        assert weights.facts["holdout_mae"] == best
        assert len(weights.facts["mean_color"]) == 3
        assert list((run / "samples").glob("epoch-*.png"))


@pytest.mark.slow
def test_learning_shows(trained: Path) -> None:
    run = train(
        tiny("p2phd1", "name=longer", "epochs=12", "width=4"), work=Path("work"), runs=Path("runs")
    )
    maes = [row["holdout_mae"] for row in records(run.folder) if "holdout_mae" in row]
    assert run.mae == min(maes) < 0.6 * maes[0]
    losses = [row["l1"] for row in records(run.folder) if "l1" in row]
    assert losses[-1] < losses[0]


def test_a_finished_run_is_not_trained_again(trained: Path) -> None:
    before = (trained / "runs" / "spade2" / "weights.safetensors").stat().st_mtime_ns
    run = train(tiny("spade2"), work=Path("work"), runs=Path("runs"))
    assert (trained / "runs" / "spade2" / "weights.safetensors").stat().st_mtime_ns == before
    assert run.mae == load_run(Path("runs"), "spade2").facts["holdout_mae"]


@pytest.mark.parametrize(
    ("name", "late"),
    [
        ("p2phd1", False),
        pytest.param("spade4", False, marks=pytest.mark.slow),
        pytest.param("spade4", True, marks=pytest.mark.slow),
        pytest.param("spade5", False, marks=pytest.mark.slow),
        pytest.param("nafnet1", False, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    trained: Path, monkeypatch: pytest.MonkeyPatch, name: str, late: bool
) -> None:
    """Also where the interrupted one reads its losses a step late, as on a card."""
    straight = train(tiny(name, "name=straight"), work=Path("work"), runs=Path("a"))
    if late:
        read_late(monkeypatch)
    whole = TrainStep.__call__
    taken = 0

    def take(self, sample):
        nonlocal taken
        taken += 1
        if taken in (2, 5):
            os.kill(os.getpid(), signal.SIGTERM if taken == 2 else signal.SIGINT)
        return whole(self, sample)

    monkeypatch.setattr(TrainStep, "__call__", take)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tiny(name, "name=straight"), work=Path("work"), runs=Path("b"))
    resumed = train(tiny(name, "name=straight"), work=Path("work"), runs=Path("b"))
    assert taken == resumed.steps == straight.steps
    assert_same_run(straight.folder, resumed.folder)


@pytest.mark.slow
def test_a_run_that_an_earlier_kit_began_ends_with_its_own_spectral_norm(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(runs: str, *settings: str, watch: Watch | None = None) -> Run:
        variant = tiny("spade4", "name=own", "epochs=2", *settings)
        return train(variant, work=Path("work"), runs=Path(runs), watch=watch)

    straight = run("a", "spectral_norm=torch")
    whole = TrainStep.__call__

    def take(self, sample):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, sample)

    with monkeypatch.context() as first, pytest.raises(KeyboardInterrupt):
        first.setattr(TrainStep, "__call__", take)
        run("b", "spectral_norm=torch")
    path = Path("b/own/config.json")
    config = json.loads(path.read_text())
    for field in ("format", "spectral_norm"):
        del config["variant"][field]
    write_json(
        path, {field: config[field] for field in ("variant", "pairs_sha256")}
    )  # as 0.2.0 did
    told: list[dict] = []
    resumed = run("b", watch=told.append)
    note = "b/own: spectral_norm=torch, as an earlier kit started it"
    assert note in [record.get("note") for record in told]
    assert_same_run(straight.folder, resumed.folder)


@pytest.mark.parametrize(
    ("name", "where", "each"),
    [
        ("p2phd1", "batch_errors", 2 * 6),
        pytest.param("spade2", "batches", 2, marks=pytest.mark.slow),
    ],
)
def test_a_validation_that_is_interrupted_is_made_again(
    trained: Path, monkeypatch, name: str, where: str, each: int
) -> None:
    monkeypatch.setattr(kit.training.evaluate, "BATCH", 1)
    variant = tiny(name, "name=straight", "validations=2")
    straight = train(variant, work=Path("work"), runs=Path("a"))
    whole = getattr(kit.training.validator, where)
    calls = 0

    def told(*rest, **named):
        nonlocal calls
        calls += 1
        if calls == each + 1:  # in the second validation
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(*rest, **named)

    monkeypatch.setattr(kit.training.validator, where, told)
    with pytest.raises(KeyboardInterrupt):
        train(variant, work=Path("work"), runs=Path("b"))
    assert calls == each + 1
    rows = [row for row in records(Path("b/straight")) if "holdout_mae" in row]
    assert len(rows) == 1
    resumed = train(variant, work=Path("work"), runs=Path("b"))
    assert calls == each + 1 + each
    assert_same_run(straight.folder, resumed.folder)


@pytest.mark.parametrize("change", ["width=4", "lr=0.5", "seed=3"])
def test_a_run_of_other_settings_is_not_touched(trained: Path, change: str) -> None:
    with pytest.raises(BusyError, match=change.split("=")[0]) as caught:
        train(tiny("p2phd1", change), work=Path("work"), runs=Path("runs"))
    assert caught.value.exit_code == 5


@pytest.mark.slow
def test_a_run_of_other_settings_takes_its_place_when_asked_to(trained: Path) -> None:
    changed = tiny("p2phd1", "width=4", "lr=0.5", "seed=3")
    again = train(changed, work=Path("work"), runs=Path("runs"), overwrite=True)
    kept = load_run(Path("runs"), "p2phd1").variant
    assert dataclasses.replace(kept, validations=0) == changed
    assert again.steps == records(again.folder)[-1]["step"]


@pytest.mark.slow
def test_a_run_that_has_saved_nothing_may_be_another(trained: Path) -> None:
    with pytest.raises(InputError, match="own: its networks cannot be created"):
        train(tiny("p2phd1", "name=own", f"width={10**11}"), work=Path("work"), runs=Path("runs"))
    own, told = tiny("p2phd1", "name=own"), []
    assert train(own, work=Path("work"), runs=Path("runs"), watch=told.append).steps
    begun = f"runs/own: begun with width={10**11}, not {own.width}; it had saved nothing"
    assert begun in [record.get("note") for record in told]


def test_what_differs_is_told_and_what_may_is_not(trained: Path) -> None:
    changed = tiny("p2phd1", "accumulate=2", "lr=1e-3")
    with pytest.raises(BusyError, match=r"started with lr=0\.002, not 0\.001\n"):
        train(changed, work=Path("work"), runs=Path("runs"))


def test_a_card_that_is_not_used_is_told(trained: Path, monkeypatch) -> None:
    monkeypatch.setattr(kit.training.train, "unreached", lambda: "the driver is too old")
    assert notes()[0] == "the driver is too old"


@pytest.mark.slow
def test_work_that_was_lost_is_told(trained: Path) -> None:
    folder = Path("runs/p2phd1")
    shutil.rmtree(folder / "checkpoints")
    assert notes() == ["no checkpoint yet: starting at step 0"]
    assert [row["step"] for row in records(folder)][-1] == 12


@pytest.mark.slow
def test_starting_anew_empties_a_linked_folder_and_keeps_the_link(trained: Path) -> None:
    disk, run = Path("disk"), Path("runs/p2phd1")
    (run / "checkpoints").rename(disk)
    (run / "checkpoints").symlink_to(disk.resolve())
    variant = tiny("p2phd1", "epochs=2")
    train(variant, work=Path("work"), runs=Path("runs"), overwrite=True)
    assert (run / "checkpoints").is_symlink()
    kept = {path.name for path in checkpoints(disk)}
    assert kept and kept == {path.name for path in checkpoints(run / "checkpoints")}
    assert dataclasses.replace(load_run(Path("runs"), "p2phd1").variant, validations=0) == variant


def test_a_sheet_that_was_half_written_is_swept(trained: Path) -> None:
    half = Path("runs/p2phd1/samples/.epoch-0009.png.77.part")
    half.touch()
    train(tiny("p2phd1"), work=Path("work"), runs=Path("runs"))
    assert not half.exists() and [*half.parent.glob("*.png")]


@pytest.mark.slow
def test_memory_that_runs_out_changes_nothing(trained: Path, monkeypatch) -> None:
    settings = ("name=straight", "gan=1")
    straight = train(tiny("p2phd1", *settings), work=Path("work"), runs=Path("a"))
    whole = TrainStep._train_discriminator
    taken = 0

    def full(self, *rest):
        nonlocal taken
        taken += 1
        if taken == 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, *rest)

    monkeypatch.setattr(TrainStep, "_train_discriminator", full)
    with pytest.raises(InputError, match="3 fit: --set accumulate=2") as caught:
        train(tiny("p2phd1", *settings), work=Path("work"), runs=Path("b"))
    assert caught.value.exit_code == 3
    resumed = train(tiny("p2phd1", *settings), work=Path("work"), runs=Path("b"))
    assert_same_run(straight.folder, resumed.folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_on_a_processor_is_told_with_what_is_accepted(
    error: Exception, trained: Path, monkeypatch
) -> None:
    def full(self, *rest):
        raise error

    monkeypatch.setattr(TrainStep, "_generator_losses", full)
    told = r"cpu has too little memory for 1 pairs at a time\n  reduce the crop or the width$"
    with pytest.raises(InputError, match=told):
        train(tiny("p2phd1", "batch=1"), work=Path("work"), runs=Path("b"))


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_last_checkpoint_kept(trained: Path) -> None:
    """A real limit, because safetensors tells of the system's errors in words of its own."""
    settings = [part for text in (*TINY, "name=full", "epochs=3") for part in ("--set", text)]
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); "
    code += "from kit.cli.main import main; main()"
    command = [sys.executable, "-c", code, "train", "p2phd1", *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert "safetensors: cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not list(Path("runs/full/checkpoints").iterdir())


def notes(**options: bool) -> list[str]:
    """What a training of p2phd1 tells its user."""
    told: list[dict] = []
    train(tiny("p2phd1"), work=Path("work"), runs=Path("runs"), watch=told.append, **options)
    return [record["note"] for record in told if "note" in record]


def test_a_restart_by_torchrun_does_not_begin_anew(trained: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert notes(overwrite=True) == [
        "finished before, at step 12; --overwrite trains it from the start"
    ]


def test_other_data_need_another_run(trained: Path) -> None:
    prepare(Path("data"), Path("work"), rule=CloudRule(), holdout=1)
    with pytest.raises(BusyError, match="data"):
        train(tiny("spade2"), work=Path("work"), runs=Path("runs"))


@pytest.mark.slow
def test_scenes_that_are_processed_anew_under_their_names_need_another_run(trained: Path) -> None:
    for path in Path("data/sent1").glob("*.tiff"):
        with rasterio.open(path) as file:
            pixels, profile = file.read(), file.profile
        path.unlink()
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels + 1)
    prepare(Path("data"), Path("work"))
    with pytest.raises(BusyError, match="started with other pixels in scenes of the same names"):
        train(tiny("spade2"))
    # A table of an earlier kit does not say.
    pairs = [replace(pair, values=()) for pair in read_pairs(Path("work/pairs.parquet"))]
    table = Path("work/pairs.parquet")
    now = table.read_bytes()
    write_pairs(table, pairs)
    assert train(tiny("spade2")).steps == 12
    # Going on with it does not make it one of the pixels of now.
    table.write_bytes(now)
    with pytest.raises(BusyError, match="other pixels in scenes of the same names"):
        train(tiny("spade2"))


def test_a_run_has_one_owner(trained: Path) -> None:
    with lock(Path("runs/spade2")), pytest.raises(BusyError, match=str(os.getpid())):
        train(tiny("spade2"), work=Path("work"), runs=Path("runs"))


@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_no_number_stops_before_any_weight_changes(
    trained: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    if late:
        read_late(monkeypatch)
    whole = kit.training.train_step.pixel_loss
    calls = 0

    def spoilt(*images):
        nonlocal calls
        calls += 1
        return whole(*images) * (float("nan") if calls == 9 else 1)

    monkeypatch.setattr(kit.training.train_step, "pixel_loss", spoilt)
    with pytest.raises(CheckError, match="nan at step 8") as caught:
        train(tiny("p2phd1", "name=spoilt", "epochs=3"), work=Path("work"), runs=Path("runs"))
    assert caught.value.exit_code == 4
    pairs = train_pairs(read_pairs(Path("work/pairs.parquet")), 1)
    assert sum(str(pair.optical) in str(caught.value) for pair in pairs) == 4
    assert checkpoints(Path("runs/spoilt/checkpoints"))
    weights = load_weights(Path("runs/spoilt/weights.safetensors"))
    assert all(torch.isfinite(tensor).all() for tensor in weights.generator.state_dict().values())


def read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have losses read a step late, as on a card."""
    begin = TrainStep.__init__

    def init(self: TrainStep, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self.late = True

    monkeypatch.setattr(TrainStep, "__init__", init)


@pytest.mark.slow
def test_an_empty_data_set_says_where_to_look(tmp_path: Path) -> None:
    for place in range(3):
        radar(tmp_path / "data", key(place))
        optical(tmp_path / "data", key(place), cloud=3)
    prepare(tmp_path / "data", tmp_path / "work", rule=CloudRule())
    with pytest.raises(InputError, match=r"Dataset-2(.|\n)*summary\.json"):
        train(tiny("spade4"), work=tmp_path / "work", runs=tmp_path / "runs")
    # Dataset-1 has all three; without a hold-out the last weights are the best.
    run = train(tiny("p2phd1"), work=tmp_path / "work", runs=tmp_path / "runs")
    assert run.mae is None and (run.folder / "weights.safetensors").exists()


@pytest.mark.slow
def test_the_learning_rate_is_held_and_then_falls(trained: Path, monkeypatch) -> None:
    rates = []
    whole = kit.training.trainer._set_rate
    monkeypatch.setattr(
        kit.training.trainer, "_set_rate", lambda o, rate: (rates.append(rate), whole(o, rate))
    )
    variant = tiny("p2phd1", "name=rates", "epochs=2", "decay_epochs=4", "validations=1")
    train(dataclasses.replace(variant, lr=1.0e-3), work=Path("work"), runs=Path("runs"))
    # As published: the first lower rate comes one epoch after the held ones.
    each = len(rates) // variant.total_epochs
    np.testing.assert_allclose(rates[::each], [1e-3, 1e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


@pytest.mark.slow
def test_weights_are_recalibrated_before_they_are_scored(trained: Path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(
        kit.training.validator, "recalibrate", lambda *rest: calls.append("recalibrate")
    )
    whole = kit.training.validator.batch_errors
    monkeypatch.setattr(
        kit.training.validator,
        "batch_errors",
        lambda *rest: (calls.append("score"), whole(*rest))[1],
    )
    train(tiny("p2phd1", "name=order", "decay_epochs=0"), work=Path("work"), runs=Path("runs"))
    # The latest weights, and their average.
    assert calls == ["recalibrate", "score"] * 2


def test_an_output_that_is_no_number_never_becomes_weights(trained: Path) -> None:
    variant = tiny("p2phd1", "name=burst", "lr=1e38", "batch=24", "decay_epochs=0")
    with pytest.raises(CheckError, match="not finite"):
        train(variant, work=Path("work"), runs=Path("runs"))
    assert not list(Path("runs/burst").glob("*.safetensors"))


@pytest.mark.slow
def test_the_clock_of_checkpoints_runs_across_epochs(trained: Path, monkeypatch) -> None:
    saves = []
    whole = kit.training.trainer.Trainer._save
    monkeypatch.setattr(
        kit.training.trainer.Trainer, "_save", lambda self: (saves.append(1), whole(self))
    )
    monkeypatch.setattr(kit.training.trainer, "CHECKPOINT_SECONDS", 0.0)
    variant = tiny("p2phd1", "name=clock", "validations=1")
    run = train(variant, work=Path("work"), runs=Path("runs"))
    assert len(saves) == run.steps + 2  # before its one validation, and after it


def test_a_record_cut_short_by_a_kill_does_no_harm(trained: Path) -> None:
    with Path("runs/p2phd1/metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "st')
    train(tiny("p2phd1"), work=Path("work"), runs=Path("runs"))
    assert all("epoch" in record for record in records(Path("runs/p2phd1")))


def test_a_foreign_config_is_refused(trained: Path) -> None:
    Path("runs/p2phd1/config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json"):
        train(tiny("p2phd1"), work=Path("work"), runs=Path("runs"))


@pytest.mark.parametrize(
    ("workers", "damage", "remedy"),
    [(0, b"II*", "fetch it again"), (2, None, "put it back.*kit prepare")],
)
def test_a_tile_that_went_bad_is_named_and_what_was_learnt_is_kept(
    trained: Path, monkeypatch, workers: int, damage: bytes | None, remedy: str
) -> None:
    monkeypatch.setattr(
        kit.training.validator, "measure_colors", lambda *rest: Colors((0.1, 0.1, 0.1))
    )
    prepare(Path("data"), Path("work"), rule=CloudRule())
    pairs = train_pairs(read_pairs(Path("work/pairs.parquet")), 1)
    tile = pairs[3].optical_paths[0]
    tile.unlink() if damage is None else tile.write_bytes(damage)
    with pytest.raises(InputError, match=rf"{tile.name}(.|\n)*{remedy}"):
        train(tiny("p2phd1", "name=hurt"), work=Path("work"), runs=Path("runs"), workers=workers)
    assert checkpoints(Path("runs/hurt/checkpoints"))


@pytest.mark.slow
def test_where_the_tiles_lie_does_not_matter(trained: Path) -> None:
    Path("data").rename("moved")
    prepare(Path("moved"), Path("work"), rule=CloudRule())
    run = train(tiny("p2phd1"), work=Path("work"), runs=Path("others"))
    assert_same_run(Path("runs/p2phd1"), run.folder)


@pytest.mark.slow
def test_only_steps_are_compiled(trained: Path, monkeypatch) -> None:
    graphs: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        graphs.append("compiled")
        return graph.forward

    def watch(record: dict) -> None:
        graphs.extend(["validated"] if "holdout_mae" in record else [])

    whole = TrainStep.__call__

    def take(self, *rest):
        graphs.append("step")
        return whole(self, *rest)

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    monkeypatch.setattr(TrainStep, "__call__", take)
    variant = tiny("p2phd1", "name=fast", "validations=2")
    run = train(variant, work=Path("work"), runs=Path("runs"), compile=True, watch=watch)
    assert graphs.count("step") == run.steps and graphs.count("validated") == 2
    assert "compiled" in graphs and "compiled" not in graphs[graphs.index("step", 1) :]


@pytest.mark.slow
def test_any_thread_may_train(trained: Path) -> None:
    variant = tiny("p2phd1", "name=thread", "decay_epochs=0")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(train, variant, work=Path("work"), runs=Path("runs")).result()
    assert finished(run.folder, variant)


def test_the_gan_trains_a_discriminator(trained: Path) -> None:
    assert (checkpoints(Path("runs/spade4/checkpoints"))[0] / "discriminator.safetensors").exists()
    assert not (
        checkpoints(Path("runs/spade2/checkpoints"))[0] / "discriminator.safetensors"
    ).exists()


def test_what_ends_before_it_has_saved_leaves_the_run_of_before(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[Path, bytes]:
        found = [path for path in Path("runs/p2phd1").rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in found if path.name != ".lock"}

    def full(*rest: object) -> None:
        raise OutputError("no space")

    before = contents()
    monkeypatch.setattr(kit.training.checkpoint, "write_tensors", full)
    with pytest.raises(OutputError):
        train(tiny("p2phd1", "seed=7"), work=Path("work"), runs=Path("runs"), overwrite=True)
    assert contents() == before
