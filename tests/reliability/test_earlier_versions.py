"""Folders that earlier versions of the kit wrote are read, and go on where they were.

`tests/data/kit-VERSION.tar.xz` holds what that version wrote of a small world: work (with a pack),
a run of p2phd1 that was interrupted after its first epoch, an engine, predictions, submissions;
since 0.2.0 the configuration and metrics of a run of spade4 too. A fitted ensemble of 0.5.0, and
the run that it is of, are in an archive of their own. `tests/data/make_release.py` makes that of
the next release, and so what this version writes, which is tried likewise.
"""

import contextlib
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import kit
from kit.cli.main import app
from kit.engines.request import Request
from kit.errors import BusyError, InputError
from kit.pairs.table import read_pairs
from kit.runs.folder import read_variant
from kit.runs.heldout import read_heldout
from kit.runs.notes import read_notes
from kit.runs.records import read_records
from kit.screening.table import read_screened
from kit.sources.index import find_image
from kit.submission.leaderboard import leaderboard
from kit.submission.reproduce import reproduce
from kit.training.checkpoint import checkpoints
from kit.training.validation import read_validation
from kit.verification.verify import verify
from tests.data.make_release import EAGER, FITTING, KEPT, NOTE, make
from tests.helpers.sources import write_pictures
from tests.helpers.tiles import key, optical, radar

