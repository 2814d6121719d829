"""A run keeps which scenes it was trained on."""

import json
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.table import read_pairs, train_pairs
from kit.runs.seen import TrainingPairs
from kit.runs.training_pairs import (
    TRAINING_PAIRS,
    other_pairs,
    read_training_pairs,
    write_training_pairs,
)
from kit.storage.files import json_sha256
from kit.training.train import train
from tests.helpers.tiles import key
from tests.helpers.variants import tiny

PAIRS = [(key(0), key(0, 1)), (key(1), key(1, 2))]


def test_pairs_come_back(tmp_path: Path) -> None:
    write_training_pairs(tmp_path, PAIRS)
    radar, optical = (tuple(str(pair[at]) for pair in PAIRS) for at in (0, 1))
    assert read_training_pairs(tmp_path) == TrainingPairs(radar, optical)


def test_what_differs_from_other_pairs_is_said(tmp_path: Path) -> None:
    assert other_pairs(tmp_path, PAIRS) == "which pairs it had is not known"
    write_training_pairs(tmp_path, PAIRS)
    gone = f"1 missing, {key(1, 2)} first"
    assert other_pairs(tmp_path, PAIRS[:1]) == f"2 pairs to train on, not 1, {gone}"
    swapped = other_pairs(tmp_path, [PAIRS[0], (key(2), key(2, 1))])
    assert swapped == f"2 pairs to train on, not 2, {gone}, 1 new, {key(2, 1)} first"
    assert other_pairs(tmp_path, PAIRS).startswith("the same 2 pairs to train on")


def test_a_run_keeps_those_of_its_data_set(trained: Path) -> None:
    table = read_pairs(Path("work/pairs.parquet"))
    for name, dataset in {"spade4": 2, "p2phd1": 1}.items():
        known = read_training_pairs(Path("runs") / name)
        chosen = train_pairs(table, dataset)
        assert known is not None and known.radar == tuple(str(pair.radar) for pair in chosen)
        assert known.optical == tuple(str(pair.optical) for pair in chosen)


def test_a_finished_run_that_lacks_them_writes_them_when_typed_again(trained: Path) -> None:
    path = Path("runs/p2phd1") / TRAINING_PAIRS
    before = path.read_bytes()
    path.unlink()
    assert read_training_pairs(path.parent) is None
    train(tiny("p2phd1"), work=Path("work"), runs=Path("runs"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["flipped", "list", "cut"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    write_training_pairs(tmp_path, PAIRS)
    path = tmp_path / TRAINING_PAIRS
    text = path.read_text()
    damaged = {"flipped": text.replace("_2020", "_2021", 1), "list": "[]", "cut": text[:-9]}
    path.write_text(damaged[damage])
    with pytest.raises(InputError, match=TRAINING_PAIRS):
        read_training_pairs(tmp_path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    about = {"format": 99, "scenes": "of another form"}
    (tmp_path / TRAINING_PAIRS).write_text(json.dumps(about | {"check": json_sha256(about)}))
    with pytest.raises(InputError, match="newer version of the kit"):
        read_training_pairs(tmp_path)


def test_scenes_of_ground_that_was_trained_on_are_found_at_any_date() -> None:
    trained = TrainingPairs(("10.00_60.00_2020_06_01", "179.99_0.00_2020_06_01"), ("", ""))
    same, later = "10.00_60.00_2020_06_01", "10.00_60.00_2021_07_02"
    beside, across = "10.04_60.00_2020_06_01", "-180.00_0.01_2020_06_01"  # 2,230 m and 1,570 m off
    far, farther = "10.05_60.00_2020_06_01", "10.00_60.03_2020_06_01"
    found = trained.among([far, same, later, beside, across, farther], 256)
    assert found == [same, later, beside, across]
    assert trained.among([], 256) == []
    assert trained.among([beside], 128) == []
