import csv
import dataclasses
import hashlib
import json
import math
import os
import random
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tifffile

import kit
from kit.archive.check import check
from kit.archive.layout import LAYOUTS
from kit.archive.made_with import made_with
from kit.archive.manifest import HeldOutScore, predictions_digest, read_manifest
from kit.averaging import Averaging
from kit.averaging import average as average_images
from kit.errors import BusyError, CheckError, InputError, OutputError
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination, Stretch
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.scoring.score import score
from kit.storage.files import sha256
from kit.storage.image_file import digest
from kit.storage.lock import lock
from kit.submission.leaderboard import leaderboard
from kit.submission.log import log_columns
from kit.submission.package import Package, package
from kit.submission.reproduce import reproduce
from tests.helpers.archives import A, B, digital_numbers, image, write_member, write_truth

CH3 = LAYOUTS["2022"]
NAMES = [f"CH3/Sentinel2_{A}.tiff", f"CH3/Sentinel2_{B}.tiff"]
REPOSITORY = Path(kit.__file__).parents[1]

Run = Callable[..., Package]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`package` on two members that predicted two scenes."""
    predictions = tmp_path / "predictions"
    write_member(predictions, "one", {A: image(1), B: image(2)})
    write_member(predictions, "two", {A: image(3), B: image(4)})
    last = {"ensemble": "one,two", "members": ["one", "two"]}
    (predictions / "last.json").write_text(json.dumps(last))

    def run(**settings: Any) -> Package:
        return package(predictions=predictions, submissions=tmp_path / "submissions", **settings)

    return run


def files(tmp_path: Path) -> set[str]:
    folder = tmp_path / "submissions"
    return {path.name for path in folder.iterdir()} - {".lock"} if folder.exists() else set()


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_the_last_ensemble_becomes_an_archive_that_other_programs_read(
    tmp_path: Path, run: Run
) -> None:
    result = run()
    assert result.archive == tmp_path / "submissions" / "one-two.zip"
    assert (result.images, result.left_out, result.scores) == (2, 0, None)
    assert result.sha256 == sha256(result.archive)
    with zipfile.ZipFile(result.archive) as archive:
        assert archive.namelist() == sorted(NAMES)
        for name, pair in zip(NAMES, ((1, 3), (2, 4)), strict=True):
            found = tifffile.imread(archive.open(name))
            assert (found.dtype, found.shape) == (np.uint16, (256, 256, 3))
            expected = average_images([image(seed) for seed in pair])
            np.testing.assert_array_equal(found.transpose(2, 0, 1), expected)
    assert check(result.archive, CH3, NAMES).findings == ()
    assert files(tmp_path) == {"one-two.zip", "one-two.json", "submissions.csv"}


def test_the_manifest_says_where_it_comes_from(tmp_path: Path, run: Run) -> None:
    engine = {"name": "torch eager", "version": "2", "device": "CPU", "precision": "float32"}
    known = {"pairs_sha256": "pairs", "engines": [engine]}
    write_member(tmp_path / "predictions", "two", {A: image(3), B: image(4)}, **known)
    listed = write_json(tmp_path / "files.json", NAMES[:1])
    result = run(ensemble="two", name="try 1.5", expected=listed)
    manifest = json.loads(result.manifest.read_text())
    assert result.manifest.name == "try 1.5.json"
    assert manifest.pop("created").endswith("+00:00")
    assert (manifest.pop("format"), len(manifest.pop("check"))) == (2, 64)
    with zipfile.ZipFile(result.archive) as archive:
        checksum = hashlib.sha256(archive.read(NAMES[0])).hexdigest()
    assert manifest == {
        "name": "try 1.5",
        "ensemble": "two",
        "images": 1,
        "left_out": 1,
        "sha256": result.sha256,
        "target": "reflectance",
        "average": "mean",
        "stretch": "keep",
        "layout": dataclasses.asdict(CH3),
        "expected": {"path": str(listed), "sha256": sha256(listed)},
        "members": [
            {
                "variant": "two",
                "weights_sha256": "weights of two",
                "pairs_sha256": "pairs",
                "config": {"name": "two"},
                "scaling": {"vv_db": [-25, 0], "vh_db": [-32.5, 0], "dn": [0, 3000]},
                "mean_color": [0.1, 0.2, 0.15],
                "input": "TEST",
                "engines": [engine],
                "predictions_sha256": predictions_digest({A: digest(image(3))}),
                "trained_on": [],
                "flips": 1,
            }
        ],
        "made_with": made_with(),
        "scores": None,
        "entries": {NAMES[0]: {"scene": A, "sha256": checksum}},
    }


def test_predictions_of_an_older_kit_are_packaged(run: Run) -> None:
    manifest = json.loads(run(ensemble="one").manifest.read_text())
    (member,) = manifest["members"]
    assert (member["pairs_sha256"], member["engines"]) == (None, [])
    assert manifest["expected"] is None


def test_every_submission_is_a_line_of_the_log_and_other_lines_are_kept(
    tmp_path: Path, run: Run
) -> None:
    result = run()
    log = tmp_path / "submissions" / "submissions.csv"
    by_hand = log.read_text().rstrip("\n") + "0.0279459"  # noted by hand, without a line's end
    log.write_text(by_hand)
    run(name="second")
    assert log.read_text().startswith(by_hand + "\n")
    with log.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == log_columns()
    assert (first["members"], first["leaderboard"]) == ("one two", "0.0279459")
    assert (second["name"], second["sha256"], second["mae"]) == ("second", result.sha256, "")


def test_scores_go_into_the_result_the_manifest_and_the_log(tmp_path: Path, run: Run) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    result = run(truth=tmp_path / "truth")
    assert result.scores is not None
    again = score(result.archive, tmp_path / "truth", predictions=tmp_path / "predictions")
    assert again == result.scores
    assert [row.name for row in again.rows] == ["mean colour", "one", "two", "ensemble (one, two)"]
    assert json.loads(result.manifest.read_text())["scores"] == again.as_dict()
    with (tmp_path / "submissions" / "submissions.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["mae"]) == again.rows[-1].scores.mae
    assert float(line["official_2023"]) == again.rows[-1].official_2023


def test_a_truth_of_another_place_leaves_nothing(tmp_path: Path, run: Run) -> None:
    write_truth(tmp_path / "truth", "10.00_20.00_2019_06_08", digital_numbers(1, 8))
    with pytest.raises(InputError, match="holds other places"):
        run(truth=tmp_path / "truth")
    write_truth(tmp_path / "truth", A, digital_numbers(1, 8))
    with pytest.raises(InputError, match="where its truth"):
        run(truth=tmp_path / "truth")
    assert files(tmp_path) == set()


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path, run: Run) -> None:
    expected = write_json(tmp_path / "files.json", NAMES[::-1])
    first = run(name="first", expected=expected, threads=1).sha256
    for path in tmp_path.rglob("*.npy"):
        os.utime(path, (1, random.randrange(10**9)))
    code = (
        "import os, sys; from pathlib import Path; from kit.submission.package import package\n"
        "os.umask(0o077); folder = Path(sys.argv[1])\n"
        "print(package(predictions=folder / 'predictions', submissions=folder / 'else', threads=5)"
        ".sha256)"
    )
    changes = {
        "PYTHONPATH": str(REPOSITORY), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C",
    }  # fmt: skip
    second = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | changes,
        capture_output=True,
        text=True,
        check=True,
    )
    assert second.stdout.strip() == first


def test_anchors_are_written_and_said(run: Run) -> None:
    plain = run(ensemble="one,two")
    result = run(ensemble="one,two", name="anchored", stretch="anchors")
    assert result.sha256 != plain.sha256
    assert json.loads(result.manifest.read_text())["stretch"] == "anchors"
    with zipfile.ZipFile(result.archive) as archive:
        pixels = tifffile.imread(archive.open(NAMES[0])).transpose(2, 0, 1)
    assert (pixels.min(axis=(1, 2)) == 0).all() and (pixels.max(axis=(1, 2)) == 65535).all()
    with pytest.raises(InputError, match="known are keep, anchors"):
        run(stretch="much")


@pytest.mark.parametrize(
    ("average", "way", "recorded", "name", "members"),
    [
        ("median", "median", "median", "one-two-three-median", "one two three (median)"),
        ("0.4,0.2,0.1", (4, 2, 1), "4,2,1", "one-two-three-4-2-1", "one two three (4,2,1)"),
        ("2,2,2", "mean", "mean", "one-two-three", "one two three"),
    ],
)
def test_the_way_of_averaging_is_in_pixels_name_manifest_scores_and_log(
    tmp_path: Path,
    run: Run,
    average: str,
    way: Averaging,
    recorded: str,
    name: str,
    members: str,
) -> None:
    write_member(tmp_path / "predictions", "three", {A: image(5), B: image(6)})
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    result = run(ensemble="one,two,three", average=average, truth=tmp_path / "truth")
    assert result.archive.name == f"{name}.zip"
    with zipfile.ZipFile(result.archive) as archive:
        found = tifffile.imread(archive.open(NAMES[0])).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, average_images([image(1), image(3), image(5)], way))
    assert json.loads(result.manifest.read_text())["average"] == recorded
    assert read_manifest(result.manifest).combination.averaging == way
    again = score(result.archive, tmp_path / "truth", predictions=tmp_path / "predictions")
    assert again == result.scores
    how = "" if way == "mean" else f"; {recorded}"
    assert again.rows[-1].name == f"ensemble (one, two, three{how})"
    (row,) = leaderboard(tmp_path / "submissions").rows
    assert (row.name, row.members) == (name, members)


def test_a_mean_and_a_median_of_the_same_members_are_two_submissions(
    tmp_path: Path, run: Run
) -> None:
    write_member(tmp_path / "predictions", "three", {A: image(5), B: image(6)})
    ways = ("mean", "median", "4,2,1", "2,4,1")
    made = [run(ensemble="one,two,three", average=way) for way in ways]
    assert len({result.archive for result in made}) == len({result.sha256 for result in made}) == 4
    with pytest.raises(BusyError, match=r"one-two-three-median\.zip: exists"):
        run(ensemble="one,two,three", average="median")
    run(ensemble="one,two,three", name="mine")
    with pytest.raises(BusyError, match=r"mine\.zip: exists"):
        run(ensemble="one,two,three", name="mine", average="median")
    logged = [row.members for row in leaderboard(tmp_path / "submissions").rows]
    assert logged.count("one two three") == 2 and len(set(logged)) == 4


def test_a_way_of_averaging_that_is_none_is_refused_first(tmp_path: Path, run: Run) -> None:
    for average in ("best", "1", "1,2,3", "0,0", "1,-1", "1,nan"):
        with pytest.raises(InputError) as raised:
            run(average=average)
        assert raised.value.where == "--average" and "one,two" in raised.value.remedy
    assert files(tmp_path) == set()


def test_what_a_median_scores_without_its_anchors(tmp_path: Path, run: Run) -> None:
    write_member(tmp_path / "predictions", "three", {A: image(5), B: image(6)})
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    settings = {"ensemble": "one,two,three", "average": "median", "truth": tmp_path / "truth"}
    plain = run(**settings).scores
    anchored = run(**settings, name="anchored", stretch="anchors").scores
    assert plain and plain.other and anchored and anchored.other
    assert anchored.other.as_dict() == plain.rows[-1].as_dict()
    assert anchored.rows[-1].as_dict() == plain.other.as_dict()


def test_expected_names_are_kept_and_share_predictions(tmp_path: Path, run: Run) -> None:
    names = [f"/CH3/deep/S1_VV_{A}_{i}.tiff" for i in (1, 2, 3)]
    expected = {"count": 3, "image_type": ".tiff", "files": names}
    result = run(expected=write_json(tmp_path / "files.json", expected))
    assert (result.images, result.left_out) == (3, 1)
    with zipfile.ZipFile(result.archive) as archive:
        assert archive.namelist() == [name[1:] for name in names]
        assert len({archive.read(name) for name in archive.namelist()}) == 1


def test_the_layout_of_2023(tmp_path: Path, run: Run) -> None:
    names = [f"Sentinel2_{A}_{i}.tiff" for i in (1, 2)]
    expected = write_json(tmp_path / "files.json", {str(names): [f"Sentinel2_{A}.tiff"]})
    result = run(layout="2023", expected=expected)
    with zipfile.ZipFile(result.archive) as archive:
        assert archive.namelist() == [f"translation/{name}" for name in names]
    assert run(layout="2023", name="all").images == 2 * LAYOUTS["2023"].images


def test_a_layout_of_ones_own(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "2022"\nroot = "mine"\n')
    result = run(layout=path)
    assert zipfile.ZipFile(result.archive).namelist()[0] == f"mine/Sentinel2_{A}.tiff"
    assert json.loads(result.manifest.read_text())["layout"]["root"] == "mine"


def test_expected_names_without_a_prediction(tmp_path: Path, run: Run) -> None:
    names = [*NAMES, "CH3/a_1.tiff", *(f"CH3/{A[:-1]}{i}.tiff" for i in range(1, 5))]
    with pytest.raises(InputError, match=r"5 of 7 names have no prediction: .*01\.tiff, .*02"):
        run(expected=write_json(tmp_path / "files.json", names))
    with pytest.raises(InputError, match="--layout 2023"):
        run(expected=write_json(tmp_path / "files.json", [f"translation/{A}.tiff"]))
    assert files(tmp_path) == set()


def test_an_archive_is_not_replaced_unless_asked(tmp_path: Path, run: Run) -> None:
    first = run()
    write_member(tmp_path / "predictions", "one", {A: image(5), B: image(6)})
    with pytest.raises(BusyError, match="--overwrite"):
        run(ensemble="one,two")
    assert sha256(first.archive) == first.sha256
    assert run(ensemble="one,two", overwrite=True).sha256 != first.sha256
    with lock(tmp_path / "submissions"), pytest.raises(BusyError, match="in use"):
        run(ensemble="one,two", overwrite=True)


def test_what_the_server_would_reject_leaves_no_archive(tmp_path: Path, run: Run) -> None:
    first = run(name="mine", ensemble="two")
    small = {f"{A[:-2]}{day:02}": image(day, size=8) for day in range(1, 13)}
    flat = {B: np.full((3, 256, 256), 7, np.uint16)}
    write_member(tmp_path / "predictions", "bad", small | flat)
    with pytest.raises(CheckError) as raised:
        run(ensemble="bad", name="mine", overwrite=True)
    lines = str(raised.value).splitlines()
    assert raised.value.exit_code == 4
    assert "13 findings" in lines[0]
    assert "_01.tiff and 11 more: is 8x8 where the server reads 256x256" in lines[1]
    assert len(lines) == 3
    assert sha256(first.archive) == first.sha256
    assert files(tmp_path) == {"mine.zip", "mine.json", "submissions.csv"}
    write_member(tmp_path / "predictions", "bad", flat)
    told = rf"would score images of this archive as black, so .*\n.*{B}.tiff has one colour only"
    with pytest.raises(CheckError, match=told):
        run(ensemble="bad")
    assert len(files(tmp_path)) == 3


def test_the_plain_layout_takes_any_size(tmp_path: Path, run: Run) -> None:
    write_member(tmp_path / "predictions", "small", {A: image(1, 8), B: image(1, 12)})
    result = run(layout="plain")
    assert zipfile.ZipFile(result.archive).namelist()[0] == f"images/Sentinel2_{A}.tiff"
    assert result.images == 2


def test_a_disk_that_fills_leaves_nothing(tmp_path: Path, run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"one-two\.zip: cannot be written"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == set()


KILLED = """
import os, pathlib, sys
from kit.submission.package import package
root, target, moment, options = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
replace = pathlib.Path.replace
def killed(self, name):
    if pathlib.Path(name).name != target:
        return replace(self, name)
    if moment == "after":
        replace(self, name)
    os._exit(9)
