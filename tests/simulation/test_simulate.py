"""The made world: official in form, the same for a seed, spoilt as real data are, and learnable."""

import contextlib
import datetime
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from kit.errors import BusyError, InputError
from kit.pairs.prepare import prepare
from kit.screening.counts import COLUMNS, count
from kit.screening.rule import CloudRule
from kit.simulation.landcover import EPOCH, reflectance, survey
from kit.simulation.simulate import World, simulate
from kit.simulation.weather import cirrus, cumulus, haze, speckle
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.names import RGB_BANDS, S1_BANDS, S2_BANDS, SceneKey, TileName
from kit.tiles.unfinished import refuse_unfinished
from tests.helpers.tiles import read_tile

pytestmark = pytest.mark.xdist_group("simulation")

SIZE = 64


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return simulate(tmp_path_factory.mktemp("made") / "w", places=20, test_places=8, size=SIZE)


def scenes(folder: Path) -> dict[SceneKey, dict[str, Path]]:
    found: dict[SceneKey, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        name = TileName.parse(path.name)
        assert name.sensor == {"sent1": "Sentinel1", "sent2": "Sentinel2"}[folder.name]
        found[name.scene][name.band] = path
    return found


def optical(tiles: dict[str, Path]) -> np.ndarray:
    return read_bands("Sentinel2", [tiles[band] for band in RGB_BANDS])


def clouds(rgb: np.ndarray, qa60: np.ndarray | None = None) -> dict[str, int]:
    marks = np.zeros(rgb.shape[1:], np.uint16) if qa60 is None else qa60
    counts = count(rgb[None].astype(np.uint16), marks[None], CloudRule(), backend="reference")[0]
    return dict(zip(COLUMNS, counts.tolist(), strict=True))


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.tiff")}


def hundredths(key: SceneKey) -> np.ndarray:
    return np.array([round(float(x) * 100) for x in (key.lon, key.lat)])


def test_a_seed_decides_every_byte_whatever_else_is_made(tmp_path: Path) -> None:
    simulate(tmp_path / "a", places=2, test_places=1, dates=1, size=32, seed=5)
    simulate(tmp_path / "more", places=3, test_places=2, dates=2, size=32, seed=5)
    simulate(tmp_path / "other", places=2, test_places=1, dates=1, size=32, seed=6)
    a, more, other = (files(tmp_path / name) for name in ("a", "more", "other"))
    assert a.items() <= more.items()
    shared = [name for name in a.keys() & other.keys() if "QA60" not in name]
    assert shared and all(a[name] != other[name] for name in shared)


def test_the_layout_is_official_and_counted(world: World) -> None:
    folders = {
        world.train / "sent1": (S1_BANDS, "float32"),
        world.train / "sent2": (S2_BANDS, "uint16"),
        world.test / "sent1": (S1_BANDS, "float32"),
        world.truth / "sent2": (S2_BANDS, "uint16"),
    }
    tiles, numbers = 0, []
    for folder, (bands, dtype) in folders.items():
        found = scenes(folder)
        numbers.append(len(found))
        assert set().union(*found.values()) == set(bands)
        for path in [path for of_scene in found.values() for path in of_scene.values()]:
            pixels = read_tile(path)
            assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE), dtype)
            tiles += 1
    assert tiles == world.tiles == len(files(world.train.parent))
    assert numbers[0] == 20 * 4 and numbers[2] == 8 * 4
    assert (world.s1_scenes, world.s2_scenes) == (numbers[0] + numbers[2], numbers[1] + numbers[3])
    assert numbers[0] < numbers[1] < 2 * numbers[0]


def test_places_are_in_the_region_and_test_places_apart(world: World) -> None:
    train, test = (
        np.array([hundredths(key) for key in scenes(folder / "sent1")])
        for folder in (world.train, world.test)
    )
    for places in (train, test):
        assert (places >= (-5520, -439)).all() and (places <= (-5448, -333)).all()
    assert abs(train[:, None] - test[None]).max(-1).min() >= 10
    assert {tuple(place) for place in test} == {
        tuple(hundredths(key)) for key in scenes(world.truth / "sent2")
    }


