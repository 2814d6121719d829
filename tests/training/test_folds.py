"""Runs of folds: what they hold out, how they resume, and what they predict of it."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kit.cli.console
import kit.training.heldout_images
from kit.averaging import average
from kit.cli.validation import _show_validation
from kit.engines.request import Request
from kit.errors import BusyError, InputError
from kit.inputs.planes import InputPlanes
from kit.metrics import Scores, mae
from kit.pairs.prepare import prepare
from kit.pairs.table import holdout_pairs, read_pairs, train_pairs, write_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.predict import predict
from kit.runs.ensemble import expand, scored_runs
from kit.runs.folder import read_division, read_variant
from kit.runs.heldout import HELDOUT, check_heldout, read_heldout, write_heldout
from kit.runs.status import status
from kit.runs.training_pairs import read_training_pairs, write_training_pairs
from kit.runs.weights import load_run
from kit.scaling import quantize
from kit.storage.files import sha256
from kit.storage.seal import write_record
from kit.submission.package import package
from kit.submission.reproduce import reproduce
from kit.training.evaluate import predict_batch
from kit.training.heldout import heldout, kept
from kit.training.table1 import Row
from kit.training.train import train
from kit.training.train_all import train_all
from kit.training.validate import validate
from kit.variants.registry import find_variant
from kit.variants.settings import Variant, as_fold
from tests.helpers.folders import copy_of
from tests.helpers.sealed import rewrite
from tests.helpers.tiles import world
from tests.helpers.variants import tiny

pytestmark = pytest.mark.xdist_group("folds")

WORK, RUNS = Path("work"), Path("runs")
FOLDS = 2


def fold(number: int, *settings: str) -> Variant:
    return as_fold(tiny("p2phd1", "epochs=1", "decay_epochs=0", *settings), number, FOLDS)


@pytest.fixture(scope="module")
def folds_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with work/ and runs/ of both folds of p2phd1."""
    root = tmp_path_factory.mktemp("folds")
    shutil.copytree(trained_once / "work", root / "work")
    for number in range(1, FOLDS + 1):
        train(fold(number), work=root / "work", runs=root / "runs")
    return root


