"""Which images a sheet shows, and what it says of them."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.scaling import stretch
from kit.scoring import sheet as module
from kit.scoring.images import ImageScore, worst
from kit.scoring.score import score
from kit.scoring.sheet import ROWS, Choice, gallery
from kit.storage.files import sha256
from kit.submission.package import package
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import (
    A,
    B,
    digital_numbers,
    image,
    tiff,
    write_archive,
    write_member,
    write_truth,
)

WORST = Choice(worst_first=True)
DATES = [f"2019_06_{day:02}" for day in range(1, 10)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the sheet was asked to show."""
    asked: dict = {}

    def write_grid(rows, columns, labels, path, cell):
        asked.update(rows=rows, columns=columns, labels=labels, cell=cell)
        return path

    monkeypatch.setattr(module, "write_grid", write_grid)
    return asked


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Nine scenes of one place, predicted ever brighter above the same dark truth."""
    images = {}
    for number, day in enumerate(DATES):
        scene = f"-54.48_-3.33_{day}"
        write_truth(tmp_path / "truth", scene, digital_numbers(1, 8))
        images[f"images/Sentinel2_{scene}.tiff"] = np.full((3, 8, 8), 7000 * number, np.uint16)
    path = tmp_path / "archive.zip"
    write_archive(path, ((name, encode_tiff(pixels)) for name, pixels in images.items()))
    return path


def test_the_worst_come_first_with_their_numbers(tmp_path: Path, archive: Path, drawn) -> None:
    report = score(archive, tmp_path / "truth")
    path = tmp_path / "sheet.png"
    made = gallery(archive, report, path, predictions=tmp_path, choice=WORST)
    assert made == path
    assert [label.split("\n")[0][-10:] for label in drawn["labels"]] == DATES[: -ROWS - 1 : -1]
    by_name = {image.scene: image for image in report.own_images()}
    first = by_name[f"-54.48_-3.33_{DATES[-1]}"]
    assert drawn["labels"][0].split("\n")[1:] == [
        "truth 2019-06-09, +0 days",
        f"MAE {first.mae:.4f}",
        f"PSNR {-10 * np.log10(first.mse):.2f} dB",
        f"stretched MSE {first.stretched_mse:.4f}",
    ]
    np.testing.assert_allclose(drawn["rows"][0][0], 56000 / 65535)
    assert drawn["columns"] == ["archive", "error x 5", "truth"]
    _, errors, true = drawn["rows"][0]
    np.testing.assert_allclose(errors, 5 * (56000 / 65535 - true).mean(axis=0), rtol=1e-5)
    assert errors.mean() / 5 == pytest.approx(first.mae)


def test_scenes_spread_evenly_are_the_default(tmp_path: Path, archive: Path, drawn) -> None:
    report = score(archive, tmp_path / "truth")
    gallery(archive, report, tmp_path / "sheet.png", predictions=tmp_path)
    first = [label.split("\n")[0][-10:] for label in drawn["labels"]]
    assert first == [DATES[i] for i in (0, 1, 3, 4, 6, 8)]
    choice = Choice(rows=2, cell=32)
    gallery(archive, report, tmp_path / "sheet.png", predictions=tmp_path, choice=choice)
    assert (len(drawn["labels"]), drawn["cell"]) == (2, 32)


def test_several_images_of_a_scene_and_names_without_one(tmp_path: Path, drawn) -> None:
    (tmp_path / "t.tiff").write_bytes(tiff(digital_numbers(1, 8)))
    names = [f"CH3/{A}_1.tiff", f"CH3/{A}_2.tiff"]
    mapping = tmp_path / "mappings.json"
    mapping.write_text(json.dumps({"x": {"t.tiff": names}, "y": {"t.tiff": ["CH3/y.tiff"]}}))
    path = tmp_path / "archive.zip"
    entries = [*names, "CH3/y.tiff"]
    write_archive(path, ((name, encode_tiff(image(i, 8))) for i, name in enumerate(entries)))
    report = score(path, mapping)
    gallery(path, report, tmp_path / "sheet.png", predictions=tmp_path, choice=WORST)
    assert {label.split("\n")[0] for label in drawn["labels"]} == {f"{A}_1", f"{A}_2", "y"}


def test_members_have_a_column_each_and_the_picture_is_written(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    for name in ("one", "two"):
        write_member(predictions, name, {A: image(1, 8), B: image(2, 8)})
    write_truth(tmp_path / "truth", A, digital_numbers(1, 8))
    path = tmp_path / "archive.zip"
    write_archive(path, [(f"CH3/{A}.tiff", encode_tiff(image(1, 8)))])
    members = [{"variant": name, "weights_sha256": f"weights of {name}", "mean_color": [0, 0, 0]}
               for name in ("one", "two")]  # fmt: skip
    about = {"members": members, "target": "reflectance", "sha256": sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(about))
    report = score(path, tmp_path / "truth", predictions=predictions)
    made = gallery(path, report, tmp_path / "sheet.png", predictions=predictions, choice=WORST)
    assert made.read_bytes().startswith(b"\x89PNG")


def scored(scene: str, mae: float, stretched: float, row: str = "own") -> ImageScore:
    errors = {"mae": mae, "mse": mae**2}
    return ImageScore(row, scene, f"{scene}.tiff", "t", errors, stretched, stretched**2, 1)


def test_the_worst_are_those_of_the_measure_that_counts_and_one_of_each_place() -> None:
    images = [
        scored(A, 0.3, 0.1),
        scored(A.replace("06_08", "06_20"), 0.1, 0.4),
        scored(B, 0.2, 0.3),
    ]
    assert [image.mae for image in worst(images, 3)] == [0.3, 0.2, 0.1]
    for measure in ("official_2022", "official_2023", "stretched_mae", "stretched_psnr"):
        assert [image.mae for image in worst(images, 3, measure)] == [0.1, 0.2, 0.3]
    assert [image.mae for image in worst(images, 2, "psnr")] == [0.3, 0.2]
    # The mean of the first place is the smaller one, for its other image is good.
    found = worst(images, 3, "official_2022", by_place=True)
    assert [image.mae for image in found] == [0.2, 0.1]


def test_labels_have_the_truths_distance_and_the_mae_of_each_member(tmp_path: Path, drawn) -> None:
    predictions = tmp_path / "predictions"
    for seed, name in enumerate(("one", "two")):
        write_member(predictions, name, {A: image(seed, 256)})
    write_truth(tmp_path / "truth", A.replace("06_08", "06_13"), digital_numbers(1, 256))
    made = package(predictions=predictions, submissions=tmp_path / "out", ensemble="one,two")
    report = score(made.archive, tmp_path / "truth", predictions=predictions)
    first = report.images[0]
    errors = {**first.errors, "mae": math.nan}
    unscored = dataclasses.replace(first, row="of another space", errors=errors)
    report = dataclasses.replace(report, images=(unscored, *report.images))
    gallery(made.archive, report, tmp_path / "sheet.png", predictions=predictions)
    lines = drawn["labels"][0].split("\n")
    assert "nan" not in drawn["labels"][0]
    assert lines[:2] == [A, "truth 2019-06-13, +5 days"]
    maes = {row.name.partition(" (")[0]: row.scores.mae for row in report.rows}
    assert lines[3:6] == [f"MAE {maes[name]:.4f} {name}" for name in ("one", "two", "ensemble")]
    assert drawn["columns"] == [
        "one", "error x 5", "two", "error x 5", "ensemble", "error x 5", "truth",
    ]  # fmt: skip
    assert len(drawn["rows"][0]) == 7


def test_the_truth_is_in_the_space_that_an_affine_brings_an_archive_to(
    tmp_path: Path, drawn
) -> None:
    for seed, name in enumerate(("one", "two")):
        write_member(tmp_path / "predictions", name, {A: image(seed, 256)})
    write_truth(tmp_path / "truth", A, digital_numbers(1, 256))
    made = Combination((3, 1), Affine(((65_536, 65_536, 0),) * 3), "anchors")
    about = Fitted("greedy", 0.03, (0.02, 0.04), {}, 9, "p", {"one": "w"})
    fitted = Ensemble("best", ("one", "two"), made, "official_2022", "reflectance", about)
    write_ensemble(tmp_path / "ensembles", fitted)
    folders = {"predictions": tmp_path / "predictions", "ensembles": tmp_path / "ensembles"}
    archive = package(submissions=tmp_path / "out", ensemble="best", **folders).archive
    report = score(archive, tmp_path / "truth", predictions=folders["predictions"], measure="mae")
    gallery(archive, report, tmp_path / "sheet.png", predictions=folders["predictions"],
            choice=WORST)  # fmt: skip
    own, own_errors, truth = drawn["rows"][0][-3:]
    _, member_errors = drawn["rows"][0][:2]
    np.testing.assert_allclose(truth, stretch(digital_numbers(1, 256)))
    np.testing.assert_allclose(own_errors, 5 * np.abs(own - truth).mean(axis=0))
    assert own_errors.mean() / 5 == pytest.approx(report.own_images()[0].stretched_mae, rel=1e-4)
    assert member_errors.mean() / 5 == pytest.approx(report.rows[-3].scores.mae, rel=1e-4)
    lines = drawn["labels"][0].split("\n")
    assert "nan" not in drawn["labels"][0] and lines[-1].startswith("stretched MSE")
