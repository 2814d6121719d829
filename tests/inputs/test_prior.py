"""The prior of a place: what its other clear scenes show, and never the scene itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kit
from kit.engines.request import Request
from kit.errors import InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import read_optical, read_pair
from kit.inputs.prior import MOST, Priors, no_prior
from kit.pairs.pair_reader import PairReader
from kit.pairs.prepare import prepare
from kit.pairs.table import Pair, holdout_pairs, read_pairs, train_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.manifest import read_manifest
from kit.runs.planes import planes_for_pairs, planes_for_training
from kit.scaling import scale_optical
from kit.screening.rule import CloudRule
from kit.tiles.reader import read_scene
from kit.training.train import train
from tests.helpers.tiles import key, radar, world
from tests.helpers.variants import tiny

EAGER = Request("eager", "float32")
SIZE = (32, 32)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    world(tmp_path / "data", places=8, dates=4)
    prepare(tmp_path / "data", tmp_path / "work", rule=CloudRule(), holdout=4)
    monkeypatch.chdir(tmp_path)
    return Path("work")


def priors_of(
    pairs: Sequence[Pair], target: str = "reflectance", reader: PairReader | None = None
) -> Priors:
    return Priors(pairs, lambda pair: read_optical(reader or TilePairs(), pair, target))


def shown(pair: Pair, target: str = "reflectance") -> np.ndarray:
    return scale_optical(read_scene("Sentinel2", [*map(str, pair.optical_paths)])[:3], target)


@pytest.mark.parametrize("target", ["reflectance", "minmax"])
def test_it_is_the_median_of_the_other_dates(work: Path, target: str) -> None:
    pairs = train_pairs(read_pairs(work / "pairs.parquet"), 1)
    own, *others = (pair for pair in pairs if pair.place == pairs[0].place)
    priors = priors_of(pairs, target)
    expected = np.median([shown(pair, target) for pair in others], axis=0)
    found = priors.image(own.radar, SIZE, own.optical)
    assert found is not None and len(others) == 3 == priors.count(own.radar, SIZE, own.optical)
    np.testing.assert_allclose(found, expected, atol=1 / 65535)
    planes = priors.planes(own.radar, SIZE, own.optical)
    np.testing.assert_array_equal(planes[:3], found)
    assert (planes[3] == 1).all()


def test_a_scene_is_in_no_prior_of_its_own(work: Path) -> None:
    pairs = train_pairs(read_pairs(work / "pairs.parquet"), 1)
    read: list[Pair] = []

    class Watched(TilePairs):
        def pixels(self, pair: Pair):
            read.append(pair)
            return super().pixels(pair)

    for pair in pairs:
        read.clear()
        priors_of(pairs, reader=Watched()).image(pair.radar, SIZE, pair.optical)
        assert read and pair not in read
        assert {each.place for each in read} == {pair.place}


def test_only_clear_scenes_of_the_size_count_and_the_nearest_of_many(work: Path) -> None:
    pair = train_pairs(read_pairs(work / "pairs.parquet"), 1)[0]
    cloudy, large = replace(pair, dataset2=False), replace(pair, height=64)
    priors = priors_of([cloudy, large])
    assert priors.image(pair.radar, SIZE) is None and priors.count(pair.radar, SIZE) == 0
    np.testing.assert_array_equal(priors.planes(pair.radar, SIZE), no_prior(SIZE))
    many = [replace(pair, optical=key(0, day)) for day in range(0, 200, 10)]
    priors = priors_of(many)
    near = priors._nearest(key(0, 100), SIZE, key(0, 100))
    days = sorted((each.optical.date - key().date).days for each in near)
    assert len(days) == MOST == 8 and days == [60, 70, 80, 90, 110, 120, 130, 140]


def test_the_hold_out_and_what_a_fold_holds_out_are_in_no_prior(work: Path) -> None:
    pairs = read_pairs(work / "pairs.parquet")
    # A hold-out of other dates of places that are trained on, so that there is a prior to spoil.
    held = [pair for number, pair in enumerate(pairs) if number % 4 == 0]
    chosen = [pair for pair in pairs if pair not in held]
    read: list[Pair] = []

    class Watched(TilePairs):
        def pixels(self, pair: Pair):
            read.append(pair)
            return super().pixels(pair)

    planes = planes_for_training(tiny("spade2", "prior=true"), work, Watched(), chosen, held)
    for pair in pairs:
        inputs, _ = read_pair(planes, TilePairs(), pair)
        assert inputs.shape == (6, *SIZE)
    assert read and not {pair.optical for pair in read}.intersection(p.optical for p in held)


def test_samples_have_a_prior_or_sometimes_none(work: Path) -> None:
    pairs = train_pairs(read_pairs(work / "pairs.parquet"), 1)
    variant = tiny("spade2", "prior=true", "date=true")
    planes = planes_for_training(variant, work, TilePairs(), pairs)
    data = PairDataset(planes, TilePairs(), pairs, crop=32)
    masks = []
    for epoch in range(8):
        sample = data.batch(epoch, range(len(pairs)))
        assert sample.inputs.shape[1] == variant.input_channels == 8
        for planes_of_one in sample.inputs.numpy():
            mask = planes_of_one[7]
            assert np.ptp(mask) == 0 and abs(mask[0, 0]) == 1
            assert mask[0, 0] == 1 or not planes_of_one[4:7].any()
            masks.append(mask[0, 0] == 1)
    assert 0.65 < np.mean(masks) < 0.85
    again = PairDataset(planes, TilePairs(), pairs, crop=32).batch(3, [0, 1])
    assert again.inputs.equal(data.batch(3, [0, 1]).inputs)


def test_a_run_with_a_prior_scores_and_predicts_places_it_knows_and_others(work: Path) -> None:
    variant = tiny("p2phd1", "norm=batch", "name=known", "prior=true")
    run = train(variant, work=work)
    (row,) = [row for row in kit.validate(["known"]) if row.variant == "known"]
    assert row.scores.mae == pytest.approx(run.mae, abs=1e-6)
    pairs = read_pairs(work / "pairs.parquet")
    trained, held = train_pairs(pairs, 1), holdout_pairs(pairs)
    known = trained[0].radar
    # It goes on with the clear scenes that it was trained with after another kit prepare, whose
    # cloud rule admits other scenes.
    stricter = [replace(pair, dataset2=False) for pair in pairs]
    images = [
        planes_for_pairs(Path("runs/known"), variant, work, TilePairs(), table).beside(
            known, SIZE, trained[0].optical
        )
        for table in (pairs, stricter)
    ]
    assert images[0] is not None and np.array_equal(*images)
    assert images[0][3].all()
    places = {pair.place for pair in trained}
    unknown = next(pair.radar for pair in held if pair.place not in places)
    for scene in (known, unknown):
        radar(Path("test"), replace(scene, date=scene.date.replace(year=2021)))
    lines: list[str] = []
    kit.predict("known", "test", request=EAGER, report=lines.append)
    assert "known: prior: 1 of 2 scenes have one" in lines
    entries = read_manifest(Path("predictions/known"), "").scenes
    assert sorted(entry["prior_dates"] for entry in entries.values()) == [0, 4]

    def predicted_again() -> int:
        return kit.predict("known", "test", request=EAGER).done

    assert predicted_again() == 0
    shown = next(pair for pair in trained if pair.place == trained[0].place)
    tile = Path(shown.optical_paths[0])
    tile.write_bytes(tile.read_bytes() + b"\0")  # another tile by that name
    assert predicted_again() == 1

    with pytest.raises(InputError, match="run kit prepare DATA first"):
        kit.predict("known", "test", request=EAGER, work="nowhere", predictions="other")
    world(Path("elsewhere"), places=3, dates=2)
    prepare("elsewhere", "other-work", rule=CloudRule())
    with pytest.raises(InputError, match=r"lacks \d+ of the \d+ pairs of known\n  give the folder"):
        kit.predict("known", "test", request=EAGER, work="other-work", predictions="other")
    Path("runs/known/pairs.json").unlink()
    with pytest.raises(InputError, match=r"pairs.json: is missing, and says of which scenes"):
        kit.predict("known", "test", request=EAGER, predictions="other")