def test_neighbours_share_their_overlap(world: World) -> None:
    truths = scenes(world.truth / "sent2")
    overlap = SIZE - round(SIZE * 223 / 256)
    compared = 0
    for west in truths:
        lon = f"{float(west.lon) + 0.02:.2f}"
        east = SceneKey(lon, west.lat, west.date)
        if east in truths:
            left, right = optical(truths[west]).astype(int), optical(truths[east]).astype(int)
            # A value that lies between two integers may be rounded to either.
            assert abs(left[..., -overlap:] - right[..., :overlap]).max() <= 1
            assert abs(left[..., :overlap] - right[..., :overlap]).max() > 20
            compared += 1
    assert compared


def test_truths_are_clear_and_near(world: World) -> None:
    truths = scenes(world.truth / "sent2")
    for tiles in truths.values():
        counts = clouds(optical(tiles), read_tile(tiles["QA60"]))
        assert counts == dict.fromkeys(COLUMNS, 0) | {"valid": SIZE**2}
    near = [
        sum((t.lon, t.lat) == (s.lon, s.lat) and abs((t.date - s.date).days) <= 3 for t in truths)
        for s in scenes(world.test / "sent1")
    ]
    assert set(near) <= {1, 2, 3} and np.median(near) == 1 and sum(near) == len(truths)


def test_satellites_keep_to_their_calendars(world: World) -> None:
    start = datetime.date.fromordinal(EPOCH)
    assert all((key.date - start).days % 12 == 0 for key in scenes(world.train / "sent1"))
    assert all((key.date - start).days % 5 == 0 for key in scenes(world.train / "sent2"))


def test_training_scenes_are_spoilt_in_every_way(world: World, tmp_path: Path) -> None:
    summary = prepare(world.train, tmp_path / "work", rule=CloudRule())
    assert {
        "missing band",
        "no radar in the window",
        "radar nodata",
        "optical nodata",
        "QA60 cloud",
        "heuristic cloud",
    } <= summary.dropped.keys()
    assert 0.6 * summary.scenes_s2 < summary.pairs < summary.scenes_s2
    assert 0.4 * summary.pairs < summary.dataset2 < summary.dataset1 < summary.pairs
    # A fifth is held out, and the gaps between groups of places leave the rest to train on.
    assert summary.holdout == summary.dataset2 // 5
    assert summary.train2 > 0.6 * summary.dataset2


@pytest.fixture(scope="module")
def ground() -> list[np.ndarray]:
    return [reflectance(survey(0, 1115 * row, 0, SIZE), EPOCH) for row in range(4)]


@pytest.mark.parametrize("seed", range(8))
def test_cumulus_is_seen_by_the_rule_and_darkens_beside(ground, seed: int) -> None:
    dn = ground[seed % 4]
    seen, marks = cumulus(np.random.default_rng(seed), dn)
    found = clouds(seen)["cloud"]
    assert found > 0 and clouds(dn)["cloud"] == 0
    assert 0 < (marks == 1024).sum() < found
    assert seen.max() > 6000 and seen.min() > 1
    assert (seen[1] < 0.7 * dn[1]).mean() > 0.003, "shadow"


def test_haze_and_cirrus_brighten_and_may_escape(ground) -> None:
    for weather, marked in ((haze, False), (cirrus, True)):
        found, any_mark = [], False
        for seed in range(12):
            dn = ground[seed % 4]
            seen, marks = weather(np.random.default_rng(seed), dn)
            assert (seen - dn).mean() > 10
            found.append(clouds(seen)["cloud"])
            any_mark |= bool((marks == 2048).any())
        assert min(found) == 0
        assert any_mark == marked


