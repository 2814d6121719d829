"""Member predictions: complete, finite, made once, never mixed."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import kit.prediction.predict
from kit.engines.choose import choose
from kit.engines.engine import Engine
from kit.engines.request import Request
from kit.errors import BusyError, CheckError, InputError
from kit.models.infer import infer
from kit.pairs.table import fingerprint, read_pairs
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.prediction.manifest import difference, read_manifest
from kit.prediction.members import read_member, read_members
from kit.prediction.predict import Prediction, predict
from kit.runs.seen import TrainingPairs
from kit.runs.weights import Weights, load_run, save_weights
from kit.scaling import scale_radar
from kit.submission.package import package
from kit.tiles.bands import read_bands
from kit.tiles.names import SceneKey, TileName
from kit.tiles.tiff import write_tile
from kit.training.train import train
from tests.helpers.predictions import stop_writing
from tests.helpers.tiles import in_float16, key, moved, radar, read_tile
from tests.helpers.variants import tiny

MEMBERS = ("spade4", "spade2", "p2phd1")


def run(ensemble: str = "submission2", data: str = "test", **settings) -> Prediction:
    return predict(
        ensemble, Path(data), runs=Path("runs"), predictions=Path("predictions"), **settings
    )


def images() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path("predictions").rglob("*.npy")}


def test_every_scene_by_every_member(trained: Path) -> None:
    told: list[tuple[int, int]] = []
    result = run(advance=lambda done, total, words="": told.append((done, total)))
    assert (result.members, result.scenes, result.done, result.skipped) == (MEMBERS, 2, 6, 0)
    assert told[-1] == (6, 6)
    last = json.loads(Path("predictions/last.json").read_text())
    said = {"ensemble": "submission2", "members": list(MEMBERS), "rejected": []}
    assert last.items() >= said.items() and last.keys() - said.keys() == {"format", "check"}
    for member in read_members(Path("predictions"), MEMBERS):
        assert set(member.scenes) == {str(key(40)), str(key(41))}
        image = member.load(str(key(40)))
        assert image.dtype == np.uint16 and image.shape == (3, 32, 32)
        weights = load_run(Path("runs"), member.variant)
        assert member.weights_sha256 == weights.sha256
        paths = [Path(f"test/sent1/Sentinel1_{band}_{key(40)}.tiff") for band in ("VV", "VH")]
        sar = scale_radar(read_bands("Sentinel1", paths))
        expected = infer(weights.generator, sar[None])[0]
        np.testing.assert_allclose(image / 65535, expected, atol=1e-5)


def manifest(member: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"predictions/{member}/manifest.json").read_text())
    return found


def test_the_manifest_says_what_the_weights_were_trained_on_and_what_ran_them(
    trained: Path,
) -> None:
    run("spade2")
    found = manifest("spade2")
    assert found["pairs_sha256"] == fingerprint(read_pairs(Path("work/pairs.parquet")))
    (engine,) = found["engines"]
    assert (engine["name"], engine["precision"]) == ("eager", "float32")
    assert engine["version"] == f"torch {torch.__version__}"
    assert engine["device"].startswith("CPU") or torch.cuda.is_available()


def test_weights_without_their_run_do_without_its_data(trained: Path) -> None:
    Path("runs/spade2/config.json").unlink()
    run("spade2")
    assert manifest("spade2")["pairs_sha256"] is None
    Path("runs/spade2/config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json"):
        run("spade2")


def test_every_engine_that_took_part_is_listed(trained: Path, monkeypatch) -> None:
    run("spade2")
    first = manifest("spade2")["engines"]
    monkeypatch.setattr(Engine, "describe", lambda self: {"name": "another"})
    run("spade2")
    assert manifest("spade2")["engines"] == first
    radar(Path("test"), key(42))
    run("spade2")
    assert manifest("spade2")["engines"] == [*first, {"name": "another"}]
    run("spade2", overwrite=True)
    assert manifest("spade2")["engines"] == [{"name": "another"}]
    newer = {"engines", "format", "check"}
    older = {name: value for name, value in manifest("spade2").items() if name not in newer}
    Path("predictions/spade2/manifest.json").write_text(json.dumps(older))
    run("spade2")
    assert manifest("spade2")["engines"] == [{"name": "unknown"}]


def test_what_is_done_is_not_done_again(trained: Path) -> None:
    run("spade2")
    before = images()
    radar(Path("test"), key(42))
    result = run("spade2,p2phd1")
    assert (result.scenes, result.done, result.skipped) == (3, 4, 2)
    assert before.items() <= images().items()


def test_an_interrupted_prediction_ends_with_the_same_bytes(trained: Path, monkeypatch) -> None:
    run("spade2")
    whole = {path.name: path.read_bytes() for path in Path("predictions/spade2").glob("*.npy")}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_writing(patch, 1, KeyboardInterrupt())
        run("spade2", overwrite=True)
    result = run("spade2")
    assert (result.done, result.skipped) == (1, 1)
    again = {path.name: path.read_bytes() for path in Path("predictions/spade2").glob("*.npy")}
    assert again == whole


def test_changed_tiles_are_predicted_anew(trained: Path) -> None:
    run("spade2")
    before = np.load(f"predictions/spade2/{key(40)}.npy")
    name = TileName("Sentinel1", "VV", key(40))
    random = np.random.default_rng(9).normal(-4, 1, (32, 32)).astype(np.float32)
    write_tile(Path("test/sent1"), name, random)
    result = run("spade2")
    assert (result.done, result.skipped) == (1, 1)
    assert not np.array_equal(np.load(f"predictions/spade2/{key(40)}.npy"), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nodata_gives_finite_output_and_is_reported(trained: Path, value: float) -> None:
    sar = np.random.default_rng(0).normal(-9, 1, (32, 32)).astype(np.float32)
    sar[:8] = value
    write_tile(Path("test/sent1"), TileName("Sentinel1", "VV", key(40)), sar)
    result = run("spade2")
    assert result.nodata == {str(key(40)): 0.25}
    assert run("spade2").nodata == result.nodata
    assert np.ptp(np.load(f"predictions/spade2/{key(40)}.npy")) > 0


def test_bad_scenes_are_listed_and_cost_only_themselves(trained: Path) -> None:
    radar(Path("test"), key(50), bands=("VV",))
    radar(Path("test"), key(51))
    Path(f"test/sent1/Sentinel1_VH_{key(51)}.tiff").write_bytes(b"II*\0")
    result = run("spade2")
    assert result.scenes == 2
    assert [(item.name, item.kind) for item in result.rejected] == [
        (f"Sentinel1 {key(50)}", "missing band"),
        (f"Sentinel1 {key(51)}", "unreadable"),
    ]
    assert set(read_members(Path("predictions"), ["spade2"])[0].scenes) == {
        str(key(40)), str(key(41)),
    }  # fmt: skip


def test_optical_tiles_beside_the_radar_do_not_matter(trained: Path) -> None:
    Path("test/sent2").mkdir()
    Path(f"test/sent2/Sentinel2_B4_{key(40)}.tiff").touch()
    assert not run("spade2").rejected


def test_tiles_of_any_size_are_predicted(trained: Path) -> None:
    radar(Path("test"), key(50), size=45)
    run("p2phd1")
    assert np.load(f"predictions/p2phd1/{key(50)}.npy").shape == (3, 45, 45)


def test_the_engine_is_for_the_size_of_most_tiles(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    def chosen(weights: Weights, size: tuple[int, int], *rest: Any, **more: Any) -> Engine:
        sizes.append(size)
        return choose(weights, size, *rest, **more)

    monkeypatch.setattr(kit.prediction.predict, "choose", chosen)
    for place in (0, 47):  # the first, in whichever order
        radar(Path("test"), key(place), size=48)
    radar(Path("test"), key(42))
    assert run("p2phd1", on_size=lambda *size: sizes.append(size)).done == 5
    assert sizes == [(32, 32), (32, 32)]


def test_scenes_that_weights_have_seen_are_as_large_as_most_tiles(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (0, 47):  # the first, in whichever order
        radar(Path("test"), key(place), size=48)
    radar(Path("test"), key(42))
    sides: list[int] = []
    monkeypatch.setattr(TrainingPairs, "among", lambda _, scenes, side: sides.append(side) or ())
    run("p2phd1")
    assert sides == [32]


@pytest.mark.slow
def test_predictions_of_other_weights_or_tiles_are_not_mixed(trained: Path) -> None:
    run("p2phd1")
    radar(Path("elsewhere"), key(40))
    with pytest.raises(BusyError, match=r"holds predictions of .*test"):
        run("p2phd1", "elsewhere")
    train(tiny("p2phd1", "seed=1"), work=Path("work"), runs=Path("runs"), overwrite=True)
    before = images()
    with pytest.raises(BusyError, match="other weights") as caught:
        run("p2phd1")
    assert caught.value.exit_code == 5 and images() == before
    assert run("p2phd1", overwrite=True).done == 2


def test_predictions_of_a_folder_that_was_moved_are_kept(trained: Path) -> None:
    run("p2phd1")
    with moved():
        found = run("p2phd1")
        assert (found.done, found.skipped) == (0, 2)
        Path("test").rename("renamed")
        assert run("p2phd1", "renamed").skipped == 2
        shutil.rmtree("renamed")
        radar(Path("other"), key(40), size=45)
        with pytest.raises(BusyError, match=r"holds predictions of .*renamed"):
            run("p2phd1", "other")


def test_a_folder_that_cannot_be_looked_for_is_one_that_is_gone(trained: Path) -> None:
    run("p2phd1")
    found = read_manifest(Path("predictions/p2phd1"), "")
    lost = replace(found, input="/" + 300 * "x")  # an error, as on a disk that was taken away
    assert not difference(lost, found)
    assert "holds predictions" in difference(lost, replace(found, scenes={}))


def test_what_is_advised_over_a_damaged_manifest_makes_all_again(trained: Path) -> None:
    run("p2phd1")
    manifest = Path("predictions/p2phd1/manifest.json")
    manifest.write_text(manifest.read_text()[:-9])
    for then in (lambda: run("p2phd1"), lambda: read_member(manifest.parent)):
        with pytest.raises(InputError, match=r"manifest\.json: not readable.*\n.* --overwrite"):
            then()
    assert run("p2phd1", overwrite=True).done == 2
    assert len(read_member(manifest.parent).scenes) == 2


def test_damaged_weights_are_not_called_other_ones(trained: Path) -> None:
    run("p2phd1")
    path = Path("runs/p2phd1/weights.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-1000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged"):
        run("p2phd1")


def test_no_radar_at_all_is_refused_saying_what_is_missing(trained: Path) -> None:
    radar(Path("half"), key(0), bands=("VH",))
    with pytest.raises(InputError, match=r"no VV(.|\n)*both VV and VH"):
        run("spade2", "half")
    with pytest.raises(InputError, match="no Sentinel-1 tile"):
        run("spade2", "truth")


def test_output_that_is_no_number_is_never_written(trained: Path) -> None:
    weights = load_run(Path("runs"), "p2phd1")
    with torch.no_grad():
        next(weights.generator.parameters()).fill_(3e38)  # finite, but not so its products
    path = Path("runs/p2phd1/weights.safetensors")
    save_weights(path, weights.generator, weights.variant, weights.facts)
    with pytest.raises(CheckError, match="not finite"):
        run("p2phd1")
    assert not images()


def test_a_card_that_is_not_used_is_told(trained: Path, monkeypatch) -> None:
    monkeypatch.setattr(kit.prediction.predict, "unreached", lambda: "the driver is too old")
    told: list[str] = []
    for _ in range(2):  # the second predicts nothing
        run("spade2", report=told.append)
    assert told.count("the driver is too old") == 1


def test_what_engine_is_taken_is_told_once(trained: Path) -> None:
    told: list[str] = []
    run("spade2", report=told.append)
    assert [line for line in told if line.startswith("spade2: eager, as 2 tiles")] == told


def test_an_engine_that_is_asked_for_where_another_has_drawn_is_told(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "describe", lambda self: {"name": "openvino", "precision": "int8"})
        run("spade2")
    for request in (Request("openvino"), Request(precision="int8"), Request()):
        run("spade2", request=request, report=told.append)
    assert not told
    assert run("spade2", request=Request("eager", "float32"), report=told.append).done == 0
    assert told == [
        f"warning: {Path('predictions/spade2')} holds images by openvino in int8; "
        "--overwrite predicts all by eager in float32"
    ]


def test_an_engine_that_cannot_be_had_is_named_though_all_is_drawn(trained: Path) -> None:
    run("spade2")
    with pytest.raises(InputError, match="no such backend"):
        run("spade2", request=Request("openvno"))


def test_untrained_members_are_named_before_any_work(trained: Path) -> None:
    with pytest.raises(InputError, match="kit train spade1"):
        run("spade2,spade1")
    assert not Path("predictions").exists()


def test_a_link_to_nothing_costs_only_its_scene(trained: Path) -> None:
    run("p2phd1")
    for band in ("VV", "VH"):
        Path(f"test/sent1/Sentinel1_{band}_{key(42)}.tiff").symlink_to("/nowhere/at/all.tiff")
    found = run("p2phd1")
    assert (found.scenes, found.skipped) == (2, 2)
    assert [str(key(42)) in item.name for item in found.rejected] == [True]


def test_weights_that_cannot_be_read_claim_no_folder(trained: Path) -> None:
    path = Path("runs/p2phd1/weights.safetensors")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="damaged"):
        run("p2phd1")
    path.write_bytes(whole)
    Path("predictions/p2phd1/done-0.jsonl").write_text('{"engine": {"name": "another"}}\n')
    assert run("p2phd1").done == 2
    assert [engine["name"] for engine in manifest("p2phd1")["engines"]] != ["another"]
    assert len(manifest("p2phd1")["engines"]) == 1


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_tiles_of_the_same_size_and_time_are_told_by_their_content(trained: Path) -> None:
    run("spade2")
    before = images()
    paths = [Path(f"test/sent1/Sentinel1_VV_{key(place)}.tiff") for place in (40, 41)]
    times = paths[0].stat()

    def replace_by(data: bytes) -> Prediction:
        paths[0].unlink()
        paths[0].write_bytes(data)
        os.utime(paths[0], ns=(times.st_atime_ns, times.st_mtime_ns))
        return run("spade2")

    assert replace_by(paths[0].read_bytes()).done == 0
    assert images() == before
    assert replace_by(paths[1].read_bytes()).done == 1
    assert run("spade2").done == 0


@pytest.mark.slow
def test_a_damaged_prediction_is_named_and_predicted_again(trained: Path) -> None:
    run("spade2")
    first, second = sorted(Path("predictions/spade2").glob("*.npy"))
    whole = {path: path.read_bytes() for path in (first, second)}
    written = images()
    for damage in (
        lambda: _flip(first),
        lambda: first.write_bytes(whole[first][:-5]),
        lambda: first.write_bytes(whole[second]),
        lambda: first.write_bytes(b""),
    ):
        damage()
        member = read_members(Path("predictions"), ["spade2"])[0]
        with pytest.raises(InputError, match=rf"{first.name}.*\n  run: kit predict .*again"):
            member.load(first.stem)
        told: list[str] = []
        assert run("spade2", report=told.append).done == 1
        assert any(first.name in line and "predicted again" in line for line in told)
        assert first.read_bytes() == whole[first]
    assert images()[str(second)] == written[str(second)]


@pytest.mark.slow
def test_members_that_saw_other_tiles_are_not_averaged(trained: Path) -> None:
    run("spade2")
    changed = TileName("Sentinel1", "VH", key(40))
    write_tile(
        Path("test/sent1"), changed, np.linspace(-20, -5, 1024, dtype=np.float32).reshape(32, 32)
    )
    run("p2phd1")
    with pytest.raises(InputError, match=r"p2phd1 was predicted from other tiles .* than spade2"):
        read_members(Path("predictions"), ["spade2", "p2phd1"])
    run("spade2")
    assert len(read_members(Path("predictions"), ["spade2", "p2phd1"])) == 2


def test_the_same_tiles_elsewhere_are_the_same(trained: Path) -> None:
    run("spade2")
    for path in Path("test").rglob("*.tiff"):
        path.touch()
    Path("test").rename("moved")
    run("p2phd1", data="moved")
    assert len(read_members(Path("predictions"), ["spade2", "p2phd1"])) == 2


def _rewritten(change: Callable[[NDArray[np.float32]], NDArray[np.float32]], *scenes: str) -> None:
    for scene in scenes:
        for band in ("VV", "VH"):
            name = TileName("Sentinel1", band, SceneKey.parse(scene))
            sar = read_tile(Path("test/sent1") / str(name))
            write_tile(Path("test/sent1"), name, change(sar).astype(np.float32))


def test_tiles_in_linear_power_are_refused_before_anything_is_predicted(trained: Path) -> None:
    _rewritten(lambda db: 10 ** (db / 10), str(key(40)), str(key(41)))
    with pytest.raises(InputError, match=r"test: no radar value is negative(.|\n)*--any-units"):
        run("spade2")
    assert not images()
    assert run("spade2", units="any").doubts == ()


def test_a_scene_that_is_doubtful_is_warned_of(trained: Path) -> None:
    _rewritten(lambda db: db / 10, str(key(41)))
    result = run("spade2")
    assert result.done == 2
    (line,) = result.doubts
    assert line.startswith("1 of 2 radar scenes lie mostly above -3 dB")
    assert run("spade2").doubts == result.doubts  # though nothing is read again
    assert run("spade2", units="any").doubts == ()


def test_tiles_in_float16_are_named(trained: Path) -> None:
    in_float16(*Path("test/sent1").glob(f"Sentinel1_V*_{key(40)}.tiff"))
    told = "1 of 2 radar scenes hold float16, which rounds dB to 0.02"
    with pytest.raises(InputError, match=told):
        run("spade2", units="strict")
    assert not images()
    for done in (2, 0):
        result = run("spade2")
        assert result.done == done
        assert result.doubts == (f"{told}: write float32, if you have the original",)
    assert run("spade2", units="any").doubts == (told,)


def test_strict_ends_at_a_doubt_before_anything_is_predicted(trained: Path) -> None:
    _rewritten(lambda db: db / 10, str(key(41)))
    for _ in range(2):
        with pytest.raises(InputError, match="test: 1 of 2 radar scenes lie mostly above -3 dB"):
            run("spade2", units="strict")
        assert not Path("predictions/spade2").exists()
    assert run("spade2").done == 2
    with pytest.raises(InputError, match="1 of 2 radar scenes"):  # all are predicted already
        run("spade2", units="strict")


def test_impossible_tiles_cost_no_engine(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.prediction.predict.choose", lambda *_, **__: pytest.fail("built"))
    _rewritten(lambda db: 10 ** (db / 10), str(key(40)), str(key(41)))
    with pytest.raises(InputError, match="no radar value is negative"):
        run("spade2")


def test_what_a_fitted_ensemble_was_not_fitted_to_is_refused(trained: Path) -> None:
    run("spade2")
    fitted = Fitted("plain mean", 0.1, (0.1, 0.1), {}, 20, "p", {})
    other = Ensemble("best", ("spade2",), measure="mae", target="minmax", fitted=fitted)
    write_ensemble(Path("ensembles"), other)
    for use in (lambda: run("best"), lambda: package(ensemble="best", layout="plain")):
        with pytest.raises(
            InputError, match="spade2: predicts reflectance, but best was fitted to"
        ):
            use()
    write_ensemble(Path("ensembles"), replace(other, target="reflectance"))
    assert run("best").scenes == 2 and package(ensemble="best", layout="plain").images == 2
