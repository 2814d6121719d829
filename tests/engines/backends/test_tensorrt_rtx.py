"""Engines of TensorRT for RTX, which builds them without a card, as these tests do."""

import shutil
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kit.engines.backend import Plan, Spec
from kit.engines.backends import nvidia
from kit.engines.backends import tensorrt_rtx as rtx
from kit.engines.registry import find_backend
from kit.errors import InputError
from kit.models.rewrites import fuse
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import trained_like

pytestmark = pytest.mark.engine

onnx = pytest.importorskip("onnx", reason="the tensorrt-rtx extra is not installed")
trt = pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx extra is not installed")

try:
    rtx.require()
    MISSING = ""
except InputError as error:
    MISSING = str(error)
TARGETS = {"float32": "sm89", "float16": "sm120", "bfloat16": "sm89"}
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
TYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16"}
NO_TILES = torch.empty(0, 2, 256, 256)


def ready(name: str, width: int = 4) -> nn.Module:
    return fuse._rewrite(fold(trained_like(name, width)))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"tensorrt-rtx {name}"))
        for name in ("spade", "pix2pixhd")
    ],
)
def generator(request) -> tuple[str, nn.Module]:
    """A generator as it is trained for real, 64 wide; its weights are random."""
    return request.param, ready(request.param, width=64)


@pytest.fixture(scope="module", params=BYTES)
def exported(generator, request, tmp_path_factory):
    """A generator's name and parameters, its ONNX export, and the specification of its engines."""
    name, network = generator
    folder = tmp_path_factory.mktemp("onnx")
    spec = Spec(request.param, 256, 256)
    began = time.perf_counter()
    rtx.export(nvidia.typed(network, spec.precision), spec, folder / "model.onnx")
    print(f"\n{name} {spec.precision}: exported in {time.perf_counter() - began:.1f} s", end=", ")
    count = sum(parameter.numel() for parameter in network.parameters())
    yield name, count, folder / "model.onnx", spec
    shutil.rmtree(folder)


@pytest.mark.slow
def test_no_layer_is_left_out_and_each_has_its_type(exported) -> None:
    name, _, path, spec = exported
    _, network, parser = rtx.parse(path)
    nodes = onnx.load(path, load_external_data=False).graph.node
    assert all(parser.get_layer_output_tensor(node.name, 0) is not None for node in nodes)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    print(f"{len(nodes)} ONNX nodes, {len(layers)} layers")

    found = Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in layers)
    given = Counter(node.op_type for node in nodes)
    half = TYPES[spec.precision]
    # The last convolution and its tanh are of float32 in all.
    assert found["CONVOLUTION", half] == given["Conv"] - (half != "FLOAT")
    assert found["CONVOLUTION", "FLOAT"] == (1 if half != "FLOAT" else given["Conv"])
    assert found["NORMALIZATION", "FLOAT"] == given["InstanceNormalization"]
    assert found["NORMALIZATION", "FLOAT"] == (0 if name == "spade" else 27)
    doublings = 4 if name == "pix2pixhd" and spec.precision != "bfloat16" else 0
    assert found["DECONVOLUTION", half] == doublings
    (given, drawn) = network.get_input(0), network.get_output(0)
    assert (given.name, *given.shape, given.dtype.name) == ("sar", -1, 2, 256, 256, "FLOAT")
    assert (drawn.name, *drawn.shape, drawn.dtype.name) == ("rgb", -1, 3, 256, 256, "FLOAT")


@pytest.mark.slow
def test_builds_full_width_engines_without_a_card(exported) -> None:
    name, count, path, spec = exported
    target = TARGETS[spec.precision]  # each with each would take twice as long
    began = time.perf_counter()
    serialised = rtx.compile_for(target, path, spec)
    seconds = time.perf_counter() - began
    print(f"{name} {spec.precision} {target}: {len(serialised) / 1e6:.0f} MB in {seconds:.1f} s")
    weights = count * BYTES[spec.precision]
    # With the sub-pixel convolutions' zeros, and some megabytes of kernels.
    assert weights <= len(serialised) < 1.05 * weights + 16e6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spade", "spade-means", "nafnet", "unet", "pix2pixhd-batch"])