pathlib.Path.replace = killed
package(predictions=root / "predictions", submissions=root / "submissions",
        ensemble="one", name="mine", overwrite=options == "overwrite")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("target", ["mine.json", "submissions.csv", "mine.zip"])
@pytest.mark.slow
def test_killed_anywhere_the_same_command_finishes_the_work(
    tmp_path: Path, run: Run, target: str, moment: str
) -> None:
    def kill(options: str = "") -> None:
        arguments = [str(tmp_path), target, moment, options]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=REPOSITORY)
        assert done.returncode == 9

    kill()
    archive = tmp_path / "submissions" / "mine.zip"
    whole = {"mine.zip", "mine.json", "submissions.csv"}
    if archive.exists():
        assert (target, moment) == ("mine.zip", "after")
        assert read_manifest(archive.with_suffix(".json")).sha256 == sha256(archive)
        with pytest.raises(BusyError):
            run(ensemble="one", name="mine")
    else:
        run(ensemble="one", name="mine")
    assert files(tmp_path) == whole
    (row,) = leaderboard(archive.parent).rows
    assert row.sha256 == sha256(archive)

    write_member(tmp_path / "predictions", "one", {A: image(5), B: image(6)})
    kill("overwrite")
    result = run(ensemble="one", name="mine", overwrite=True)
    assert files(tmp_path) == whole
    assert read_manifest(result.manifest).sha256 == result.sha256 == sha256(archive) != row.sha256
    assert {row.sha256 for row in leaderboard(archive.parent).rows} == {row.sha256, result.sha256}


