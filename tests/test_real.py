"""The whole path on real tiles, with budgets of seconds: does it run, not does it learn."""

from pathlib import Path

import pytest

from kit.pairs.prepare import prepare
from kit.prediction.predict import predict
from kit.scoring.score import score
from kit.screening.rule import CloudRule
from kit.submission.package import package
from kit.training.train import train
from kit.training.validate import validate
from tests.helpers.tiles import SHARED
from tests.helpers.variants import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.exists(), reason="needs the real tiles in ../shared/data"),
]


def run(tmp_path: Path, data: Path, *, layout: str, settings: tuple[str, ...]) -> tuple[int, float]:
    """Prepare, train two variants, predict, package and score; returns images and ensemble MAE."""
    work, runs, predictions = (tmp_path / name for name in ("work", "runs", "predictions"))
    prepare(data, work, rule=CloudRule())
    for name in ("spade2", "p2phd1"):
        train(tiny(name, *settings), work=work, runs=runs)
    result = predict(
        "spade2,p2phd1", data, runs=runs, predictions=predictions, work=work,
        engines=tmp_path / "engines",
    )  # fmt: skip
    assert not result.rejected and not result.nodata
    made = package(predictions=predictions, submissions=tmp_path / "submissions", layout=layout)
    report = score(made.archive, data, predictions=predictions)
    assert [row.name for row in report.rows] == [
        "mean colour", "median colour", "stretched colour with anchors",
        "spade2", "p2phd1", "ensemble (spade2, p2phd1)",
    ]  # fmt: skip
    assert report.rows[-1].scores.n + len(report.unscored) == made.images
    return made.images, report.rows[-1].scores.mae


def test_europe_pairs_whose_120_pixels_fit_no_network(tmp_path: Path) -> None:
    images, mae = run(
        tmp_path, SHARED / "europe-pairs", layout="plain", settings=("crop=64", "epochs=2")
    )
    assert images == 54
    assert 0.01 < mae < 0.3
    rows = validate((), work=tmp_path / "work", runs=tmp_path / "runs")
    assert {row.scores.n for row in rows} == {7}
    assert {row.variant for row in rows if not row.is_baseline} == {"spade2", "p2phd1"}


def test_the_official_sample_without_a_hold_out(tmp_path: Path) -> None:
    images, mae = run(
        tmp_path, SHARED / "multiearth-sample", layout="2022", settings=("crop=64", "epochs=4")
    )
    assert images == 4
    assert 0.0 < mae < 0.5