@pytest.fixture
def folds(folds_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of `folds_once` to work in, as the current folder."""
    with copy_of(folds_once, tmp_path / "folds") as root:
        yield root


def test_every_training_pair_is_held_out_by_one_run_that_names_it(folds: Path) -> None:
    pairs = read_pairs(WORK / "pairs.parquet")
    known = [read_training_pairs(RUNS / f"p2phd1.fold{number}") for number in (1, 2)]
    held = [scene for each in known if each for scene in each.held]
    assert sorted(held) == sorted(str(pair.optical) for pair in train_pairs(pairs, 1))
    outside = {str(pair.optical) for pair in holdout_pairs(pairs)}
    for each in known:
        assert each and not {*each.held, *outside}.intersection(each.optical)


def test_a_run_of_one_fold_is_as_before(trained_once: Path) -> None:
    run = trained_once / "runs" / "p2phd1"
    assert set(json.loads((run / "config.json").read_text())) == {
        "format", "variant", "pairs_sha256", "pixels_sha256", "check",
    }  # fmt: skip
    assert set(json.loads((run / "pairs.json").read_text())) == {
        "format", "radar", "optical", "run", "pairs_sha256", "check",
    }  # fmt: skip
    known = read_training_pairs(run)
    assert known and known.held == ()


def test_a_name_means_its_folds_or_else_its_own_run(folds: Path, trained_once: Path) -> None:
    told: list[str] = []
    names = ("p2phd1.fold1", "p2phd1.fold2")
    assert expand(RUNS, "p2phd1", told.append) == names
    assert expand(RUNS, "p2phd1.fold2", told.append) == names[1:]
    assert not told
    shutil.copytree(trained_once / "runs" / "p2phd1", RUNS / "p2phd1")
    assert expand(RUNS, "p2phd1", told.append) == ("p2phd1",)
    assert told == ["p2phd1: the run of this name is used, and not its 2 folds"]
    # Where nothing is held out, the run itself was trained on what its folds are scored by.
    assert scored_runs(RUNS, "p2phd1", holdout=True) == ("p2phd1",)
    assert scored_runs(RUNS, "p2phd1", holdout=False, report=told.append) == names
    assert told[1:] == ["p2phd1: scored by its 2 folds; the run of all pairs predicts"]
    assert scored_runs(RUNS, "spade2", holdout=False) == ("spade2",)
    (RUNS / "p2phd1" / "weights.safetensors").unlink()
    lost = "p2phd1: the run of this name has no weights, so its 2 folds are used; to go on"
    for holdout in (True, False):
        told.clear()
        assert scored_runs(RUNS, "p2phd1", holdout=holdout, report=told.append) == names
        (line,) = told
        assert line.startswith(lost) and "kit train p2phd1" in line


def test_a_fold_that_is_missing_is_named_with_its_command(folds: Path) -> None:
    shutil.rmtree(RUNS / "p2phd1.fold1")
    with pytest.raises(InputError, match="lacks 1 of 2 folds of p2phd1: 1") as error:
        expand(RUNS, "p2phd1")
    assert "kit train p2phd1 --fold 1/2" in error.value.remedy


@pytest.mark.slow
def test_folds_of_two_divisions_are_not_mixed(folds: Path) -> None:
    groups = group_table(Path("groups.csv"))
    shutil.rmtree(RUNS / "p2phd1.fold2")
    train(fold(2), work=WORK, runs=RUNS, groups=groups)
    with pytest.raises(
        InputError, match=r"fold2: was trained in folds otherwise than p2phd1.fold1"
    ):
        expand(RUNS, "p2phd1")
    shutil.rmtree(RUNS / "p2phd1.fold2")
    train(as_fold(tiny("p2phd1"), 3, 3), work=WORK, runs=RUNS)
    with pytest.raises(InputError, match="some are of 2 and 3"):
        expand(RUNS, "p2phd1")


@pytest.mark.slow
def test_folds_of_other_settings_are_not_mixed_and_status_shows_them(folds: Path) -> None:
    train(fold(2, "seed=1", "clip=0"), work=WORK, runs=RUNS, overwrite=True)
    assert expand(RUNS, "p2phd1") and not any(run.differs for run in status(RUNS))
    train(fold(2, "target=minmax", "width=4"), work=WORK, runs=RUNS, overwrite=True)
    problem = "was trained with width=4 target=minmax, but p2phd1.fold1 with width=2 target=reflec"
    for use in (
        lambda: heldout(RUNS, "p2phd1", WORK),
        lambda: validate(["p2phd1"]),
        lambda: predict("p2phd1", Path("test"), runs=RUNS),
    ):
        with pytest.raises(InputError, match=problem):
            use()
    assert [run.differs for run in status(RUNS)] == [
        {"width": 2, "target": "reflectance"},
        {"width": 4, "target": "minmax"},
    ]


@pytest.mark.slow
def test_a_run_of_the_name_of_folds_that_is_none_of_theirs_is_refused(folds: Path) -> None:
    own = tiny("p2phd1", "width=4", "epochs=1", "decay_epochs=0")
    train(own, work=WORK, runs=RUNS)
    problem = r"was trained with width=4, but p2phd1\.fold1 with width=2"
    for holdout in (True, False):
        with pytest.raises(InputError, match=problem) as error:
            scored_runs(RUNS, "p2phd1", holdout=holdout)
    assert "move its folds away (p2phd1.fold*), or the run itself" in error.value.remedy
    assert "or train it again: kit train p2phd1 --set width=2 " in error.value.remedy
    shown = {each.variant: each.differs for each in status(RUNS)}
    assert shown["p2phd1"] != shown["p2phd1.fold1"], "as kit status shows"
    with pytest.raises(InputError, match=problem):
        expand(RUNS, "p2phd1")
    prepare_others()
    train(tiny("p2phd1"), work="others", runs=RUNS, overwrite=True)
    with pytest.raises(InputError, match=r"was trained on other pairs than p2phd1\.fold1"):
        expand(RUNS, "p2phd1")


def prepare_others() -> None:
    """A table of all pairs but one, in `others/`."""
    Path("others").mkdir()
    write_pairs(Path("others") / "pairs.parquet", read_pairs(WORK / "pairs.parquet")[1:])


def test_a_fold_resumes_with_its_own_groups_only(folds: Path) -> None:
    groups = group_table(Path("groups.csv"))
    with pytest.raises(BusyError, match="started with no groups"):
        train(fold(1), work=WORK, runs=RUNS, groups=groups)
    other = fold(1, "name=other")
    train(other, work=WORK, runs=RUNS, groups=groups)
    division = read_division(RUNS / "other.fold1")
    assert division and division.groups == "groups.csv" and division.groups_sha256
    with pytest.raises(BusyError, match=r"started with the groups of groups.csv"):
        train(other, work=WORK, runs=RUNS)
    again = Path("again.csv")
    title, *lines = groups.read_text().splitlines()
    again.write_text("\n".join([title, *reversed(lines)]))
    train(other, work=WORK, runs=RUNS, groups=again)
    again.write_text(groups.read_text().replace(",a\n", ",b\n", 1))
    with pytest.raises(BusyError, match=r"other groups than those of again.csv"):
        train(other, work=WORK, runs=RUNS, groups=again)


def test_groups_without_a_fold_are_refused(folds: Path) -> None:
    with pytest.raises(InputError, match="groups are for several folds"):
        train(tiny("p2phd1"), work=WORK, runs=RUNS, groups=group_table(Path("groups.csv")))


def test_status_says_how_a_fold_goes_on(folds: Path) -> None:
    shutil.rmtree(RUNS / "p2phd1.fold1/checkpoints")
    shutil.copytree(RUNS / "p2phd1.fold2", RUNS / "p2phd1.fold10")
    found = status(RUNS)
    assert [run.variant for run in found] == ["p2phd1.fold1", "p2phd1.fold2", "p2phd1.fold10"]
    assert found[0].command.startswith("kit train p2phd1 --set width=2 ")
    assert found[0].command.endswith(" --fold 1/2")


def test_train_all_trains_each_fold_of_each_variant(tmp_path: Path, monkeypatch) -> None:
    begun: list[tuple[list[str], str]] = []

    def start(command: list[str], folder: Path, *_: object) -> subprocess.Popen[bytes]:
        begun.append((command, folder.name))
        return subprocess.Popen(["true"])

    monkeypatch.setattr(kit.training.train_all, "_start", start)
    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.chdir(tmp_path)
    Path("groups.csv").write_text("lon,lat,group\n1,2,a\n")
    outcomes = train_all(
        ("spade2", "p2phd1"), folds=2, groups=Path("groups.csv"), work=tmp_path, runs=tmp_path,
        report=lambda _: None,
    )  # fmt: skip
    names = ["spade2.fold1", "spade2.fold2", "p2phd1.fold1", "p2phd1.fold2"]
    assert [each.variant for each in outcomes] == names == [name for _, name in begun]
    for (command, _), number in zip(begun, "1212", strict=True):
        at = command.index("--fold")
        assert command[at : at + 4] == ["--fold", f"{number}/2", "--groups", "groups.csv"]


@pytest.mark.parametrize(
    ("folds", "table", "problem"), [(1, "groups.csv", "several folds"), (5, "none.csv", "no such")]
)
def test_groups_that_no_training_can_use_start_nothing(
    tmp_path: Path, monkeypatch, folds: int, table: str, problem: str
) -> None:
    monkeypatch.setattr(kit.training.train_all, "_start", lambda *_: pytest.fail("started"))
    (tmp_path / "groups.csv").write_text("lon,lat,group\n1,2,a\n")
    with pytest.raises(InputError, match=problem):
        train_all(
            ("spade2",), folds=folds, groups=tmp_path / table, work=tmp_path, runs=tmp_path,
            report=lambda _: None,
        )  # fmt: skip


def test_a_fold_is_one_of_its_number() -> None:
    spade2 = find_variant("spade2")
    assert as_fold(spade2, 1, 1) == spade2
    fifth = as_fold(spade2, 5, 5)
    assert (fifth.name, fifth.folds, fifth.fold, fifth.base_name) == (
        "spade2.fold5",
        5,
        5,
        "spade2",
    )
    for wrong in ((0, 5), (6, 5), (1, 0)):
        with pytest.raises(InputError, match="there is no fold"):
            as_fold(spade2, *wrong)
    with pytest.raises(InputError, match="is a fold already"):
        as_fold(fifth, 1, 5)
    with pytest.raises(InputError, match="--fold 2/5"):
        find_variant("spade2", ["folds=5", "fold=2"])


def test_each_pair_is_predicted_by_the_fold_that_held_it_out(folds: Path) -> None:
    found = heldout(RUNS, "p2phd1", WORK)
    pairs = read_pairs(WORK / "pairs.parquet")
    held = {str(pair.optical) for pair in holdout_pairs(pairs)}
    clear = [pair for pair in pairs if pair.dataset2 and pair.split in ("train", "holdout")]
    assert found.scenes == tuple(str(pair.optical) for pair in clear)
    assert found.runs == ("p2phd1.fold1", "p2phd1.fold2") and found.target == "reflectance"
    planes = InputPlanes(tiny("p2phd1"))
    generators = {name: load_run(RUNS, name).generator for name in found.runs}
    known = {name: read_training_pairs(RUNS / name) for name in found.runs}
    for pair in clear:
        scene = str(pair.optical)
        own = [name for name, each in known.items() if scene not in each.optical]
        if scene not in held:
            own = [name for name in own if scene in known[name].held]
        assert len(own) == (FOLDS if scene in held else 1)
        images = [
            quantize(predict_batch(generators[name], planes, TilePairs(), [pair])[0][0])
            for name in own
        ]
        # Batches of another size change the last digits.
        assert np.abs(found.image(scene).astype(int) - average(images)).max() <= 2
    truth = found.truth(found.scenes[0], "reflectance")
    assert truth.shape == found.image(found.scenes[0]).shape
    assert mae(found.image(found.scenes[0]) / 65535, truth) < 1


def test_a_run_without_folds_has_the_hold_out_alone(trained: Path) -> None:
    found = heldout(RUNS, "spade2", WORK)
    assert len(found.scenes) == 6 and found.runs == ("spade2",)
    check_heldout(RUNS / "spade2" / HELDOUT)


def test_what_is_there_is_read_and_what_is_not_is_made(folds: Path, monkeypatch) -> None:
    first = heldout(RUNS, "p2phd1", WORK)
    before = {scene: first.image(scene).copy() for scene in first.scenes}
    made: list[int] = []

    def counted(generator, planes, reader, batch):
        made.append(len(batch))
        return predict_batch(generator, planes, reader, batch)

    monkeypatch.setattr(kit.training.heldout_images, "predict_batch", counted)
    heldout(RUNS, "p2phd1", WORK)
    assert not made
    told: list[str] = []
    path = first.files[first.scenes[0]][0][0]
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(InputError, match="checksum"):
        first.image(first.scenes[0])
    with pytest.raises(InputError, match="checksum"):
        check_heldout(path.parent)
    again = heldout(RUNS, "p2phd1", WORK, report=told.append)
    assert len(made) == 1 and "made again" in told[0]
    assert all(np.array_equal(again.image(scene), before[scene]) for scene in before)


def test_what_is_kept_is_read_and_nothing_is_made(folds: Path) -> None:
    for run in RUNS.glob("p2phd1.fold*"):
        shutil.rmtree(run / HELDOUT, ignore_errors=True)
    assert kept(RUNS, "p2phd1", WORK) is None and not [*RUNS.glob(f"p2phd1.*/{HELDOUT}")]
    made = heldout(RUNS, "p2phd1", WORK)
    found = kept(RUNS, "p2phd1", WORK)
    assert found and (found.files, found.weights) == (made.files, made.weights)
    at = RUNS / "p2phd1.fold1" / HELDOUT
    record = read_heldout(at)
    write_heldout(at, replace(record, weights_sha256="of other weights"))
    assert kept(RUNS, "p2phd1", WORK) is None
    assert record.inputs
    scene = next(iter(record.images))
    write_heldout(at, replace(record, inputs=record.inputs | {scene: "of another window"}))
    assert kept(RUNS, "p2phd1", WORK) is None
    told: list[str] = []
    assert heldout(RUNS, "p2phd1", WORK, report=told.append).files == made.files
    assert told == [f"{at}: 1 image of other scenes than now; predicted again"]
    assert read_heldout(at) == record
    write_heldout(at, replace(record, inputs=None))  # as kits before 0.6.0 did
    assert kept(RUNS, "p2phd1", WORK)


@pytest.mark.slow
def test_other_weights_make_all_again(folds: Path) -> None:
    told: list[str] = []
    before = heldout(RUNS, "p2phd1", WORK)
    images = [before.image(scene).copy() for scene in before.scenes]
    shutil.move(RUNS / "p2phd1.fold1" / HELDOUT, "kept")
    train(fold(1, "seed=1"), work=WORK, runs=RUNS, overwrite=True)
    shutil.move("kept", RUNS / "p2phd1.fold1" / HELDOUT)
    after = heldout(RUNS, "p2phd1", WORK, report=told.append)
    assert "by other weights" in told[0] and len(told) == 1
    assert after.weights["p2phd1.fold1"] == sha256(RUNS / "p2phd1.fold1/weights.safetensors")
    assert after.weights["p2phd1.fold2"] == before.weights["p2phd1.fold2"]
    same = [np.array_equal(after.image(s), i) for s, i in zip(after.scenes, images, strict=True)]
    assert any(same) and not all(same)


def test_a_pair_that_no_fold_held_out_is_named(folds: Path) -> None:
    path = RUNS / "p2phd1.fold1" / "pairs.json"
    known = read_training_pairs(path.parent)
    assert known
    write_training_pairs(path.parent, zip(known.radar, known.optical, strict=True), known.held[1:])
    with pytest.raises(InputError, match=f"{known.held[0]} is held out by 0 folds of p2phd1"):
        heldout(RUNS, "p2phd1", WORK)


def test_folds_of_another_table_are_refused(folds: Path, trained_once: Path) -> None:
    prepare(trained_once / "data", WORK, seed=3)
    with pytest.raises(InputError, match="folds of other pairs"):
        heldout(RUNS, "p2phd1", WORK)


@pytest.mark.slow
def test_without_a_hold_out_each_fold_validates_on_its_own(trained: Path) -> None:
    prepare(Path("data"), WORK, holdout=0)
    done = train(fold(1, "name=own"), work=WORK, runs=RUNS)
    assert done.mae is not None


def own_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows without those of baselines."""
    return [row for row in rows if not row.is_baseline]


def group_table(path: Path) -> Path:
    places = sorted({pair.place for pair in read_pairs(WORK / "pairs.parquet")})
    lines = [f"{lon},{lat},{'ab'[number % 2]}" for number, (lon, lat) in enumerate(places)]
    path.write_text("\n".join(["lon,lat,group", *lines]) + "\n")
    return path


def test_a_variant_is_predicted_by_all_its_folds(folds: Path, trained_once: Path) -> None:
    told: list[str] = []
    found = predict(
        "p2phd1",
        trained_once / "test",
        runs=RUNS,
        request=Request("eager", "float32"),
        report=told.append,
    )
    assert found.members == ("p2phd1.fold1", "p2phd1.fold2") and found.scenes == 2
    made = package(layout="plain")
    assert made.archive.name == "p2phd1.zip" and not made.notes
    assert reproduce(made.manifest, predictions=Path("predictions"), runs=RUNS).same
    shutil.copytree(trained_once / "runs" / "spade2", RUNS / "spade2")
    predict(
        "spade2,p2phd1",
        trained_once / "test",
        runs=RUNS,
        request=Request("eager", "float32"),
        report=told.append,
    )
    assert "p2phd1 has 2 folds, spade2 1" in told


def test_a_small_hold_out_is_validated_more_often_unless_the_user_says_how_often() -> None:
    variant = find_variant("spade2")
    assert [variant.with_validations(n).validations for n in (0, 8, 49, 50, 1000)] == [
        10, 20, 20, 10, 10,
    ]  # fmt: skip
    mine = find_variant("spade2", ["validations=3"])
    assert mine.with_validations(8).validations == 3
    assert variant.total_validations == 10


def test_a_run_resumes_with_the_validations_that_it_was_started_with(folds: Path) -> None:
    old = json.loads((RUNS / "p2phd1.fold1" / "config.json").read_text())
    assert old["variant"]["validations"] == 20
    old["variant"]["validations"] = 10
    record = {key: old[key] for key in ("variant", "pairs_sha256", "division")}
    write_record(RUNS / "p2phd1.fold1" / "config.json", 2, record)
    for path in (RUNS / "p2phd1.fold1" / "checkpoints").glob("*/state.json"):
        rewrite(path, without=("config",))  # as kits before 0.6.0 did
    told: list[dict] = []
    train(fold(1), work=WORK, runs=RUNS, watch=told.append)
    assert not any("earlier kit" in record.get("note", "") for record in told)
    assert read_variant(RUNS / "p2phd1.fold1").validations == 10
    with pytest.raises(BusyError, match="validations=10, not 5"):
        train(fold(1, "validations=5"), work=WORK, runs=RUNS)


def test_folds_are_validated_on_what_each_held_out_and_on_the_hold_out(folds: Path) -> None:
    rows = own_rows(validate())
    assert [(row.variant, str(row.part), row.scores.n) for row in rows] == [
        ("p2phd1", "Hold-out, unseen places", 6),
        ("p2phd1", "Out of fold, unseen places", 24),
    ]
    found = heldout(RUNS, "p2phd1", WORK)
    pairs = read_pairs(WORK / "pairs.parquet")
    for row, those in ((rows[0], holdout_pairs(pairs)), (rows[1], train_pairs(pairs, 2))):
        errors = [
            mae(found.image(str(p.optical)) / 65535, found.truth(str(p.optical), "reflectance"))
            for p in those
        ]
        assert row.scores.mae == pytest.approx(np.mean(errors), abs=1e-6)
        low, high = row.interval
        assert low < row.scores.mae < high and row.places == len(those)


@pytest.mark.slow
def test_a_run_beside_folds_is_scored_on_the_hold_out_alone(
    folds: Path, trained_once: Path
) -> None:
    shutil.copytree(trained_once / "runs" / "spade2", RUNS / "spade2")
    rows = own_rows(validate(["spade2", "p2phd1"]))
    assert [row.variant for row in rows] == ["spade2", "p2phd1", "p2phd1"]
    behind = [row.behind for row in rows[:2]]
    assert [each is None for each in behind].count(True) == 1
    worse, low, high = next(each for each in behind if each)
    assert worse == pytest.approx(abs(rows[0].scores.mae - rows[1].scores.mae))
    assert low <= worse <= high


@pytest.mark.slow
def test_the_kinds_of_hold_out_are_tables_of_their_own(trained_once: Path, tmp_path: Path) -> None:
    world(tmp_path / "data", places=20, dates=3)
    work, runs = tmp_path / "work", tmp_path / "runs"
    prepare(tmp_path / "data", work, split_by="both")
    train(tiny("p2phd1", "epochs=1", "decay_epochs=0"), work=work, runs=runs)
    rows = own_rows(validate(work=work, runs=runs))
    assert [(row.variant, row.part.kind, row.scores.n) for row in rows] == [
        ("p2phd1", "unseen places", 6),
        ("p2phd1", "unseen dates of seen places", 6),
    ]


def test_a_hold_out_that_is_too_small_to_decide_says_so(monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(kit.cli.console, "write", told.append)
    monkeypatch.setattr("kit.cli.next_step.flips_help", lambda *_: False)
    scores = Scores(0.1, 0.01, 20, 20, 8)
    best = Row("a", "reflectance", scores, None, places=8, interval=(0.05, 0.15))
    worse = replace(best, variant="b", behind=(0.002, -0.001, 0.004))
    decided = replace(best, variant="c", behind=(0.01, 0.004, 0.02))
    _show_validation([best, worse, decided], "mae", Path("runs"))
    assert told[0] == (
        "8 pairs of 8 places are too few to tell b from the best: mae is worse by 0.002, "
        "95 % interval -0.001 to 0.004"
    )
    assert len(told) == 2 and "next" in told[1]


@pytest.mark.parametrize(("places", "pairs"), [(3, "8 pairs of 3 places"), (1, "8 pairs of 1 pla")])
def test_too_few_places_to_decide_are_said_once(places: int, pairs: str, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(kit.cli.console, "write", told.append)
    monkeypatch.setattr("kit.cli.next_step.flips_help", lambda *_: False)
    best = Row("a", "reflectance", Scores(0.1, 0.01, 20, 20, 8), None, places=places)
    worse = replace(best, variant="b", behind=(0.01, 0.004, 0.02) if places > 1 else None)
    _show_validation([best, worse, replace(worse, variant="c")], "mae", Path("runs"))
    assert told[0].startswith(pairs)
    assert told[0].endswith(": too few places to tell one run from another")
    assert len(told) == 2 and "next" in told[1]
    told.clear()
    _show_validation([best, replace(worse, is_baseline=True)], "mae", Path("runs"))
    assert len(told) == 1  # a single run is behind no other
