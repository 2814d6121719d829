"""The setting that would have scored better, by the measure that counts, and its command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.archive.layout import LAYOUTS
from kit.metrics import Scores
from kit.prediction.combination import Combination
from kit.scoring.advice import Packaging, advised
from kit.scoring.images import ImageScore
from kit.scoring.report import Report, Row, Variation
from kit.scoring.score import score
from kit.submission.package import Package, package
from tests.helpers.archives import A, write_member, write_truth


def row(name: str, official: float, psnr: float = 20.0) -> Row:
    return Row(name, Scores(0.1, 0.01, psnr, 20, 1), official, 2 * official)


def report(*variations: Variation, own: float = 0.04, folder: str = "CH3") -> Report:
    image = ImageScore("own", "sar", f"{folder}/a.tiff", "t", {"mae": 0.1, "mse": 0.1}, 0, 0, 1)
    return Report((row("own", own),), (), images=(image,), variations=variations)


ANCHORS = Variation("", "anchors", row("with anchors", 0.0135))
ONE, TWO = (Variation(n, "keep", row(n, score)) for n, score in (("one", 0.039), ("two", 0.05)))
ONE_ANCHORED = Variation("one", "anchors", row("one with anchors", 0.012))
MADE = Packaging(("one", "two"), layout=LAYOUTS["2022"])


def test_the_best_of_all_variations_is_advised() -> None:
    found = advised(report(ANCHORS, ONE, TWO), MADE)
    assert found.measure == "official_2022" and found.better_member == ONE
    assert found.advice is not None
    assert (found.advice.score, found.advice.instead_of) == (0.0135, 0.04)
    assert found.advice.setting == "with anchors"
    assert found.advice.command == "kit package --ensemble one,two --stretch anchors"
    found = advised(report(ANCHORS, ONE, TWO, ONE_ANCHORED), MADE)
    assert found.advice and found.advice.setting == "one alone with anchors"
    assert found.advice.command == "kit package --ensemble one --stretch anchors"


def test_nothing_is_advised_where_nothing_is_better() -> None:
    found = advised(report(ANCHORS, ONE, own=0.01), MADE)
    assert found.advice is None and found.better_member is None
    assert found.as_dict()["advice"] is None


def test_a_command_says_all_that_the_archive_was_made_with() -> None:
    made = Packaging(("one", "two"), Combination((4, 1)), LAYOUTS["2023"], Path("my files.json"))
    found = advised(report(ANCHORS), made)
    assert found.measure == "official_2023" and found.advice
    assert found.advice.score == 2 * 0.0135
    assert found.advice.command == (
        "kit package --ensemble one,two --average 4,1 --stretch anchors --layout 2023 "
        "--expected 'my files.json'"
    )
    without = Variation("", "keep", row("without anchors", 0.01))
    made = Packaging(("one", "two"), Combination(stretch="anchors"), LAYOUTS["2022"])
    found = advised(report(without), made)
    assert found.advice and found.advice.setting == "without anchors"
    assert found.advice.command == "kit package --ensemble one,two"


@pytest.mark.parametrize(
    ("folder", "measure"),
    [("CH3", "official_2022"), ("translation", "official_2023"), ("images", "mae"), ("x", "mae")],
)
def test_an_archive_of_others_is_measured_by_its_folder(folder: str, measure: str) -> None:
    found = advised(report(ANCHORS, folder=folder), Packaging())
    assert found.measure == measure
    if measure != "mae":
        assert found.advice and found.advice.command == ""


@pytest.fixture
def packaged(tmp_path: Path) -> Package:
    """A smooth member that anchors help, and a noisy one that spoils the ensemble."""
    ramp = np.linspace(0.02, 0.25, 32 * 32).reshape(32, 32)
    truth = np.rint(3000 * np.stack([ramp, ramp.T, ramp[::-1]])).astype(np.uint16)
    smooth = np.rint(65535 * np.stack([ramp, ramp.T, ramp[::-1]])).astype(np.uint16)
    noisy = np.random.default_rng(0).integers(0, 65536, smooth.shape, dtype=np.uint16)
    write_member(tmp_path / "predictions", "smooth", {A: smooth})
    write_member(tmp_path / "predictions", "noisy", {A: noisy})
    write_truth(tmp_path / "truth", A, truth)
    return package(
        predictions=tmp_path / "predictions", submissions=tmp_path / "submissions",
        ensemble="smooth,noisy", layout="plain", truth=tmp_path / "truth",
    )  # fmt: skip


def test_package_and_score_advise_alike(tmp_path: Path, packaged: Package) -> None:
    again = score(packaged.archive, tmp_path / "truth", predictions=tmp_path / "predictions")
    assert packaged.scores is not None
    assert packaged.scores.advice == again.advice and again.advice is not None
    assert packaged.scores.measure == again.measure == "mae"
    assert again.better_member and again.better_member.member == "smooth"
    assert again.advice.setting.startswith("smooth alone")
    assert again.advice.command.startswith("kit package --ensemble smooth")


def test_what_is_advised_is_what_it_scores(tmp_path: Path, packaged: Package) -> None:
    assert packaged.scores is not None
    for variation in packaged.scores.variations:
        result = package(
            predictions=tmp_path / "predictions", submissions=tmp_path / "submissions",
            ensemble=variation.member or "smooth,noisy", stretch=variation.stretch,
            layout="plain", truth=tmp_path / "truth", overwrite=True,
        )  # fmt: skip
        assert result.scores is not None
        measured = result.scores.own.as_dict()
        expected = variation.row.as_dict()
        assert measured == pytest.approx(expected, rel=1e-12), variation


def test_a_fitted_ensemble_is_packaged_by_its_name() -> None:
    fitted = Combination((4, 1), stretch="anchors")
    made = Packaging(("one", "two"), fitted, LAYOUTS["2022"], fitted="best")
    without = Variation("", "keep", row("without anchors", 0.01))
    found = advised(report(without, ONE), made)
    assert found.advice and found.advice.command == "kit package --ensemble best --stretch keep"
    found = advised(report(ONE_ANCHORED, ONE), made)
    assert found.advice
    assert found.advice.command == "kit package --ensemble one --stretch anchors"


def test_a_layout_of_ones_own_is_named_by_its_file() -> None:
    own = replace(LAYOUTS["2022"], name="mine")
    made = replace(MADE, layout=own, layout_file=Path("my layouts/mine.toml"))
    found = advised(report(ANCHORS), made)
    assert found.advice and found.advice.command.endswith("--layout 'my layouts/mine.toml'")


def test_the_measure_that_is_asked_for_counts() -> None:
    assert advised(report(ONE), MADE, "mae").measure == "mae"
