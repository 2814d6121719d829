"""OpenVINO's engines: the same function, in streams and batches, quantised where asked."""

import copy
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec
from kit.engines.backends import eager, openvino
from kit.engines.request import Precision
from kit.errors import InputError, OutputError
from kit.models.infer import Forward
from kit.models.registry import build_generator
from kit.models.rewrites.fuse import for_inference
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import trained_like
from tests.helpers.variants import tiny

pytestmark = pytest.mark.engine

if find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)

NETWORKS = (
    "spade",
    "spade-instance",
    "spade-means",
    "pix2pixhd",
    "pix2pixhd-batch",
    "nafnet",
    "unet",
)
HEIGHT, WIDTH = 64, 96


def tiles(count: int) -> Tensor:
    return torch.rand(count, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3)) * 2 - 1


class Generators(dict[str, nn.Module]):
    """Each is made when it is asked for."""

    def __missing__(self, name: str) -> nn.Module:
        return self.setdefault(name, fold(trained_like(name)))


@pytest.fixture(scope="module")
def generators() -> dict[str, nn.Module]:
    return Generators()


def built(generator: nn.Module, precision: Precision, folder: Path) -> Spec:
    spec = Spec(precision, HEIGHT, WIDTH)
    openvino.build(for_inference(generator, "net"), spec, folder, tiles(4))
    return spec


def load(folder: Path, spec: Spec, plan: Plan) -> Forward:
    return openvino.load(folder, spec, plan, lambda: pytest.fail("the weights are in the engine"))


