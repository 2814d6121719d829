"""The prior as a member and as a baseline, where places recur."""

from pathlib import Path

import numpy as np
import pytest

from kit.cli import validation
from kit.colors import CONSTANTS
from kit.errors import InputError
from kit.inputs.planes import read_optical
from kit.pairs.prepare import prepare
from kit.pairs.table import holdout_pairs, read_pairs, train_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.predict import predict
from kit.runs.weights import load_run
from kit.scaling import UINT16_MAX
from kit.screening.rule import CloudRule
from kit.storage.image_file import image_path, read_image
from kit.training.baselines import PRIOR, TREES
from kit.training.train import train
from kit.training.validate import validate
from kit.variants.registry import find_variant
from tests.helpers.tiles import key, radar, world
from tests.helpers.variants import tiny


@pytest.fixture
def seen_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Places of several dates, of which some dates are held out."""
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=4, dates=5)
    prepare("data", "work", rule=CloudRule(), split_by="dates", holdout=4)
    return tmp_path


@pytest.mark.slow
def test_the_prior_is_a_member_and_a_baseline_of_places_that_recur(
    seen_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny("p2phd1"))
    names = [row.variant for row in validate()]
    assert names == [*CONSTANTS, TREES, PRIOR, "p2phd1"]
    run = train(find_variant("prior1"))
    assert run.mae is not None
    rows = {row.variant: row for row in validate()}
    # The run stands for the row of its kind, and is the same predictor.
    assert [*rows] == [*CONSTANTS, TREES, "p2phd1", "prior1"]
    assert rows["prior1"].scores.mae == pytest.approx(run.mae)
    validation._show_validation(tuple(rows.values()), "mae", Path("runs"))
    assert "unseen dates" in capsys.readouterr().err


def test_the_prior_predicts_the_median_of_other_dates_or_the_median_colour(
    seen_places: Path,
) -> None:
    train(find_variant("prior1"))
    pairs = read_pairs(Path("work/pairs.parquet"))
    here, elsewhere = key(0, 30), key(77)
    seen = [pair for pair in train_pairs(pairs, 2) if pair.place == (here.lon, here.lat)]
    assert seen
    for scene in (here, elsewhere):
        radar(Path("test"), scene)
    predict("prior1", "test")
    images = [read_optical(TilePairs(), pair, "reflectance") for pair in seen]
    found = read_image(image_path(Path("predictions/prior1"), here), None, "")
    np.testing.assert_allclose(found / UINT16_MAX, np.median(images, axis=0), atol=2 / UINT16_MAX)
    color = load_run(Path("runs"), "prior1").colors.median
    flat = read_image(image_path(Path("predictions/prior1"), elsewhere), None, "")
    np.testing.assert_allclose(flat[:, 3, 4] / UINT16_MAX, color, atol=1 / UINT16_MAX)
    assert holdout_pairs(pairs)


def test_the_model_prior_needs_its_planes() -> None:
    with pytest.raises(InputError, match=r"prior1: prior is false(.|\n)*true"):
        find_variant("prior1", ["prior=false"])