def test_a_log_that_is_none_is_said_before_anything_is_written(tmp_path: Path, run: Run) -> None:
    log = tmp_path / "submissions" / "submissions.csv"
    log.parent.mkdir()
    log.write_text("my notes\n")
    with pytest.raises(InputError, match="lacks columns of the log"):
        run()
    assert files(tmp_path) == {"submissions.csv"}
    assert log.read_text() == "my notes\n"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/x", ".hidden", "..", "a\nb", "a\0", "\udcff", "é" * 101]
)
def test_names_that_no_archive_should_have(tmp_path: Path, run: Run, name: str) -> None:
    with pytest.raises(InputError, match="not a name") as raised:
        run(name=name)
    assert str(raised.value).partition("\n")[0].isprintable()
    assert files(tmp_path) == set()


def test_a_name_as_long_as_may_be(tmp_path: Path, run: Run) -> None:
    run(name="é" * 100)
    assert len(files(tmp_path)) == 3


def test_an_unknown_layout_and_a_missing_member(run: Run) -> None:
    with pytest.raises(InputError, match=r"known are 2022, 2023, .*plain"):
        run(layout="2021")
    with pytest.raises(InputError, match="kit predict --ensemble spade4"):
        run(ensemble="submission2")


def test_progress_covers_writing_checking_and_scoring(tmp_path: Path, run: Run) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    steps: list[tuple[int, int]] = []
    run(truth=tmp_path / "truth", advance=lambda *step: steps.append(step))
    assert steps == [(1, 1), (1, 2), (2, 2), (1, 2), (2, 2), (1, 1)]