def test_speckle_is_gamma_of_five_looks_and_alike_in_neighbours() -> None:
    factors = speckle(np.random.default_rng(0), 400)
    assert abs(factors.mean() - 1) < 0.01
    assert abs(factors.var() - 1 / 5) < 0.01
    third = ((factors - 1) ** 3).mean() / factors.var() ** 1.5
    assert abs(third - 2 / np.sqrt(5)) < 0.08
    for axis in (1, 2):
        rows = np.moveaxis(factors, axis, 0) - 1
        near, far = ((rows[step:] * rows[:-step]).mean() / rows.var() for step in (1, 4))
        assert 0.65 < near < 0.8 and abs(far) < 0.05


def means(power: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(power, ((0, 0), (width // 2,) * 2, (width // 2,) * 2), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (width, width), axis=(1, 2))
    return windows.mean((3, 4))


def features(tiles: dict[str, Path]) -> np.ndarray:
    """A one, VV and VH, and their 5 x 5 means, in dB: [5, pixels]."""
    db = read_bands("Sentinel1", [tiles[band] for band in S1_BANDS]).astype(float)
    both = np.concatenate([db, 10 * np.log10(means(10 ** (db / 10), 5))])
    return np.concatenate([np.ones_like(db[:1]), both / 10]).reshape(5, -1)


@pytest.mark.slow
def test_radar_tells_colour(world: World) -> None:
    """Per-pixel ridge regression from the radar beats the mean colour on places it never saw."""
    radars, opticals = scenes(world.train / "sent1"), scenes(world.train / "sent2")
    x, y = [], []
    for key, tiles in opticals.items():
        near = [r for r in radars if r.lon == key.lon and r.lat == key.lat
                and abs((r.date - key.date).days) <= 6 and len(radars[r]) == 2]  # fmt: skip
        if not near or set(tiles) != set(S2_BANDS):
            continue
        counts = clouds(optical(tiles), read_tile(tiles["QA60"]))
        inputs = features(radars[near[0]])
        if counts["cloud"] == counts["qa60"] == counts["nodata"] == 0 and np.isfinite(inputs).all():
            x.append(inputs)
            y.append(optical(tiles).reshape(3, -1) / 3000)
    known, colors = np.concatenate(x, axis=1), np.concatenate(y, axis=1)
    weights = np.linalg.solve(known @ known.T + 1e-3 * np.eye(5), known @ colors.T)
    ridge, mean_color = [], []
    sars = scenes(world.test / "sent1")
    for key, tiles in scenes(world.truth / "sent2").items():
        near = min((s for s in sars if (s.lon, s.lat) == (key.lon, key.lat)),
                   key=lambda s: abs((s.date - key.date).days))  # fmt: skip
        truth = optical(tiles).reshape(3, -1) / 3000
        ridge.append(abs(weights.T @ features(sars[near]) - truth).mean())
        mean_color.append(abs(colors.mean(1, keepdims=True) - truth).mean())
    assert np.mean(ridge) < 0.85 * np.mean(mean_color)


@pytest.fixture(scope="module")
def revisited(tmp_path_factory: pytest.TempPathFactory) -> World:
    out = tmp_path_factory.mktemp("made") / "changing"
    return simulate(out, places=6, test_places=1, seen_test_places=4, changing=True, size=SIZE)


def places(folder: Path) -> dict[tuple[str, str], set[datetime.date]]:
    found: dict[tuple[str, str], set[datetime.date]] = defaultdict(set)
    for scene in scenes(folder):
        found[scene.lon, scene.lat].add(scene.date)
    return found


def test_places_to_train_on_can_be_to_predict_at_other_dates(revisited: World) -> None:
    test, truths = places(revisited.test / "sent1"), places(revisited.truth / "sent2")
    radars, opticals = (places(revisited.train / sensor) for sensor in ("sent1", "sent2"))
    seen = test.keys() & radars.keys()
    assert len(seen) == 4 and len(test) == 5 and truths.keys() == test.keys()
    for place in seen:
        assert len(test[place]) == len(radars[place]) == 4
        assert not test[place] & radars[place]
        assert not truths[place] & opticals[place]
        # Dates to predict lie between those to train on, none of which is a few days away.
        away = {abs((truth - known).days) for truth in truths[place] for known in opticals[place]}
        assert 10 < min(away) < 60


def test_other_dates_tell_much_of_a_changing_place_but_not_all(revisited: World) -> None:
    known: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for scene, tiles in scenes(revisited.train / "sent2").items():
        counts = clouds(optical(tiles), read_tile(tiles["QA60"])) if len(tiles) == 4 else {}
        if counts and counts["cloud"] == counts["qa60"] == counts["nodata"] == 0:
            known[scene.lon, scene.lat].append(optical(tiles) / 3000)
    every = np.concatenate([image for images in known.values() for image in images], axis=1)
    color = np.median(every, axis=(1, 2))[:, None, None]
    prior, one_color = [], []
    for scene, tiles in scenes(revisited.truth / "sent2").items():
        if others := known.get((scene.lon, scene.lat)):
            truth = optical(tiles) / 3000
            prior.append(abs(np.median(others, axis=0) - truth).mean())
            one_color.append(abs(color - truth).mean())
    assert len(prior) > 12
    assert 0.25 < np.mean(prior) / np.mean(one_color) < 0.8


def test_only_a_changing_world_has_other_bytes(world: World, tmp_path: Path) -> None:
    numbers = {"places": 1, "test_places": 1, "dates": 1, "size": 32}
    still = simulate(tmp_path / "still", **numbers)
    seen = simulate(tmp_path / "seen", **numbers, seen_test_places=1)
    moving = simulate(tmp_path / "moving", **numbers, changing=True)
    assert files(still.train) == files(seen.train)
    assert files(still.train).keys() == files(moving.train).keys()
    assert files(still.train) != files(moving.train)


def test_progress_is_told_and_an_empty_folder_will_do(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (tmp_path / "w").mkdir()
    made = simulate(
        tmp_path / "w", places=1, test_places=1, dates=1, size=32,
        advance=lambda done, total, words="": told.append((done, total)),
    )  # fmt: skip
    assert told == [(1, 2), (2, 2)]
    assert made.train == tmp_path / "w" / "train"


KILLED = """
import os, sys
from kit.simulation import simulate as module
write, calls = module.write_tile, 0
def killed(*rest):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os._exit(9)
    return write(*rest)
module.write_tile = killed
module.simulate(sys.argv[1], places=2, test_places=1, dates=2, size=32)
"""


@pytest.mark.slow
def test_a_killed_simulation_goes_on_to_the_same_world(tmp_path: Path) -> None:
    numbers = {"places": 2, "test_places": 1, "dates": 2, "size": 32}
    whole = simulate(tmp_path / "whole", **numbers)
    out = tmp_path / "killed"
    for tile in (1, 9, 9):
        subprocess.run([sys.executable, "-c", KILLED, str(out), str(tile)])
        for folder in (out, out / "train", out / "train" / "sent1"):
            with pytest.raises(InputError, match=r"is not finished(.|\n)*same kit simulate again"):
                catalog(folder)
        with contextlib.chdir(out), pytest.raises(InputError, match="is not finished"):
            refuse_unfinished(Path("train"))
    for other in ({"seed": 1}, {"seen_test_places": 1}, {"changing": True}):
        with pytest.raises(BusyError, match=r"other numbers(.|\n)*--places 2 --test-places 1"):
            simulate(out, **numbers | other)
    made = simulate(out, **numbers)
    assert files(out) == files(tmp_path / "whole")
    assert (made.s1_scenes, made.s2_scenes, made.tiles) == (
        whole.s1_scenes, whole.s2_scenes, whole.tiles,
    )  # fmt: skip
    assert {path.name for path in out.iterdir()} == {".lock", "train", "test", "truth"}
    assert not list(out.rglob("*.part"))
    with pytest.raises(BusyError, match="exists already"):
        simulate(out, **numbers)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(BusyError, match="exists already"):
            simulate(out, places=1, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("places", 0),
        ("places", 10**4),
        ("test_places", 400),
        ("seen_test_places", 25),
        ("dates", 0),
        ("size", 8),
        ("seed", -1),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}: is {value}"):
        simulate(tmp_path / "w", **{name: value})
    assert not (tmp_path / "w").exists()
