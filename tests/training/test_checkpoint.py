"""A checkpoint gives back all of the training, and a damaged one never passes for whole."""

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

import kit.runs.tensors
import kit.training.checkpoint
from kit.errors import InputError, OutputError
from kit.machine.distributed import ProcessGroup
from kit.storage.half_written import sweep
from kit.training.checkpoint import (
    at_step,
    checkpoints,
    load_when_visible,
    resume,
    save,
)
from kit.training.state import State
from kit.training.train_step import TrainStep
from tests.helpers.samples import random_sample
from tests.helpers.variants import tiny


def begun(name: str, steps: int = 1, seed: int = 0) -> tuple[State, TrainStep]:
    torch.manual_seed(seed)
    variant = tiny(name)
    state = State.new(variant)
    step = TrainStep(variant, state, ProcessGroup())
    for number in range(steps):
        step(random_sample(number))
        state.step += 1
    return state, step


def same(one: State, other: State) -> bool:
    files, others = one.tensors(), other.tensors()
    return files.keys() == others.keys() and all(
        torch.equal(files[name][key], others[name][key]) for name in files for key in files[name]
    )


@pytest.mark.numerical
@pytest.mark.parametrize("name", ["spade4", "spade2", "p2phd1"])
def test_a_state_survives_the_round_trip(tmp_path: Path, name: str) -> None:
    before, step = begun(name)
    before.epoch, before.batch, before.mae, before.recorded = 3, 2, 0.25, 9
    before.sums = {"l1": 0.1 + 0.2}
    before.norms = {"generator": torch.tensor([1 / 3, 1.0], dtype=torch.float64)}
    save(before, tmp_path)
    after, other = begun(name, steps=2, seed=1)
    assert not same(before, after)
    assert resume(after, tmp_path, pytest.fail)
    assert same(before, after)
    assert after.counters() == before.counters()
    assert step(random_sample(7)) == other(random_sample(7))
    assert same(before, after)


def test_what_is_drawn_next_is_saved(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    save(state, tmp_path)
    drawn = torch.rand(3)
    resume(state, tmp_path, pytest.fail)
    assert torch.equal(torch.rand(3), drawn)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    state, _ = begun("p2phd1", steps=0)
    for state.step in (10, 20, 30, 40, 50):
        if state.step in (20, 30):
            state.best_step = state.step
        save(state, tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-00000050", "step-00000040", "step-00000030",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["generator", "average", "optimizers"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_the_newest_whole_one_wins(tmp_path: Path, name: str, damage: str) -> None:
    state, step = begun("p2phd1")
    save(state, tmp_path)
    step(random_sample(5))
    state.step += 1
    save(state, tmp_path)
    path = checkpoints(tmp_path)[0] / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flipped" else data[:-8])
    told: list[str] = []
    assert resume(state, tmp_path, told.append)
    assert state.step == 1
    assert len(told) == 1 and told[0].startswith(f"skipping checkpoint {path}: ")


def test_what_a_kill_leaves_of_one_is_swept(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    save(state, tmp_path)
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".step-00000002.part")
    (tmp_path / ".step-00000002.part" / "state.json").unlink()
    assert resume(state, tmp_path, pytest.fail)
    assert state.step == 1
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_changed_state_is_damage(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    save(state, tmp_path)
    path = tmp_path / "step-00000001" / "state.json"
    path.write_text(path.read_text().replace('"epoch": 0', '"epoch": 1'))
    with pytest.raises(InputError, match=r"state\.json: damaged"):
        resume(state, tmp_path, pytest.fail)


def test_damaged_ones_do_not_take_the_place_of_whole_ones(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    for state.step in (1, 2, 3):
        save(state, tmp_path)
    (tmp_path / "step-00000003" / "generator.safetensors").write_bytes(b"")
    assert resume(state, tmp_path, lambda words: None) and state.step == 2
    state.step = 2
    save(state, tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000002"]


def test_none_whole_is_an_error_and_none_at_all_is_a_start(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    assert not resume(state, tmp_path, pytest.fail)
    save(state, tmp_path)
    (tmp_path / "step-00000001" / "generator.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"generator\.safetensors(.|\n)*--overwrite"):
        resume(state, tmp_path, pytest.fail)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    save(begun("p2phd1")[0], tmp_path)
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        resume(begun("spade2")[0], tmp_path, pytest.fail)


def test_a_newer_format_is_never_skipped(tmp_path: Path) -> None:
    state, _ = begun("p2phd1")
    for state.step in (1, 2):
        save(state, tmp_path)
    path = tmp_path / "step-00000002" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(InputError, match="newer version of the kit"):
        resume(state, tmp_path, pytest.fail)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["generator", "discriminator", "average", "optimizers"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch, file: str) -> None:
    state, _ = begun("spade4")
    save(state, tmp_path)
    whole = kit.runs.tensors.save_file

    def fill(tensors, path, **rest):
        if path.name == f"{file}.safetensors":
            path.write_bytes(b"half of it")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        whole(tensors, path, **rest)

    monkeypatch.setattr(kit.runs.tensors, "save_file", fill)
    state.step += 1
    with pytest.raises(OutputError, match=f"{file}.*No space left") as caught:
        save(state, tmp_path)
    assert caught.value.exit_code == 5
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001"]
    assert resume(begun("spade4", 0)[0], tmp_path, pytest.fail)


@pytest.mark.slow
def test_a_checkpoint_that_another_machine_sees_is_waited_for(tmp_path: Path) -> None:
    before, _ = begun("p2phd1")
    save(before, tmp_path / "there")
    path = at_step(tmp_path, before.step)
    after, _ = begun("p2phd1", seed=1)
    shown = threading.Timer(0.3, lambda: at_step(tmp_path / "there", before.step).rename(path))
    shown.start()
    load_when_visible(after, path)
    shown.join()
    assert same(before, after)


def test_one_that_never_comes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.training.checkpoint, "_PATIENCE", 0.1)
    with pytest.raises(InputError, match="step-00000007"):
        load_when_visible(begun("p2phd1")[0], at_step(tmp_path, 7))
