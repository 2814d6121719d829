"""Predictions that are averages over views: exact, resumed, never mixed with others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import kit
from kit.engines.backend import Plan, Spec
from kit.engines.backends import eager
from kit.engines.cache import Measurement
from kit.engines.engine import Engine
from kit.engines.request import Request
from kit.errors import BusyError, InputError
from kit.models.infer import infer
from kit.prediction.members import read_member, read_members
from kit.prediction.predict import Prediction
from kit.runs.weights import Weights, load_run
from kit.scaling import quantize, scale_radar
from kit.submission.reproduce import reproduce
from kit.tiles.bands import read_bands
from kit.tiles.names import S1_BANDS, TileName
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import key

MANIFEST = Path("predictions/spade2/manifest.json")
WIDE = key(50)


def run(flips: int = 8, ensemble: str = "spade2", **settings: Any) -> Prediction:
    return kit.predict(ensemble, "test", flips=flips, **settings)


def wide() -> None:
    """A tile that is not square beside the others."""
    random = np.random.default_rng(0)
    for band in S1_BANDS:
        pixels = random.normal(-12, 3, (32, 64)).astype(np.float32)
        write_tile(Path("test/sent1"), TileName("Sentinel1", band, WIDE), pixels)


def expected(scene: object, flips: int) -> NDArray[np.uint16]:
    paths = [Path(f"test/sent1/Sentinel1_{band}_{scene}.tiff") for band in S1_BANDS]
    radar = scale_radar(read_bands("Sentinel1", paths))
    generator = load_run(Path("runs"), "spade2").generator
    images = []
    for axes in ((0, 1), (1, 0))[: 1 + (flips == 8)]:
        for mirrored in ((), (1,), (2,), (1, 2)):
            seen = np.flip(radar.transpose(0, 1 + axes[0], 1 + axes[1]), mirrored)
            image = np.flip(infer(generator, np.ascontiguousarray(seen)[None])[0], mirrored)
            images.append(image.transpose(0, 1 + axes[0], 1 + axes[1]))
    return quantize(np.mean(images, axis=0))


@pytest.mark.parametrize("flips", [4, 8])
def test_the_image_is_the_mean_of_all_views(trained: Path, flips: int) -> None:
    wide()
    result = run(flips)
    assert (result.done, result.flips) == (3, flips)
    found = read_member(MANIFEST.parent)
    assert found.flips == flips
    for scene in found.scenes:
        off = found.load(scene).astype(int) - expected(scene, flips)
        assert np.abs(off).max() <= 1
    assert found.load(str(WIDE)).shape == (3, 32, 64)
    paths = [Path(f"test/sent1/Sentinel1_{band}_{WIDE}.tiff") for band in S1_BANDS]
    image = kit.load("runs/spade2").predict(read_bands("Sentinel1", paths), flips=flips)
    assert np.abs(quantize(image).astype(int) - found.load(str(WIDE))).max() <= 1
    with pytest.raises(InputError, match="--flips 5"):
        kit.load("runs/spade2").predict(np.zeros((2, 32, 32)), flips=5)


@pytest.mark.slow
def test_it_resumes_and_ends_with_the_same_bytes(trained: Path) -> None:
    run()
    whole = {path: path.read_bytes() for path in MANIFEST.parent.glob("*.npy")}
    first, second = sorted(whole)
    time = second.stat().st_mtime_ns
    first.unlink()
    result = run()
    assert (result.done, result.skipped) == (1, 1)
    assert {path: path.read_bytes() for path in whole} == whole
    assert second.stat().st_mtime_ns == time


@pytest.mark.slow
def test_another_number_of_views_is_another_set(trained: Path) -> None:
    run(1)
    one = {path: path.read_bytes() for path in MANIFEST.parent.glob("*.npy")}
    with pytest.raises(BusyError, match=r"with --flips 1\n  give --flips 1 to go on .*--overw"):
        run(8)
    assert {path: path.read_bytes() for path in one} == one
    assert run(8, overwrite=True).done == 2
    assert all(path.read_bytes() != data for path, data in one.items())
    with pytest.raises(BusyError, match="holds predictions with --flips 8"):
        run(4)
    assert run(8).done == 0
    older = json.loads(MANIFEST.read_text())  # kits before 0.4.0 knew of no views
    assert older.pop("flips") == 8
    del older["check"], older["format"]
    MANIFEST.write_text(json.dumps(older))
    assert read_member(MANIFEST.parent).flips == 1
    with pytest.raises(InputError, match="--flips 6"):
        run(6)


class Fixed:
    """A backend whose networks accept tiles of one size alone, as engines that are built do."""

    def __getattr__(self, name: str) -> Any:
        return getattr(eager, name)

    def load(self, folder: Path, spec: Spec, plan: Plan, generator: Any) -> Any:
        network = eager.load(folder, spec, plan, generator)

        def strict(inputs: torch.Tensor) -> torch.Tensor:
            assert inputs.shape[2:] == (spec.height, spec.width)
            return network(inputs)

        return strict


def fixed(weights: Weights, size: tuple[int, int], *_: object, **settings: Any) -> Engine:
    if {each["name"] for each in settings["before"]} not in ({"fixed"}, set()):
        raise AssertionError("it went on with another engine")
    like = Engine.eager(weights, size)
    measured = Measurement(Plan(2), 1.0, like.accuracy)
    return Engine("fixed", Fixed(), like.spec, Path(), measured, weights)  # type: ignore[arg-type]


@pytest.mark.slow
def test_quarter_turns_that_an_engine_does_not_fit_are_predicted_eagerly(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide()
    for path in Path("test/sent1").glob("*.tiff"):
        if str(WIDE) not in path.name:
            path.unlink()
    run()
    (before,) = (path.read_bytes() for path in MANIFEST.parent.glob("*.npy"))
    monkeypatch.setattr("kit.prediction.predict.choose", fixed)
    told: list[str] = []
    for _ in range(2):
        run(predictions="again", report=told.append)
        (image,) = Path("again/spade2").glob("*.npy")
        assert image.read_bytes() == before
        names = [each["name"] for each in read_member(image.parent).engines]
        assert names == ["fixed", "eager"]
        image.unlink()
    assert told.count("spade2: quarter turns to 64x32 are predicted eagerly") == 2
    run(4, predictions="mirrored")
    assert [each["name"] for each in read_member(Path("mirrored/spade2")).engines] == ["fixed"]


@pytest.mark.engine
@pytest.mark.slow
def test_a_built_engine_averages_the_same_views(trained: Path) -> None:
    pytest.importorskip("openvino")
    run(request=Request("openvino", "float32"))
    found = read_member(MANIFEST.parent)
    assert {each["name"] for each in found.engines} == {"openvino"}
    for scene in found.scenes:
        assert np.abs(found.load(scene).astype(int) - expected(scene, 8)).max() <= 3


@pytest.mark.slow
def test_an_archive_records_it_and_is_reproduced(trained: Path) -> None:
    run(8)
    run(4, "p2phd1")
    packaged = kit.package(ensemble="spade2,p2phd1", layout="plain")
    found = json.loads(packaged.manifest.read_text())
    assert [member["flips"] for member in found["members"]] == [8, 4]
    arguments = {"predictions": Path("predictions"), "runs": Path("runs")}
    assert reproduce(packaged.manifest, **arguments).same
    run(1, overwrite=True)
    again = reproduce(packaged.manifest, **arguments)
    (part,) = [part for part in again.parts if part.name == "predictions of spade2"]
    assert not again.same and part.problem == "made with --flips 1 and not 8"
    assert part.remedy.endswith(" --flips 8 --overwrite")
    run(8, overwrite=True)
    assert reproduce(packaged.manifest, **arguments).same


def test_members_of_other_views_are_named_with_the_command_that_mends_them(trained: Path) -> None:
    run(8)
    (member,) = read_members(Path("predictions"), ["spade2"])
    path = next(MANIFEST.parent.glob("*.npy"))
    path.write_bytes(b"")
    with pytest.raises(InputError, match="--input TEST --flips 8, which predicts it again"):
        member.load(path.stem)
