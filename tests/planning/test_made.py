"""Of which request predictions and an archive are: their content says it, and no time of a file."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.engines.request import Request as Engine
from kit.pairs.table import PAIRS, fingerprint, read_pairs
from kit.planning.compete import dry_run
from kit.planning.inputs import Request
from kit.planning.plan import PLAN, Plan, Training, write_plan
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.prediction.predict import predict
from kit.runs.weights import read_run
from kit.storage.files import FITTED, RUNS, WORK
from kit.submission.package import package
from kit.training.validate import validate
from tests.helpers.sources import write_pictures
from tests.helpers.tiles import key, moved, radar

EAGER = Engine("eager", "float32")
MEMBERS = ("spade2", "p2phd1")
TINY = {
    "width": 2, "batch": 4, "crop": 32, "epochs": 1, "decay_epochs": 1, "lr": 0.002,
    "precision": "float32", "discriminator_width": 2, "discriminator_lr": 0.002,
}  # fmt: skip


def plan(flips: int = 1, measure: str = "mae") -> None:
    trainings = tuple(Training(name, TINY) for name in MEMBERS)
    write_plan(PLAN, Plan(1.0, "here", 24, measure, 1, False, flips, False, 0, trainings))


def fitted(*members: str) -> None:
    weights = {name: read_run(RUNS, name).sha256 for name in MEMBERS}
    used = {name: weights[name] for name in members}
    pairs = fingerprint(read_pairs(WORK / PAIRS))
    found = Fitted("mean", 0.1, (0.1, 0.2), {}, 5, pairs, used, weights)
    write_ensemble(
        FITTED, Ensemble("compete", members, measure="mae", target="reflectance", fitted=found)
    )


def made(request: Request) -> None:
    """Predict and package, as the commands do."""
    predict("compete", request.test, request=EAGER, units="any", overwrite=True)
    package(ensemble="compete", layout=request.layout, expected=request.expected, overwrite=True)


@pytest.fixture
def asked(trained: Path, trained_once: Path) -> Request:
    """A request whose archive is there."""
    plan()
    fitted(*MEMBERS)
    request = Request(trained_once / "data", Path("test"), 1.0, "plain")
    made(request)
    return request


def lines(request: Request) -> list[str]:
    told: list[str] = []
    dry_run(request, report=told.append)
    return told


def about(request: Request) -> list[str]:
    """What becomes of predictions and archive, and why."""
    told = lines(request)
    first = next(n for n, line in enumerate(told) if ": kit fit" in line)
    last = next(n for n, line in enumerate(told) if ": kit check" in line)
    return told[first + 1 : last]


DONE = [
    "done before: kit predict --ensemble compete --input test",
    "done before: kit package --ensemble compete --name compete --layout plain --overwrite",
]


def test_what_is_there_as_it_is_asked_for_is_not_made_again(asked: Request) -> None:
    assert about(asked) == DONE
    os.utime("ensembles/compete.json")  # written later, as a copy is
    assert about(asked) == DONE
    shutil.rmtree("predictions")
    assert about(asked) == DONE
    absolute = replace(asked, test=asked.test.resolve())
    assert all(line.startswith("done before") for line in about(absolute))


def test_a_project_that_was_moved_is_as_it_was(asked: Request) -> None:
    with moved():
        assert about(asked) == DONE
        Path("test").rename("gone")
        radar(Path("test"), key(40), size=45)
        assert "holds predictions of" in about(asked)[0]  # of other tiles: no folder of then


def test_another_test_folder_is_predicted_and_packaged(asked: Request) -> None:
    for place in (44, 45, 46):
        radar(Path("other"), key(place))
    other = replace(asked, test=Path("other"))
    why, predicted, packaged = about(other)
    assert f"predictions/spade2: holds predictions of {asked.test.resolve()}, which is not" in why
    assert predicted == "would run: kit predict --ensemble compete --input other --overwrite"
    assert packaged.startswith("would run: kit package")
    predict("compete", "other", request=EAGER, overwrite=True)
    predicted, why, packaged = about(other)  # killed before the archive
    assert predicted.startswith("done before: kit predict") and packaged.startswith("would run")
    assert why.startswith("submissions/compete.zip: holds other names or scenes, which is not")
    shutil.rmtree("predictions")
    predicted, why, packaged = about(other)
    assert predicted == "would run: kit predict --ensemble compete --input other"
    assert packaged.startswith("would run: kit package")


@pytest.mark.slow
def test_table_1_is_of_the_members_whatever_is_packaged(asked: Request) -> None:
    command = "kit validate spade2 p2phd1 --measure mae"
    assert f"would run: {command}" in lines(asked)
    validate(MEMBERS)
    assert f"done before: {command}" in lines(asked)
    Path("submissions/compete.zip").unlink()
    os.utime("ensembles/compete.json")  # written later, as a copy is
    assert f"done before: {command}" in lines(asked)


def test_scenes_that_are_new_or_replaced_are_predicted(asked: Request) -> None:
    tile = next(asked.test.glob("sent1/*VV*"))
    shutil.copy(tile, "kept")  # of the same bytes, and later
    os.replace("kept", tile)
    assert about(asked)[0].startswith("would run: kit predict")
    made(asked)
    assert about(asked) == DONE
    radar(asked.test, key(50))
    assert about(asked)[0] == "would run: kit predict --ensemble compete --input test"
    made(asked)
    assert about(asked) == DONE
    next(Path("predictions/p2phd1").glob("*.npy")).unlink()
    assert about(asked)[0].startswith("would run: kit predict")


@pytest.mark.slow
def test_another_layout_or_list_is_packaged(asked: Request) -> None:
    Path("mine.toml").write_text('base = "plain"\nroot = "mine"\n')
    Path("some.json").write_text(json.dumps([f"images/Sentinel2_{key(40)}.tiff"]))
    for change, words in (
        ({"layout": "mine.toml"}, "is of layout"),
        ({"expected": Path("some.json")}, "holds other names or scenes"),
    ):
        other = replace(asked, **change)
        predicted, why, packaged = about(other)
        assert predicted == DONE[0] and f"submissions/compete.zip: {words}" in why
        assert packaged.startswith("would run: kit package") and "--overwrite" in packaged
        made(other)
        assert [line.split(":")[0] for line in about(other)] == ["done before"] * 2
        made(asked)


def test_views_that_the_plan_has_now_are_made(asked: Request) -> None:
    plan(flips=4)
    why, predicted, packaged = about(asked)
    assert "predictions/spade2: holds predictions with --flips 1, which is not what is" in why
    assert predicted.endswith("--input test --flips 4 --overwrite")
    assert packaged.startswith("would run: kit package")
    shutil.rmtree("predictions")
    predicted, why, packaged = about(asked)
    assert predicted.startswith("would run") and "is of other predictions" in why
    assert packaged.startswith("would run")
    plan()
    assert about(asked) == DONE


def test_an_ensemble_of_other_members_is_packaged(asked: Request) -> None:
    fitted("spade2")
    predicted, why, packaged = about(asked)
    assert predicted == DONE[0] and "is of other predictions" in why
    assert packaged.startswith("would run: kit package")


def test_an_archive_that_is_none_of_its_manifest_is_made_again(asked: Request) -> None:
    Path("submissions/compete.zip").write_bytes(b"other bytes")
    _, why, packaged = about(asked)
    assert "no manifest says what it is of" in why and packaged.startswith("would run")


@pytest.mark.slow
def test_images_of_another_layout_are_looked_at_by_kit_predict(asked: Request) -> None:
    """Whether they have changed shows as it makes tiles of them; the archive is theirs or not."""
    for name in ("pictures", "others"):
        write_pictures(Path(name), 3)
    pictures = replace(asked, test=Path("pictures"))
    assert "holds predictions of" in about(pictures)[0]
    made(pictures)
    assert about(pictures) == [
        "would run: kit predict --ensemble compete --input pictures",
        DONE[1],
    ]
    why, predicted, _ = about(replace(asked, test=Path("others")))
    assert "holds predictions of" in why and predicted.endswith("--input others --overwrite")


def test_the_measure_of_the_plan_counts(asked: Request) -> None:
    told = lines(replace(asked, measure="psnr"))
    (line,) = [line for line in told if "which counts" in line]
    assert line.startswith("plan.toml: is for mae, which counts; for psnr first: kit plan --hours")
    assert (
        f"done before: kit fit {' '.join(MEMBERS)} --measure mae --name compete --overwrite" in told
    )
    assert not any("which counts" in line for line in lines(asked))


def test_a_new_member_is_fitted_and_predicted(asked: Request) -> None:
    trainings = tuple(Training(name, TINY) for name in (*MEMBERS, "spade4"))
    write_plan(PLAN, Plan(1.0, "here", 24, "mae", 1, False, 1, False, 0, trainings))
    told = lines(asked)
    assert (
        "ensembles/compete.json: was fitted without spade4, which is not what is asked for: "
        "made again"
    ) in told
    names = " ".join((*MEMBERS, "spade4"))
    assert f"would run: kit fit {names} --measure mae --name compete --overwrite" in told
    assert f"would run: kit validate {names} --measure mae" in told