def fitted(tmp_path: Path, stretch: str = "anchors") -> Ensemble:
    """An ensemble of the two members, as `kit fit` writes it."""
    affine = Affine(((20_000, 30_000, 9_000), (60_000, 0, 5_000), (40_000, 40_000, 12_000)))
    about = Fitted(
        method="greedy, with replacement", score=0.03, interval=(0.02, 0.04), against={},
        scenes=9, pairs_sha256="p", weights={n: f"weights of {n}" for n in ("one", "two")},
    )  # fmt: skip
    combination = Combination((3, 1), affine, cast(Stretch, stretch))
    ensemble = Ensemble("best", ("one", "two"), combination, "official_2022", "reflectance", about)
    write_ensemble(tmp_path / "ensembles", ensemble)
    return ensemble


def test_a_fitted_ensemble_brings_its_weights_affine_and_anchors(run: Run, tmp_path: Path) -> None:
    ensemble = fitted(tmp_path)
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    folder = tmp_path / "ensembles"
    result = run(ensemble="best", ensembles=folder, truth=tmp_path / "truth")
    assert result.archive.name == "best.zip"
    assert (result.ensemble, result.stretch, result.refitted) == ("best", "anchors", ())
    with zipfile.ZipFile(result.archive) as archive:
        found = tifffile.imread(archive.open(NAMES[0])).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, ensemble.combination.apply([image(1), image(3)]))
    about = read_manifest(result.manifest)
    assert about.combination == ensemble.combination and about.fitted
    assert about.ensemble == "best"
    assert about.heldout == HeldOutScore("official_2022", 0.03, (0.02, 0.04), 9, "p")
    again = score(result.archive, tmp_path / "truth", predictions=tmp_path / "predictions")
    assert again == result.scores
    assert again.own.name == "ensemble (one, two; 3,1; affine)"
    (line,) = csv.DictReader((tmp_path / "submissions" / "submissions.csv").open())
    assert (line["members"], line["stretch"]) == ("one two (3,1; affine)", "anchors")
    assert (line["ensemble"], line["images"]) == ("best", str(again.own.scores.n))
    # Its images are in the server's space alone, its members in another.
    assert (line["target"], line["mae"], line["psnr"]) == ("minmax", "", "")
    assert line["stretched_mae"] and line["official_2022"]
    for row in (again.own, again.other):
        assert row and math.isnan(row.scores.mae) and math.isnan(row.scores.psnr)
    maes = {row.name: row.scores.mae for row in again.rows[:-1]}
    assert {"one", "two"} <= {name for name, mae in maes.items() if not math.isnan(mae)}
    assert all(math.isnan(image.mae) for image in again.own_images())
    by_mae = score(result.archive, tmp_path / "truth", measure="mae")
    assert (by_mae.not_beaten, by_mae.advice) == ((), None)
    otherwise = run(ensemble="best", ensembles=folder, stretch="keep", name="otherwise")
    assert read_manifest(otherwise.manifest).heldout is None  # it was not fitted so
    assert again.other and again.other.name == "without anchors"
    made = reproduce(result.manifest, predictions=tmp_path / "predictions", runs=tmp_path)
    assert made.same


