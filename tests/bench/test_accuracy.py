"""The table of accuracy: what is compared, on what, and what its numbers mean."""

import csv
import json
from pathlib import Path

import accuracy
import entrants
import numpy as np
import pytest
import torch
from accuracy import MAE, Row, compare, main
from cases import Case, assign, folds, world
from peer_networks import TURNS, _turn
from peers import CONSTANTS, PEERS, REVISITS, Known, Scenes

from kit.errors import InputError
from kit.tiles.catalog import catalog
from tests.helpers import tiles

NETWORKS = ("U-Net", "NAFNet")


def known(places: int = 4, size: int = 32) -> Known:
    """Pairs whose colour follows the radar; each place twice, the second time brighter."""
    random = np.random.default_rng(0)
    forest = random.random((places, 1, size, 1)) < np.linspace(0, 1, size)
    radar = np.where(forest, -8.0, -20.0) + random.normal(0, 1, (2, places, 2, size, size))
    dn = np.where(forest, [[[300]], [[500]], [[250]]], [[[900]], [[700]], [[500]]])
    both = np.stack([dn, dn + 60]).reshape(-1, 3, size, size)
    scenes = Scenes(
        radar.reshape(-1, 2, size, size).astype(np.float32),
        np.repeat([100.0, 200.0], places),
        [f"place {number}" for number in range(places)] * 2,
    )
    return Known(scenes, both.astype(np.uint16))


def part(of: Known, number: slice) -> tuple[Known, Scenes, np.ndarray]:
    """What a peer learns from, what it is asked for, and the truth of that."""
    keep = np.ones(len(of.dn), bool)
    keep[number] = False
    radar, days, places = of.scenes
    chosen = [np.array(places)[mask].tolist() for mask in (keep, ~keep)]
    learnt = Known(Scenes(radar[keep], days[keep], chosen[0]), of.dn[keep])
    return learnt, Scenes(radar[~keep], days[~keep], chosen[1]), of.unit[~keep]


@pytest.mark.parametrize("name", [*CONSTANTS, *PEERS, *REVISITS])
def test_a_peer_gives_an_image_in_0_to_1_for_each_scene(name: str) -> None:
    learnt, asked, _ = part(known(), slice(6, 8))
    found = (CONSTANTS | PEERS | REVISITS)[name](learnt, asked, 0.1, 0)
    assert list(found) == (["", ", 8 flips"] if name in NETWORKS else [""])
    for images in found.values():
        assert images.shape == (2, 3, 32, 32)
        assert images.dtype == np.float32
        assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.slow
