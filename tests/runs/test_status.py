"""kit status tells how far every run is, whatever became of it."""

import json
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.runs.claim import Basis, claim
from kit.runs.differences import apart, differences, settings_of
from kit.runs.records import append_record, read_records, truncate_records
from kit.runs.status import status
from kit.storage.files import write_json
from kit.storage.lock import holder, lock
from kit.variants.registry import find_variant
from tests.helpers.variants import tiny


def begin(runs: Path, name: str, *settings: str) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    claim(folder, tiny("p2phd1", f"name={name}", *settings), Basis("x"))
    return folder


def checkpoint(folder: Path, epoch: int) -> None:
    write_json(folder / "checkpoints" / "step-00000040" / "state.json", {"epoch": epoch})


def test_every_state_is_told(tmp_path: Path) -> None:
    new = begin(tmp_path, "a_new")
    half = begin(tmp_path, "b_half", "epochs=2", "validations=3")
    append_record(
        half, {"step": 10, "steps": 40, "epoch": 0, "holdout_mae": 0.2, "holdout_psnr": 20.0}
    )
    scored = {"holdout_mae": 0.1, "holdout_psnr": 20.0, "validation_s": 7.0}
    append_record(half, {"step": 20, "steps": 40, "epoch": 0, **scored})
    append_record(half, {"step": 30, "steps": 40, "epoch": 1, "l1": 0.3, "images_per_s": 8.0})
    checkpoint(half, 1)
    done = begin(tmp_path, "c_done")
    append_record(done, {"step": 40, "steps": 40, "epoch": 2, "l1": 0.3, "images_per_s": 8.0})
    checkpoint(done, 2)
    (begin(tmp_path, "d_broken") / "config.json").write_text("{}")
    with lock(half):
        found = status(tmp_path)
        assert found[1].state == f"training (process {holder(half)})"
    assert [run.state for run in found][0::2] == ["stopped, nothing saved", "finished"]
    assert "not written by kit train" in found[3].state
    assert (found[1].step, found[1].steps, found[1].images_per_s) == (30, 40, 8.0)
    assert found[1].left_s == 10 * 4 / 8.0 + 1 * 7.0
    assert (found[1].mae, found[1].mae_step) == (0.1, 20)
    assert (found[0].step, found[0].steps, found[0].mae) == (0, None, None)
    assert found[2].left_s is None
    assert status(tmp_path)[1].state == "stopped"
    assert holder(new) is None
    assert not found[1].command and not found[2].command
    stopped = status(tmp_path)[1].command
    assert stopped.startswith("kit train p2phd1 --set name=b_half --set width=2 ")
    assert stopped.endswith(f" --runs {tmp_path}")


def test_no_run_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kit train spade2"):
        status(tmp_path)


def test_records_of_the_future_are_taken_back(tmp_path: Path) -> None:
    lengths = [append_record(tmp_path, {"step": step}) for step in range(5)]
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff{"step": 5\n[]\n{"step": 5, "st')
    assert [row["step"] for row in read_records(tmp_path)] == [0, 1, 2, 3, 4]
    truncate_records(tmp_path, lengths[2])
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1, 2]
    (tmp_path / "metrics.jsonl").unlink()
    truncate_records(tmp_path, lengths[2])
    assert read_records(tmp_path) == []


def test_what_a_model_does_not_use_sets_no_run_apart() -> None:
    def settings(name: str, *settings: str) -> dict[str, object]:
        return settings_of(find_variant(name, settings), {"pairs": "ab"})

    runs = {"t": settings("trees1", "width=4"), "u": settings("unet2", "trees=9", "width=4")}
    runs |= {"v": settings("trees1", "leaves=3", "batch=1"), "w": settings("trees1")}
    found = differences(runs)
    assert found["t"] == found["w"] == {} and found["v"] == {"leaves": 3}
    assert found["u"].keys() == {"model", "lr", "boxes"}


def test_what_more_than_half_of_the_runs_do_not_share_sets_them_apart(tmp_path: Path) -> None:
    begin(tmp_path, "a")
    begin(tmp_path, "b", "width=4")
    begin(tmp_path, "c", "turns=true")
    for fold in (1, 2):
        begin(tmp_path, f"d.fold{fold}", "folds=2", f"fold={fold}", "width=4")
    claim(tmp_path / "c", tiny("p2phd1", "name=c", "turns=true"), Basis("yz"))
    found = {run.variant: run.differs for run in status(tmp_path)}
    assert found["a"] == {"width": 2} and found["b"] == {"width": 4}
    assert found["c"] == {"width": 2, "turns": True, "pairs": "yz"}
    assert found["d.fold1"] == found["d.fold2"] == {"width": 4, "folds": 2}
    assert ("d, 2 folds", "width=4 folds=2") in apart(found.items())
    assert apart([("e", {}), ("f.fold1", {"width": 8}), ("f.fold2", {"width": 2})]) == [
        ("f.fold1", "width=8"),
        ("f.fold2", "width=2"),
    ]
    both = {"f": {"width": 8}, "f.fold1": {"width": 8}}
    assert apart(both.items()) == [("f and 1 fold", "width=8")]
