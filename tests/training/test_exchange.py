"""Weights of the published code come in and go out, and what does not fit is told."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import kit
from kit.cli.main import app
from kit.engines.request import Request
from kit.errors import BusyError, InputError
from kit.models.discriminator import Discriminator
from kit.models.pix2pixhd import GlobalGenerator
from kit.models.published import export_reference_weights, import_reference_weights
from kit.models.registry import build_discriminator, build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state, unfolded_state
from kit.models.spade import SpadeGenerator
from kit.runs.weights import load_run, save_weights
from kit.training.checkpoint import checkpoints
from kit.training.export_weights import export_weights
from kit.training.import_weights import import_weights
from kit.training.train import train
from tests.helpers.variants import tiny

RUNS = Path("runs")
FILE = Path("latest_net_G.pth")
NETWORKS = {
    "spade": lambda: SpadeGenerator(2),
    "spade-most-instance": lambda: SpadeGenerator(2, "most", nn.InstanceNorm2d),
    "pix2pixhd": lambda: GlobalGenerator(2),
    "pix2pixhd-batch": lambda: GlobalGenerator(2, nn.BatchNorm2d),
}


def published(network: nn.Module, **change: Tensor) -> nn.Module:
    """Write the network as its code would."""
    torch.save(export_reference_weights(network) | change, FILE)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_an_imported_generator_is_the_published_one(trained: Path, name: str) -> None:
    network = NETWORKS[name]()
    with torch.no_grad():
        network(torch.rand(2, 2, 64, 64))  # statistics, and better estimates of the norms
    published(network)
    made = import_weights(FILE, "mine")
    sar = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        assert torch.equal(load_run(RUNS, "mine").generator(sar), network.eval()(sar))
    assert made.variant.name == "mine" and made.variant.width == 2


@pytest.mark.slow
def test_it_validates_and_predicts_like_any_run(trained: Path) -> None:
    published(GlobalGenerator(2))
    app(["import", str(FILE), "--as", "mine"], standalone_mode=False)
    rows = kit.validate(["mine"])
    assert rows[-1].variant == "mine" and 0 < rows[-1].scores.mae < 1
    # Of one mean colour, as the baseline of these pairs.
    assert load_run(RUNS, "mine").colors == load_run(RUNS, "p2phd1").colors
    kit.predict("mine", "test", request=Request("eager", "float32"))
    kit.package(ensemble="mine", layout="plain")


@pytest.mark.slow
def test_settings_say_what_weights_do_not_show(trained: Path) -> None:
    published(SpadeGenerator(2, "more"))
    assert import_weights(FILE, "mine").variant.depth == "normal"
    again = import_weights(FILE, "mine", settings=["depth=more"], overwrite=True)
    assert again.variant.depth == "more"


def test_a_run_with_weights_is_not_replaced_unless_asked(trained: Path) -> None:
    published(GlobalGenerator(2))
    import_weights(FILE, "mine")
    with pytest.raises(BusyError, match="give --overwrite"):
        import_weights(FILE, "mine")
    with pytest.raises(InputError, match=r"p2phd1: is a training, whose(.|\n)*name with --as"):
        import_weights(FILE, "p2phd1", overwrite=True)
    assert load_run(RUNS, "p2phd1").facts["epoch"]


@pytest.mark.slow
def test_a_training_does_not_replace_imported_weights_unless_asked(trained: Path) -> None:
    published(GlobalGenerator(2))
    import_weights(FILE, "mine")
    with pytest.raises(BusyError, match="imported"):
        train(tiny("p2phd1", "name=mine"), work=Path("work"), runs=RUNS)
    assert train(tiny("p2phd1", "name=mine"), work=Path("work"), runs=RUNS, overwrite=True).steps


def test_weights_of_more_planes_are_imported_where_the_settings_say_which(
    trained: Path,
) -> None:
    published(SpadeGenerator(2, inputs=4))
    with pytest.raises(InputError, match=r"is \[\d+, 4, 3, 3\], not \[\d+, 2, 3, 3\]"):
        import_weights(FILE, "dated")
    found = import_weights(FILE, "dated", settings=["date=true"])
    assert found.variant.date and found.variant.input_channels == 4
    assert kit.load("runs/dated").predict(np.zeros((2, 32, 32)), dates="2020-05-05").shape[0] == 3


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ({"fc.weight": torch.zeros(32, 3, 3, 3), "conv_img.weight": torch.zeros(3, 2, 3, 3)},
         "of a spade generator from 3 to 3 channels"),
        ({"model.1.weight": torch.zeros(2, 2, 7, 7), "model.38.weight": torch.zeros(1, 2, 7, 7)},
         "of a pix2pixhd generator from 2 to 1 channels"),
        (export_reference_weights(Discriminator("spade", 2)), "of neither generator; it holds"),
        (export_reference_weights(SpadeGenerator(2)) | {"up_3.conv_1.bias": torch.zeros(9)},
         r"up_3.conv_1.bias of another shape \(up_3.conv_1.bias is \[9\], not \[2\]\)"),
        (export_reference_weights(GlobalGenerator(2)) | {"model.40.bias": torch.zeros(1)},
         r"model\.40\.bias unknown"),
        (export_reference_weights(GlobalGenerator(2)) | {"model.4.bias": torch.tensor([math.inf])},
         "model.4.bias holds a number that is not finite"),
        ([torch.zeros(1)], "something else than tensors"),
        ({"fc.weight": 3}, "something else than tensors"),
        ({}, "of neither generator"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(trained: Path, state: object, found: str) -> None:
    torch.save(state, FILE)
    with pytest.raises(InputError, match=found) as refusal:
        import_weights(FILE, "mine")
    assert refusal.value.where == str(FILE)
    assert not (RUNS / "mine").exists()


def test_code_in_a_file_never_runs(trained: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return Path.touch, (Path("exploded"),)

    for write in (
        torch.save,
        lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2)),
    ):
        write({"fc.weight": Bomb()}, FILE)
        with pytest.raises(InputError, match="not readable as weights alone"):
            import_weights(FILE, "mine")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02", b"text", b"\x00" * 99])
def test_what_is_no_state_dict_is_refused(trained: Path, data: bytes) -> None:
    FILE.write_bytes(data)
    with pytest.raises(InputError, match="net_G"):
        import_weights(FILE, "mine")


def test_pairs_are_needed_for_the_mean_colour(trained: Path) -> None:
    published(GlobalGenerator(2))
    with pytest.raises(InputError, match="run kit prepare DATA first"):
        import_weights(FILE, "mine", work="nowhere")


@pytest.mark.parametrize("name", NETWORKS)
def test_unfolded_weights_predict_what_folded_ones_do(
    name: str, float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.models.spade._HIDDEN", 4)
    torch.manual_seed(0)
    network = NETWORKS[name]()
    sar = torch.rand(2, 2, 64, 64)
    with torch.no_grad():
        network(sar)
        other = NETWORKS[name]()
        other.load_state_dict(unfolded_state(other, folded_state(network)))
        expected, found = fold(network).eval()(sar), other.eval()(sar)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["spade4", "p2phd1"])
def test_what_is_exported_is_what_was_trained(trained: Path, name: str) -> None:
    files = export_weights(name, "exported").files
    assert [file.name for file in files] == (["net_G.pth", "net_D.pth"][: 1 + (name == "spade4")])
    weights = load_run(RUNS, name)
    generator = build_generator(weights.variant)
    import_reference_weights(generator, torch.load(files[0], weights_only=True))
    sar = torch.rand(2, 2, 64, 64)
    with torch.no_grad():
        found, expected = generator.eval()(sar), weights.generator(sar)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    with pytest.raises(BusyError, match="exists"):
        export_weights(name, "exported")
    export_weights(name, "exported", overwrite=True)
    import_weights(files[0], "again")  # the whole way round


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("nafnet1", (), "is of model=nafnet, which"),
        ("spade5", ("boxes=[5]",), r"is of boxes=\[5\] and radar_resize=mean, which"),
    ],
)
def test_what_no_published_code_computes_is_not_exported(
    tmp_path: Path, name: str, settings: tuple[str, ...], problem: str
) -> None:
    variant = tiny(name, *settings)
    path = tmp_path / name / "weights.safetensors"
    path.parent.mkdir()
    save_weights(path, build_generator(variant), variant, {})
    with pytest.raises(InputError, match=problem):
        export_weights(name, tmp_path / "exported", runs=tmp_path)
    assert not (tmp_path / "exported").exists()


@pytest.mark.slow
def test_pix2pixhds_discriminator_has_both_of_its_forms(trained: Path) -> None:
    variant = tiny("p2phd1", "name=gan", "gan=1")
    train(variant, work=Path("work"), runs=RUNS)
    _, matching, without = export_weights("gan", "exported").files
    assert [matching.name, without.name] == ["net_D.pth", "net_D_no_ganFeat_loss.pth"]
    states = [torch.load(file, weights_only=True) for file in (matching, without)]
    assert set(states[0]) == {
        f"scale{scale}_layer{layer}.0.{kind}"
        for scale in range(2) for layer in range(5) for kind in ("weight", "bias")
    }  # fmt: skip
    assert set(states[1]) == {
        f"layer{scale}.{place}.{kind}"
        for scale in range(2) for place in (0, 2, 5, 8, 11) for kind in ("weight", "bias")
    }  # fmt: skip
    found = []
    for state in states:
        discriminator = build_discriminator(variant)
        import_reference_weights(discriminator, state)
        found.append(discriminator.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_a_discriminator_comes_from_the_newest_intact_checkpoint(trained: Path) -> None:
    newest, older = checkpoints(RUNS / "spade4" / "checkpoints")[:2]
    path = newest / "discriminator.safetensors"
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-1])
    assert len(export_weights("spade4", "exported").files) == 2
    (older / "discriminator.safetensors").unlink()
    for each in checkpoints(RUNS / "spade4" / "checkpoints")[2:]:
        (each / "state.json").write_text("[]")
    with pytest.raises(InputError, match=r"discriminator\.safetensors"):
        export_weights("spade4", "again")
