"""A generator to take away: the file draws alone, from dB to DN, what the kit draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kit.engines.export
from kit.engines.export import Exported, export_generator
from kit.errors import BusyError, CheckError, InputError
from kit.models.in_units import InUnits
from kit.runs.trained import Trained
from kit.runs.weights import Weights
from kit.scaling import DN_RANGE
from kit.variants.registry import VARIANTS
from tests.helpers.generators import saved

pytestmark = pytest.mark.engine

pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

# Every model of the registry that is not trees, and every way that a network is given its input.
NETWORKS = {
    "spade": ("spade2", []),
    "spade-more": ("spade2", ["depth=more"]),
    "spade-boxes": ("spade5", ["boxes=[5, 15]"]),
    "pix2pixhd": ("p2phd1", []),
    "nafnet": ("nafnet1m", ["date=true"]),
    "unet": ("unet1", ["date=true", "prior=true", "radar_dates=3"]),
    "unet-minmax": ("unet1m", ["prior=true"]),
    "prior": ("prior1", []),
    "pix2pixhd-batch": ("p2phd2", []),
}
SIZE = (48, 64)


def scenes(count: int, constant: bool = True) -> np.ndarray:
    """Speckle in dB, with every kind of nodata."""
    random = np.random.default_rng(1)
    radar = random.normal(-14, 6, (count, 2, *SIZE)).astype(np.float32)
    for place, value in enumerate((np.nan, np.inf, -np.inf, 0, -9999)):
        radar[0, place % 2, 5 * place : 5 * place + 4, :9] = value
    if constant:
        radar[-1, 1] = -18.5  # a polarisation of one value measures nothing
    return radar


def draw(made: Exported, radar: np.ndarray, **more: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(made.file, providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {"radar": radar, **more})
    assert [each.name for each in session.get_inputs()] == [*made.inputs]
    assert [each.name for each in session.get_outputs()] == [*made.outputs] == ["optical"]
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_draws_from_db_what_the_kit_draws(name: str, tmp_path: Path) -> None:
    trained = saved(tmp_path, *NETWORKS[name])
    variant = trained.variant
    made = export_generator(trained, "onnx", tmp_path / "mine.onnx", SIZE)
    assert {each.name for each in tmp_path.iterdir()} == {"runs", "mine.onnx"}
    low, high = DN_RANGE if variant.target == "reflectance" else (0, 1)
    for count in (1, 2, 5):
        # Instance norms amplify the rounding of a tile without a measurement to a whole image.
        radar = scenes(count, constant=variant.norm != "instance")
        given, arguments = {}, {}
        if variant.date:
            arguments["dates"] = ["2020-12-31", "2021-07-14", "2021-01-01", "2021-03-01"][:count]
            arguments["dates"] += ["2021-04-01"] * (count - 4)
            given["day"] = np.array([366, 195, 1, 60, 91][:count], np.float32)
        if variant.prior:
            arguments["priors"] = np.random.default_rng(2).random((count, 3, *SIZE), np.float32)
            given["prior"] = arguments["priors"] * np.float32(high - low) + np.float32(low)
        drawn = draw(made, radar, **given)
        expected = Trained(trained).predict(radar, **arguments) * (high - low) + low
        assert drawn.dtype == np.float32
        # A thousandth of a DN is the rounding of one; instance norms magnify it.
        np.testing.assert_allclose(drawn, expected, atol=1e-3 * (high - low))
        assert expected.std() > 0.01 * (high - low)
    assert 0 <= made.mean_difference < 1e-5


def test_a_place_without_a_prior_is_drawn_without_one(tmp_path: Path) -> None:
    trained = saved(tmp_path, "unet1", ["prior=true"])
    radar = scenes(2)
    given = torch.from_numpy(radar), torch.full((2, 3, *SIZE), torch.nan)
    with torch.inference_mode():
        drawn = InUnits(trained.generator, trained.variant)(*given).numpy()
    np.testing.assert_allclose(drawn / DN_RANGE[1], Trained(trained).predict(radar), atol=1e-4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Weights]:
    folder = tmp_path_factory.mktemp("export")
    trained = saved(folder, "prior1", [])  # of few operations, which are quick to export
    return export_generator(trained, "onnx", folder / "mine.onnx", SIZE), trained


@pytest.mark.xdist_group("export")
def test_the_file_says_what_goes_in_and_comes_out(made: tuple[Exported, Weights]) -> None:
    exported, trained = made
    session = runtime.InferenceSession(exported.file, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta()
    told = about.custom_metadata_map
    assert about.producer_name == "kit"
    assert (told["variant"], told["weights_sha256"]) == ("prior1", trained.sha256)
    assert json.loads(told["scaling"])["dn"] == [0, 3000]
    assert "VV and VH in dB" in told["radar"] and "DN, 0 to 3000" in told["optical"]
    given, _ = session.get_inputs()
    assert (given.shape, given.type) == (["batch", 2, *SIZE], "tensor(float)")
    import onnx

    model = onnx.load(exported.file)
    onnx.checker.check_model(model)
    assert {each.version for each in model.opset_import if not each.domain} == {exported.opset}
    assert model.graph.input[0].doc_string == exported.inputs["radar"]


@pytest.mark.slow
@pytest.mark.xdist_group("export")
def test_a_file_that_exists_is_replaced_only_on_demand(made: tuple[Exported, Weights]) -> None:
    exported, trained = made
    before = exported.file.read_bytes()
    with pytest.raises(BusyError, match=r"mine\.onnx: exists\n  give --overwrite"):
        export_generator(trained, "onnx", exported.file, SIZE)
    assert exported.file.read_bytes() == before
    again = export_generator(trained, "onnx", exported.file, SIZE, overwrite=True)
    assert again == exported and exported.file.read_bytes()


@pytest.mark.xdist_group("export")
def test_the_images_that_it_is_compared_with_are_not_rounded_to_tf32(
    made: tuple[Exported, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch rounds on a card, by more than what is admitted."""
    rounded: list[bool] = []
    whole = Trained.predict

    def predict(*given, **others):
        rounded.append(torch.backends.cudnn.allow_tf32)
        return whole(*given, **others)

    monkeypatch.setattr(Trained, "predict", predict)
    assert torch.backends.cudnn.allow_tf32, "torch's default"
    exported, trained = made
    apart = kit.engines.export._compared(trained, exported.file, SIZE)
    assert apart.mean() == exported.mean_difference
    assert rounded == [False] and torch.backends.cudnn.allow_tf32