@pytest.mark.slow
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = openvino._library()
    save = library.save_model

    def save_on_a_full_disk(*given: Any, **options: Any) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            save(*given, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(library, "save_model", save_on_a_full_disk)
    with pytest.raises(OutputError, match=r"cannot be written(.|\n)*free disk space") as caught:
        openvino.build(nn.Conv2d(2, 3, 1), Spec("float32", 8, 8), tmp_path, tiles(0))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_engine_takes_as_many_planes_as_its_network(
    precision: Precision, tmp_path: Path
) -> None:
    variant = tiny("p2phd1", "norm=batch", "date=true", "prior=true", "width=4")
    generator = build_generator(variant).eval()
    spec = Spec(precision, 32, 32, channels=variant.input_channels)
    inputs = torch.rand(4, 8, 32, 32) * 2 - 1
    openvino.build(for_inference(generator, "net", spec.channels), spec, tmp_path, inputs)
    rgb = load(tmp_path, spec, Plan(4))(inputs)
    expected = eager.forward(generator, inputs)
    assert (rgb - expected).abs().mean() < (1e-5 if precision == "float32" else 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_draws_what_eager_draws_in_every_plan(
    generators: dict[str, nn.Module],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "cores", lambda: 2)
    spec = built(generators[name], "float32", tmp_path)
    double = copy.deepcopy(generators[name]).double()
    for plan in (*openvino.plans(), Plan(6, 3)):
        sar = tiles(plan.batch)
        rgb = load(tmp_path, spec, plan)(sar)
        expected = eager.forward(generators[name], sar)
        assert rgb.shape == (plan.batch, 3, HEIGHT, WIDTH) and expected.std() > 0.05
        # Instance norms magnify what rounding does to maps of few pixels, in eager float32 too.
        with torch.no_grad():
            exact = double(sar.double())
        assert (rgb - exact).abs().max() < 1e-5 + 10 * (expected - exact).abs().max()


@pytest.mark.slow
def test_the_same_call_gives_the_same_bytes(
    generators: dict[str, nn.Module], tmp_path: Path
) -> None:
    spec = built(generators["spade"], "float32", tmp_path)
    sar = tiles(4)
    for plan in (Plan(4), Plan(4, 2)):
        run = load(tmp_path, spec, plan)
        first = run(sar)
        assert torch.equal(run(sar), first)
        assert torch.equal(load(tmp_path, spec, plan)(sar), first)


@pytest.mark.slow
def test_int8_is_near_and_smaller(
    generators: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {}
    for precision in ("float32", "int8"):
        folder = tmp_path / precision
        folder.mkdir()
        spec = built(generators["pix2pixhd-batch"], precision, folder)
        sizes[precision] = (folder / "model.bin").stat().st_size
    assert sizes["int8"] < sizes["float32"] / 2
    rgb = load(folder, spec, Plan(2))(tiles(2))
    expected = eager.forward(generators["pix2pixhd-batch"], tiles(2))
    assert 1e-5 < (rgb - expected).abs().mean() < 0.1
    assert capsys.readouterr().out == ""


def in_eight_bits(folder: Path) -> list[str]:
    """What the operations are called whose input is rounded, and that they are convolutions."""
    import openvino as library

    model = library.Core().read_model(folder / "model.xml")
    rounded = [op for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize"]
    users = [user.get_node() for op in rounded for user in op.output(0).get_target_inputs()]
    assert {user.get_type_name() for user in users} <= set(openvino._CONVOLUTIONS)
    return [user.get_friendly_name().partition("/")[0] for user in users]


@pytest.mark.slow
def test_int8_rounds_convolutions_alone_and_spares_sensitive_layers(
    generators: dict[str, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for sets in (0, 1, 3):  # differ by too much, before one does not
        apart = iter([1.0] * sets + [0.0])
        monkeypatch.setattr(openvino, "_mean_difference", lambda *_, apart=apart: next(apart))
        folder = tmp_path / str(sets)
        folder.mkdir()
        built(generators["spade"], "int8", folder)
        found.append(in_eight_bits(folder))
    # 74 less the first and the last; less 3 of the last block; less all 18 of the seven blocks.
    assert [len(each) for each in found] == [72, 69, 54]
    assert set(found[0]) > set(found[1]) > set(found[2])
    assert not {"convolution", "convolution_73"} & set(found[0])


@pytest.mark.slow
def test_convolutions_that_are_spared_are_as_they_were(
    generators: dict[str, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To spare all of a network leaves nothing of eight bits in it."""
    everything = {
        name
        for name, module in for_inference(generators["spade"], "net").named_modules()
        if isinstance(module, nn.Conv2d)
    }
    monkeypatch.setattr(openvino, "sensitive_layers", lambda _: [{"fc"}, everything])
    monkeypatch.setattr(openvino, "_mean_difference", lambda *_: 1.0)
    spec = built(generators["spade"], "int8", tmp_path)
    assert in_eight_bits(tmp_path) == []
    monkeypatch.setattr(openvino, "precisions", lambda: ("int8", "float32"))
    apart = load(tmp_path, spec, Plan(2))(tiles(2)) - eager.forward(generators["spade"], tiles(2))
    assert apart.abs().max() < 1e-4


@pytest.mark.slow
def test_int8_leaves_the_statistics_of_instance_norms(
    generators: dict[str, nn.Module], tmp_path: Path
) -> None:
    built(generators["pix2pixhd"], "int8", tmp_path)
    assert len(in_eight_bits(tmp_path)) == 26


@pytest.mark.slow
def test_int8_rounds_depthwise_convolutions_too(
    generators: dict[str, nn.Module], tmp_path: Path
) -> None:
    spec = built(generators["nafnet"], "int8", tmp_path)
    assert len(in_eight_bits(tmp_path)) == 74  # of 76, less the first and the last
    rgb = load(tmp_path, spec, Plan(2))(tiles(2))
    assert 1e-5 < (rgb - eager.forward(generators["nafnet"], tiles(2))).abs().mean() < 0.1


def test_what_is_not_installed_is_named_with_what_would_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"openvino(.|\n)*pip install .*\[openvino\]"):
        openvino.require()


def test_precisions_are_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8", *able]

    monkeypatch.setattr(openvino, "_core", Core)
    able: list[str] = []
    assert openvino.precisions() == ("int8", "float32")
    able = ["BF16"]
    assert openvino.precisions() == ("int8", "bfloat16", "float32")


@pytest.mark.slow
def test_a_user_without_a_name_and_a_home_has_engines() -> None:
    """As in a container that runs as a number: the package looks for a home when it is imported."""
    code = (
        "import os, pwd\n"
        "def nameless(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nameless; os.environ.pop('HOME', None)\n"
        "from kit.engines.backends import openvino\n"
        "assert 'cores' in openvino.device()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
