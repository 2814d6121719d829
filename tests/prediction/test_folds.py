"""The name of a variant stands for the predictions of all its folds, which count alike."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from kit.averaging import average, parse_averaging, spread
from kit.errors import InputError
from kit.prediction.folds import mixed_members, predicted_runs
from kit.prediction.members import read_member
from kit.scoring.score import score
from kit.submission.package import Package, package
from kit.submission.reproduce import reproduce
from kit.variants.record import to_record
from kit.variants.registry import VARIANTS
from kit.variants.settings import as_fold
from tests.helpers.archives import A, B, digital_numbers, image, write_member, write_truth

FOLDS = ("spade2.fold1", "spade2.fold2")


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """The predictions of both folds of spade2, and of p2phd1."""
    folder = tmp_path / "predictions"
    for number in (1, 2):
        write_fold(folder, number, 2)
    write_member(folder, "p2phd1", {A: image(7), B: image(8)}, pairs_sha256="pairs")
    return folder


def write_fold(folder: Path, number: int, folds: int, **changed: Any) -> None:
    variant = as_fold(VARIANTS["spade2"], number, folds)
    images = {A: image(number), B: image(10 + number)}
    about = {"config": to_record(variant), "pairs_sha256": "pairs"} | changed
    write_member(folder, variant.name, images, **about)


def run(predictions: Path, ensemble: str, **settings: Any) -> Package:
    submissions = predictions.parent / "submissions"
    return package(
        predictions=predictions, submissions=submissions, ensemble=ensemble, stretch="keep",
        **settings,
    )  # fmt: skip


def pixels(made: Package) -> np.ndarray:
    with zipfile.ZipFile(made.archive) as archive:
        name = next(name for name in archive.namelist() if A in name)
        (made.archive.parent / "one.tiff").write_bytes(archive.read(name))
    return tifffile.imread(made.archive.parent / "one.tiff").transpose(2, 0, 1)


def test_an_archive_of_a_variant_is_the_mean_of_its_folds(predictions: Path) -> None:
    made = run(predictions, "spade2")
    assert made.archive.name == "spade2.zip" and not made.notes
    folds = [read_member(predictions / name).load(A) for name in FOLDS]
    assert np.array_equal(pixels(made), average(folds))


def test_variants_count_alike_however_many_folds_they_have(predictions: Path) -> None:
    made = run(predictions, "spade2,p2phd1")
    assert made.archive.name == "spade2-p2phd1.zip"
    images = [read_member(predictions / name).load(A) for name in (*FOLDS, "p2phd1")]
    assert np.array_equal(pixels(made), average(images, (1, 1, 2)))
    assert made.notes == ("p2phd1 has 1 fold, spade2 2",)
    other = run(predictions, "spade2,p2phd1", average="1,3")
    assert np.array_equal(pixels(other), average(images, (1, 1, 6)))
    assert other.archive.name == "spade2-p2phd1-1-3.zip"
    assert np.array_equal(
        pixels(run(predictions, "spade2,p2phd1", average="median")), average(images, "median")
    )


def test_the_same_bytes_come_of_the_manifest(predictions: Path) -> None:
    made = run(predictions, "spade2,p2phd1")
    found = reproduce(made.manifest, predictions=predictions, runs=predictions.parent / "runs")
    assert found.same


def test_a_score_has_a_row_for_each_variant(predictions: Path, tmp_path: Path) -> None:
    made = run(predictions, "spade2,p2phd1")
    truth = tmp_path / "truth"
    for scene, seed in ((A, 3), (B, 4)):
        write_truth(truth, scene, digital_numbers(seed))
    found = score(made.archive, truth, predictions=predictions)
    assert [row.name for row in found.rows][1:3] == ["spade2", "p2phd1"]
    alone = score(run(predictions, "spade2").archive, truth, predictions=predictions)
    assert len(alone.rows) == 2
    shutil.rmtree(predictions / FOLDS[1])
    found = score(made.archive, truth, predictions=predictions)
    assert [row.name for row in found.rows][1] == "p2phd1" and found.absent == (FOLDS[1],)


def test_a_fold_that_is_not_predicted_is_named(predictions: Path) -> None:
    shutil.rmtree(predictions / FOLDS[0])
    with pytest.raises(InputError, match="lacks 1 of 2 folds of spade2: 1") as error:
        run(predictions, "spade2")
    assert "kit predict --ensemble spade2" in error.value.remedy


def test_the_own_predictions_of_a_name_are_used_and_that_is_told(predictions: Path) -> None:
    write_member(predictions, "spade2", {A: image(5), B: image(6)})
    made = run(predictions, "spade2")
    assert made.notes == ("spade2: the run of this name is used, and not its 2 folds",)
    assert np.array_equal(pixels(made), read_member(predictions / "spade2").load(A))


def test_folds_of_different_pairs_are_not_averaged(predictions: Path) -> None:
    write_fold(predictions, 2, 2, pairs_sha256="others")
    with pytest.raises(InputError, match="was trained on other pairs than"):
        run(predictions, "spade2")


def test_members_of_other_pairs_are_named(predictions: Path) -> None:
    write_member(predictions, "spade3", {A: image(7), B: image(8)}, pairs_sha256="others")
    members = [read_member(predictions / name) for name in ("p2phd1", "spade3")]
    assert mixed_members(members) == ("spade3 was trained on other pairs than p2phd1",)
    assert predicted_runs(predictions, "spade3") == ("spade3",)


def test_weights_are_shared_exactly() -> None:
    assert spread("mean", [1, 1]) == spread("mean", [5, 5]) == "mean"
    assert spread("median", [5, 1]) == "median"
    assert spread("mean", [2, 3]) == (3, 3, 2, 2, 2)
    assert spread((4, 2), [2, 1]) == "mean"
    assert spread((1, 2), [2, 1]) == (1, 1, 4)
    # What fits for two members is too much for their folds.
    weights = parse_averaging("0.12345678901234,0.87654321098767", ["one", "two"])
    with pytest.raises(InputError, match=r"add up to more than 2\*\*48\n.*fewer digits"):
        spread(weights, [5, 4])


def test_folds_of_other_settings_are_not_averaged(predictions: Path) -> None:
    wide = as_fold(replace(VARIANTS["spade2"], width=8), 2, 2)
    write_fold(predictions, 2, 2, config=to_record(wide))
    with pytest.raises(InputError, match=r"with width=8, but spade2.fold1 with width=64"):
        run(predictions, "spade2")