def test_peers_learn() -> None:
    learnt, asked, truth = part(known(), slice(6, 8))

    def error(name: str) -> float:
        image = (CONSTANTS | PEERS | REVISITS)[name](learnt, asked, 4.0, 0)[""]
        return float(abs(image - truth).mean())

    color = error("median colour")
    trees = error("trees")
    assert trees < 0.7 * color
    assert error("median of other dates") < 0.5 * color
    assert error("trees with date, other dates") < trees


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_peers_learn(name: str) -> None:
    learnt, asked, truth = part(known(), slice(6, 8))
    errors = [
        float(abs(of[name](learnt, asked, 8.0, 0)[""] - truth).mean())
        for of, name in ((CONSTANTS, "median colour"), (PEERS, name))
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.slow
def test_what_is_asked_for_is_not_among_its_own_other_dates() -> None:
    learnt, _, _ = part(known(), slice(6, 8))
    one = Known(learnt.scenes, learnt.dn.copy())
    one.dn[0] = 2999
    images = [
        REVISITS["trees with date, other dates"](k, k.scenes, 1, 0)[""] for k in (learnt, one)
    ]
    assert abs(images[0][0] - images[1][0]).mean() < 0.3, "it has seen its own colour"


def test_turns_are_eight_and_come_back() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    turned = [_turn(image, turn) for turn in range(TURNS)]
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 8
    for turn, each in enumerate(turned):
        assert torch.equal(_turn(each, turn, back=True), image)


def test_groups_stay_together_and_folds_are_alike() -> None:
    sizes = {"Finland": 9, "Austria": 5, "Serbia": 3, "Ireland": 2, "Portugal": 1}
    parts = assign(sizes, 2)
    assert parts.keys() == sizes.keys()
    assert sorted(sum(sizes[n] for n in parts if parts[n] == p) for p in (0, 1)) == [10, 10]
    with pytest.raises(InputError, match="5 groups make no 6 folds"):
        assign(sizes, 6)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Tiles with a manifest: 8 places in 4 countries, one of them without sun."""
    data = tiles.world(tmp_path / "data", places=8, dates=1)
    with (data / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("lon", "lat", "s2_date", "country", "season", "cloudy"))
        for place in range(8):
            key = tiles.key(place, 2)
            table.writerow((key.lon, key.lat, "2020_06_03", "ABCD"[place % 4], "x", place == 7))
    text = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(text.replace("True", "1").replace("False", "0"))
    return data


def test_each_pair_of_a_manifest_is_predicted_once_apart_from_its_group(
    pairs: Path, tmp_path: Path
) -> None:
    cases = folds(tmp_path / "cases", pairs, ["country", "season"], ["cloudy"], 2)
    predicted = []
    for case in cases:
        learnt, (names, asked) = case.known(), case.asked()
        assert len(learnt.dn) == 7 - len(names)
        predicted += asked.places
        countries = [{int(p) % 4 for p in _numbers(of)} for of in (learnt.scenes, asked)]
        assert not countries[0] & countries[1]
        assert not case.seen()
        listed = json.loads(case.truth.read_text())
        assert len(listed) == len(names)
        with case.groups.open() as file:
            rows = [(row["lon"], row["lat"], row["group"]) for row in csv.DictReader(file)]
        assert [f"{lon} {lat}" for lon, lat, _ in sorted(rows)] == sorted(learnt.scenes.places)
    assert len(predicted) == len(set(predicted)) == 7


def _numbers(of: Scenes) -> list[str]:
    every = {f"{tiles.key(p).lon} {tiles.key(p).lat}": str(p) for p in range(8)}
    return [every[place] for place in of.places]


def test_a_scene_under_two_names_is_not_learnt_from_and_predicted(
    pairs: Path, tmp_path: Path
) -> None:
    for band in ("VV", "VH"):
        twice = [
            pairs / "sent1" / f"Sentinel1_{band}_{tiles.key(place, 0)}.tiff" for place in (0, 1)
        ]
        twice[1].write_bytes(twice[0].read_bytes())
    cases = folds(tmp_path / "cases", pairs, ["country"], [], 4)
    assert sum(len(case.asked()[0]) for case in cases) == 6


@pytest.mark.parametrize("column", ["county", "s3"])
def test_a_manifest_without_the_column_is_named(pairs: Path, tmp_path: Path, column: str) -> None:
    with pytest.raises(InputError, match=rf"manifest\.csv: has no column '{column}'"):
        folds(tmp_path / "cases", pairs, [column], [], 2)


def test_intervals_are_paired_and_the_best_peer_is_one() -> None:
    hard = np.linspace(0.01, 0.2, 40)[:, None] * np.ones(4)
    rows = [
        Row("mean of stretched colours", 2 * hard, 0, stretched=True),
        Row("trees", hard, 11),
        Row("NAFNet", 1.2 * hard, 75),
        Row("kit, fitted", 0.8 * hard, 300),
    ]
    color, trees, net, ours = compare(rows)
    # Scenes differ twentyfold, but the ratio is certain, since it is the same of each.
    assert ours["of_best_peer"] == pytest.approx([0.8, 0.8, 0.8])
    assert net["of_best_peer"] == pytest.approx([1.2, 1.2, 1.2])
    assert trees["of_one_color"] == pytest.approx([0.5, 0.5, 0.5])
    mean, low, high = ours["mae"]
    assert mean == pytest.approx(0.8 * hard[:, MAE].mean()) and low < mean < high
    assert "mae" not in color and "of_best_peer" not in color
    random = np.random.default_rng(0)
    noisy = Row("kit", hard * random.uniform(0.5, 1.5, hard.shape), 1)
    ratio, low, high = compare([rows[1], noisy])[1]["of_best_peer"]
    assert 0.7 < low < ratio < high < 1.3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accuracy")
    for seen in (False, True):
        world(folder, 0, seen=seen, places=8, size=32)
    return folder


def run(folder: Path, *rows: str, **numbers: float) -> dict[str, list[dict]]:
    arguments = ["--places", "8", "--size", "32", "--worlds", "1", "--rows", ",".join(rows)]
    arguments += [text for name, n in numbers.items() for text in (f"--{name}", str(n))]
    main([*arguments, "--folder", str(folder), "--out", str(folder / "accuracy.json")])
    return json.loads((folder / "accuracy.json").read_text())["tables"]


@pytest.mark.slow
def test_a_row_is_made_once_and_scored_on_every_scene(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(command: list[str], **_: object) -> None:
        assert command[1].endswith("entrants.py")
        entrants.main(command[2:])

    monkeypatch.setattr(accuracy.subprocess, "run", here)  # instead of in a process of its own
    tables = run(small, "median colour", "mean of stretched colours", seconds=1)
    (made,) = small.glob("world-0-unseen*/rows/median*.json")
    before = made.stat().st_mtime_ns
    assert tables == run(small, "median colour", "mean of stretched colours", seconds=1)
    assert made.stat().st_mtime_ns == before
    assert list(tables) == [
        "simulated world, unseen places", "simulated world, unseen dates of seen places",
    ]  # fmt: skip
    case = Case("world", made.parents[1])
    (entry,) = json.loads(made.read_text())
    assert len(entry["scenes"]) == len(catalog(case.test).of("Sentinel1")) == 8
    colour, stretched = next(iter(tables.values()))
    assert 0.01 < colour["mae"][0] < 0.2 and 10 < colour["psnr"][0] < 40
    assert stretched["of_one_color"] == [1, 1, 1]
    assert not case.seen()
    assert len(Case("", small / "world-0-seen-8-32").seen()) == 8
    assert stretched["anchored"][0] < stretched["official_2022"][0] + 0.1


@pytest.mark.slow
def test_the_kit_enters_as_peers_do(small: Path) -> None:
    names = ("median colour", "trees", "U-Net", "kit", "kit for the server")
    tables = run(small, *names, seconds=1, **{"kit-seconds": 4})
    for rows in tables.values():
        labels = [row["row"] for row in rows]
        assert labels[:4] == ["median colour", "trees", "U-Net", "U-Net, 8 flips"]
        assert {"kit, mean", "kit, fitted", "kit for the server, fitted"} <= set(labels)
        by = {row["row"]: row for row in rows}
        assert by["kit, mean"]["cpu"] < by["kit, fitted"]["cpu"]
        assert "mae" not in by["kit for the server, fitted"]