def test_the_export_draws_what_torch_draws(name: str, tmp_path) -> None:
    openvino = pytest.importorskip("openvino", reason="the openvino extra is not installed")
    network = ready(name)
    rtx.export(network, Spec("float32", 96, 64), tmp_path / "model.onnx")
    sar = torch.rand(3, 2, 96, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    model = openvino.Core().compile_model(
        tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    with torch.no_grad():
        expected = network(sar).numpy()
    np.testing.assert_allclose(model(sar.numpy())[0], expected, atol=2e-4)


@pytest.fixture(scope="module")
def of_planes(tmp_path_factory) -> tuple[Path, Spec]:
    """A convolution of eight planes, exported."""
    path = tmp_path_factory.mktemp("planes") / "model.onnx"
    spec = Spec("float32", 32, 64, channels=8)
    rtx.export(nn.Conv2d(8, 3, 3, padding=1), spec, path)
    return path, spec


@pytest.mark.xdist_group("tensorrt-rtx narrow")
def test_the_export_has_the_planes_of_the_network(of_planes) -> None:
    path, _ = of_planes
    (given,) = onnx.load(path, load_external_data=False).graph.input
    assert [each.dim_value for each in given.type.tensor_type.shape.dim][1:] == [8, 32, 64]


@pytest.mark.slow
def test_a_folder_holds_the_engine_and_nothing_else(tmp_path) -> None:
    rtx.build(ready("pix2pixhd-batch"), Spec("float16", 64, 64, "sm89"), tmp_path, NO_TILES)
    (engine,) = tmp_path.iterdir()
    assert engine.name == nvidia.ENGINE
    assert engine.stat().st_size > 1e6


@pytest.mark.slow
@pytest.mark.parametrize("precision", BYTES)
@pytest.mark.parametrize("name", ["spade-means", "nafnet", "unet"])
def test_what_came_after_the_paper_builds_without_a_card(name: str, precision, tmp_path) -> None:
    rtx.build(ready(name), Spec(precision, 64, 64, "sm89"), tmp_path, NO_TILES)
    assert (tmp_path / nvidia.ENGINE).stat().st_size > 5e5


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("narrow") / "model.onnx"
    network = nvidia.typed(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)), "bfloat16")
    rtx.export(network, Spec("bfloat16", 64, 64), path)
    return path


@pytest.mark.xdist_group("tensorrt-rtx narrow")
def test_a_type_that_a_card_lacks_is_named(narrow) -> None:
    problem = r"cannot build a bfloat16 engine for sm75: .*b16"
    with pytest.raises(InputError, match=problem) as caught:
        rtx.compile_for("sm75", narrow, Spec("bfloat16", 64, 64))
    assert "--precision" in caught.value.remedy


@pytest.mark.xdist_group("tensorrt-rtx narrow")
def test_unknown_targets_are_refused_with_those_known() -> None:
    with pytest.raises(InputError, match=r"sm90: tensorrt-rtx has no such target\n.*sm89, sm120"):
        find_backend("tensorrt-rtx", "sm90")
    with pytest.raises(InputError, match=r"builds for this machine alone"):
        find_backend("eager", "sm89")
    assert find_backend("tensorrt-rtx", "sm120") is rtx


def test_eight_bits_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="int8: no TensorRT engine"):
        rtx.build(ready("spade"), Spec("int8", 64, 64, "sm89"), tmp_path, NO_TILES)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_layer_that_it_does_not_take_is_named(tmp_path) -> None:
    class Strange(nn.Module):
        def forward(self, sar: torch.Tensor) -> torch.Tensor:
            return torch.view_as_real(torch.fft.rfft(sar))[..., 0]

    with pytest.raises(InputError, match=r"does not support the network: .*DFT"):
        rtx.build(Strange(), Spec("float32", 32, 32, "sm89"), tmp_path, NO_TILES)
    assert not list(tmp_path.iterdir())