def test_who_asked_for_no_stretch_hears_of_anchors_where_the_server_stretches(
    run: Run, tmp_path: Path
) -> None:
    most = "the server stretches each image, and most score better with --stretch anchors"
    assert most in run(name="a").notes
    assert most not in run(name="b", stretch="keep").notes
    assert most not in run(name="c", stretch="anchors").notes
    assert most not in run(name="d", layout="plain").notes  # which no server stretches
    fitted(tmp_path, "keep")
    folder = tmp_path / "ensembles"
    kept = run(name="e", ensemble="best", ensembles=folder)
    assert most not in kept.notes  # its fit has tried them
    fit_says = "with anchors, as its fit says that they win"
    assert fit_says not in run(name="f", ensemble="best", ensembles=folder, stretch="anchors").notes
    fitted(tmp_path)
    assert fit_says in run(name="g", ensemble="best", ensembles=folder).notes


def test_a_fitted_ensemble_that_was_predicted_last_is_the_default(run: Run, tmp_path: Path) -> None:
    fitted(tmp_path, stretch="keep")
    last = {"ensemble": "best", "members": ["one", "two"]}
    (tmp_path / "predictions" / "last.json").write_text(json.dumps(last))
    assert run(ensembles=tmp_path / "ensembles").archive.name == "best.zip"
    assert run(ensembles=tmp_path / "ensembles", stretch="anchors").archive.name == (
        "best-anchors.zip"
    )


def test_a_fitted_ensemble_is_averaged_in_no_other_way(run: Run, tmp_path: Path) -> None:
    fitted(tmp_path)
    with pytest.raises(InputError, match=r"brings its own\n.*--ensemble one,two"):
        run(ensemble="best", ensembles=tmp_path / "ensembles", average="median")


def test_weights_that_changed_since_the_fit_are_told(run: Run, tmp_path: Path) -> None:
    fitted(tmp_path)
    images = {A: image(3), B: image(4)}
    write_member(tmp_path / "predictions", "two", images, weights_sha256="others")
    assert run(ensemble="best", ensembles=tmp_path / "ensembles").refitted == ("two",)


def test_advice_goes_by_the_measure_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1))
    result = run(truth=tmp_path / "truth", measure="mae")
    assert result.scores and result.scores.measure == "mae"
    again = score(result.archive, tmp_path / "truth", predictions=None, measure="psnr")
    assert again.measure == "psnr"
    with pytest.raises(InputError, match="did you mean mae"):
        run(measure="maee", name="other")