DATA = Path(__file__).parents[1] / "data"
RUN = Path("runs/p2phd1")
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0")
NOW = pytest.param(kit.__version__, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[*VERSIONS, NOW])
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a version, in a folder of its name."""
    root = tmp_path_factory.mktemp("earlier") / request.param
    if request.param not in VERSIONS:
        pytest.importorskip("openvino")
        root.mkdir()
        with contextlib.chdir(root):
            make()
        return root
    for path in DATA.glob(f"kit-{request.param}*.tar.xz"):
        with tarfile.open(path) as archive:
            archive.extractall(root, filter="data")
    for place in (40, 41):
        radar(root / "test", key(place))
        optical(root / "truth", key(place, 1))
    return root


@pytest.fixture
def earlier(unpacked: Path, tmp_path: Path) -> str:
    """A version, a copy of whose folders is in the current one."""
    shutil.copytree(unpacked, tmp_path, dirs_exist_ok=True)
    os.chdir(tmp_path)
    return unpacked.name


def test_tables_are_read(earlier: str) -> None:
    pairs = read_pairs(Path("work/pairs.parquet"))
    assert [pair.split for pair in pairs].count("holdout") == 1
    assert len(pairs) == 8 and all(pair.dataset2 for pair in pairs)
    assert len(list(read_screened(Path("work/scenes.parquet")))) == 16


@pytest.mark.slow
def test_a_run_is_validated_from_its_pack_and_resumed(earlier: str) -> None:
    (row,) = (row for row in kit.validate() if not row.is_baseline)
    (said,) = {record["holdout_mae"] for record in read_records(RUN) if "holdout_mae" in record}
    assert row.scores.mae == pytest.approx(said, rel=1e-4)
    variant = read_variant(RUN)
    notes: list[str] = []
    run = kit.train(variant, watch=lambda record: notes.append(record.get("note", "")))
    assert run.steps == 6
    stopped = 3 if earlier == "0.1.0" else 4
    assert f"resuming from step {stopped}" in notes
    steps = [record["step"] for record in read_records(RUN)]
    assert steps == sorted(steps) and steps[-1] == 6


def test_a_run_of_spade_has_the_spectral_norm_that_it_was_trained_with(earlier: str) -> None:
    found = [read_variant(path.parent) for path in Path("runs").glob("*/config.json")]
    assert len(found) == (1 if earlier == "0.1.0" else 2)
    rule = "torch" if earlier in ("0.1.0", "0.2.0") else "published"
    assert {variant.spectral_norm for variant in found} == {rule}


def test_a_damaged_checkpoint_of_it_gives_way_to_the_one_before(earlier: str) -> None:
    newest, *before = checkpoints(RUN / "checkpoints")
    (newest / "generator.safetensors").write_bytes(b"")
    variant = read_variant(RUN)
    if not before:
        with pytest.raises(InputError, match=r"generator\.safetensors"):
            kit.train(variant)
        return
    notes: list[str] = []
    kit.train(variant, watch=lambda record: notes.append(record.get("note", "")))
    assert any(note.startswith(f"skipping checkpoint {newest}") for note in notes)
    assert "resuming from step 3" in notes


def test_status_names_it(earlier: str, capsys: pytest.CaptureFixture[str]) -> None:
    app(["status", "--json"], standalone_mode=False)
    first, *others = json.loads(capsys.readouterr().out)
    assert (first["variant"], first["step"], first["steps"]) == ("p2phd1", 3, 6)
    assert [run["variant"] for run in others] == (["spade4"] if earlier != "0.1.0" else [])


def test_predictions_are_packaged_and_reproduced(earlier: str) -> None:
    before = json.loads(Path("submissions/p2phd1.json").read_text())
    found = reproduce(
        Path("submissions/p2phd1.json"),
        predictions=Path("predictions"),
        runs=Path("runs"),
        work=Path("work"),
    )
    assert not found.entries
    assert found.versions.get("kit", (earlier, earlier)) == (earlier, kit.__version__)
    again = kit.package(layout="plain", name="again", truth="truth")
    assert kit.score("submissions/p2phd1.zip", "truth").rows[-1].scores.n == 2
    if "zlib" in found.versions:
        pytest.skip("zlib is another here, and packs the same images in other bytes")
    assert found.same and again.sha256 == before["sha256"]


def test_nothing_of_it_is_damaged(earlier: str) -> None:
    found = verify([name for name in KEPT if Path(name).exists()])
    again = [each.path for each in found.damaged if "measures this part again" in each.remedy]
    assert len(found.damaged) == len(again) == (2 if earlier in ("0.1.0", "0.2.0") else 0)
    assert bool(found.unsealed) == bool(again)
    assert earlier in VERSIONS or all(Path(name).exists() for name in KEPT)


def test_an_ensemble_that_it_fitted_predicts(earlier: str) -> None:
    if not FITTING.exists():
        pytest.skip(f"the folders of {earlier} have none")
    run = FITTING / RUN
    assert [note.text for note in read_notes(run)] == [NOTE]
    assert {each.name for each in read_validation(run.parent).scored} >= {"p2phd1"}
    assert len(read_heldout(run / "heldout").images) == 4
    where = {name: FITTING / name for name in ("runs", "work", "ensembles")}
    kit.predict("fitted", "test", predictions="now", request=EAGER, **where)
    assert len(list(Path("now/p2phd1").glob("*.npy"))) == 2


def test_its_tiles_of_images_are_gone_on_with(earlier: str) -> None:
    if not Path("converted").exists():
        pytest.skip(f"the folders of {earlier} have none")
    index = Path("converted/tiles/index.csv")
    before = index.read_bytes()
    kit.prepare(write_pictures(Path("pictures"), places=4, test=1), "converted", holdout=1)
    assert find_image(Path("converted"), "trainA/0.png")
    assert index.read_bytes().splitlines()[0] == before.splitlines()[0]


def test_the_leaderboard_is_read(earlier: str) -> None:
    (row,) = leaderboard(Path("submissions")).rows
    assert (row.name, row.leaderboard) == ("p2phd1", 0.03)


def test_its_weights_predict_what_they_predicted(earlier: str) -> None:
    with pytest.raises(BusyError, match=r"holds predictions of .*\n  give --overwrite"):
        kit.predict("p2phd1", "test", request=EAGER)
    kit.predict("p2phd1", "test", predictions="now", request=EAGER)
    for place in (40, 41):
        then, now = (np.load(f"{name}/p2phd1/{key(place)}.npy") for name in ("predictions", "now"))
        # OpenVINO in float32 then, eager PyTorch now.
        np.testing.assert_allclose(now.astype(int), then, atol=3)


@pytest.mark.engine
@pytest.mark.slow  # seconds to build one
def test_an_engine_is_used_or_built_again(earlier: str) -> None:
    pytest.importorskip("openvino")
    request = Request("openvino", "float32")
    kit.predict("p2phd1", "test", predictions="now", request=request)
    manifest = json.loads(Path("now/p2phd1/manifest.json").read_text())
    assert manifest["engines"][0]["name"] == "openvino"