@pytest.mark.slow
def test_what_onnx_runtime_draws_otherwise_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Brighter(nn.Module):
        def __init__(self, network: nn.Module, *_: object) -> None:
            super().__init__()
            self.network = network

        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return self.network(planes) + 1e-3

    wrong = r"images of ONNX Runtime differ from those of PyTorch, by [45]\..*e-04 of their range"
    monkeypatch.setattr(kit.engines.export, "for_inference", Brighter)
    with pytest.raises(CheckError, match=wrong):
        export_generator(saved(tmp_path, "prior1", []), "onnx", tmp_path / "mine.onnx", SIZE)
    assert {each.name for each in tmp_path.iterdir()} == {"runs"}


def test_what_cannot_be_exported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = Weights(tmp_path, VARIANTS["trees1"], {}, "", dict)
    with pytest.raises(InputError, match=r"trees1: is boosted trees.*\n  predict with them by kit"):
        export_generator(trees, "onnx", tmp_path / "mine.onnx", SIZE)
    with pytest.raises(InputError, match=r"onxn: no such format\n  did you mean onnx"):
        export_generator(trees, "onxn", tmp_path / "mine.onnx", SIZE)
    trained = saved(tmp_path, "p2phd2", [])
    monkeypatch.setattr(kit.engines.export, "_MOST", 1000)
    with pytest.raises(InputError, match="p2phd2: has more than 2 GB of weights"):
        export_generator(trained, "onnx", tmp_path / "mine.onnx", SIZE)
    monkeypatch.setattr(kit.engines.export, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="onnx: not installed: onnx, onnxscript, onnxruntime\n"):
        export_generator(trained, "onnx", tmp_path / "mine.onnx", SIZE)
    assert not (tmp_path / "mine.onnx").exists()