def test_a_damaged_engine_is_refused(tmp_path) -> None:
    path = tmp_path / nvidia.ENGINE
    spec, plan = Spec("float16", 64, 64), Plan(1)
    with pytest.raises(InputError, match=r"engine.plan: not readable \(No such file"):
        rtx.load(tmp_path, spec, plan, nn.Module)
    path.write_bytes(b"ftrt" + bytes(1000))
    with pytest.raises(InputError, match=r"engine.plan: TensorRT cannot load it: \S") as caught:
        rtx.load(tmp_path, spec, plan, nn.Module)
    assert "no reason given" not in caught.value.problem


@pytest.mark.xdist_group("tensorrt-rtx narrow")
def test_what_only_this_library_can_set_is_set_here(of_planes, monkeypatch, tmp_path) -> None:
    """For a batch an engine gets its own kernels, and only the memory that it needs."""
    config, given = SimpleNamespace(), []
    monkeypatch.setattr(nvidia, "Execution", lambda *arguments: given.append(arguments))
    rtx.load(tmp_path, Spec("float16", 64, 64), Plan(1), nn.Module)
    given[0][-1](config)
    strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    assert config.dynamic_shapes_kernel_specialization_strategy == strategy

    path, spec = of_planes
    builder, parsed, parser = rtx.parse(path)
    kept = []

    class Builder:
        def create_builder_config(self) -> Any:
            kept.append(builder.create_builder_config())
            return kept[-1]

        def __getattr__(self, name: str) -> Any:
            return getattr(builder, name)

    monkeypatch.setattr(rtx, "parse", lambda model: (Builder(), parsed, parser))
    assert rtx.compile_for("sm89", path, spec)
    assert kept[0].get_preview_feature(trt.PreviewFeature.RUNTIME_ACTIVATION_RESIZE_10_10)


def test_what_decides_whether_an_engine_can_be_used_is_in_the_key(monkeypatch) -> None:
    assert trt.__version__ in rtx.version() and torch.__version__ in rtx.version()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GeForce RTX 4090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert rtx.device() == rtx.targets()["sm89"] == "sm89"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert rtx.device() == rtx.targets()["sm89"] == "sm89, tf32"
    assert rtx.precisions() == ("float16", "bfloat16", "float32")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert rtx.precisions() == ("float16", "float32")
    assert [plan.batch for plan in rtx.plans()] == [16, 32, 4, 1]


def test_a_card_that_it_does_not_run_on_is_named(monkeypatch) -> None:
    monkeypatch.setattr(nvidia, "require_card", lambda name: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(InputError, match=r"NVIDIA H100, sm90.* not among .*sm89") as caught:
        rtx.require()
    assert "--backend tensorrt" in caught.value.remedy
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    rtx.require()


@pytest.mark.parametrize("missing", ["tensorrt_rtx", "onnx", "onnxscript"])
def test_absent_it_says_how_to_install_it(missing, monkeypatch) -> None:
    found = nvidia.find_spec
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None if name == missing else found(name))
    for ask in (rtx.require, rtx.targets):
        with pytest.raises(InputError, match=f"not installed: {missing}\n") as caught:
            ask()
        assert caught.value.remedy == "pip install 'sar-to-optical-kit[tensorrt-rtx]'"
        assert caught.value.exit_code == 3


@pytest.mark.gpu
@pytest.mark.skipif(bool(MISSING), reason=MISSING.partition("\n")[0])
@pytest.mark.parametrize("name", ["spade", "pix2pixhd"])
@pytest.mark.parametrize("precision", BYTES)
def test_draws_on_the_card_what_torch_draws(name: str, precision, tmp_path) -> None:
    network, spec = ready(name), Spec(precision, 128, 96)
    rtx.build(network, spec, tmp_path, NO_TILES)
    sar = torch.rand(4, 2, 128, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = network(sar)
    for batch in (1, 4):
        run = rtx.load(tmp_path, spec, Plan(batch), nn.Module)
        drawn = torch.cat([run(part) for part in sar.split(batch)])
        assert (drawn - expected).abs().mean() < 0.02
