"""Engines of torch's compiler. A build takes half a minute, so tests share them."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kit.engines import choose, registry
from kit.engines.backend import Plan, Spec
from kit.engines.backends import inductor, openvino
from kit.engines.cache import obtain
from kit.engines.request import Request
from kit.errors import InputError, OutputError
from kit.models.rewrites.fuse import for_inference
from kit.models.rewrites.half import InHalf
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import trained_like

pytestmark = pytest.mark.engine

SIDE = 64
SPEC = Spec("float32", SIDE, SIDE)
SAR = torch.rand(4, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
NO_TILES = torch.empty(0, 2, SIDE, SIDE)

_WHY = ""
try:
    inductor.require()
except InputError as error:
    _WHY = str(error)
needs_compiler = pytest.mark.skipif(bool(_WHY), reason=_WHY)


def unused() -> nn.Module:
    raise AssertionError("the package has its own weights")


def small() -> nn.Module:
    """What compiles in a few seconds, with a norm in it."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2),
        nn.Conv2d(8, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh(),
    ).eval().requires_grad_(False)  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        "spade",
        "pix2pixhd",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("spade-means", "nafnet", "unet")),
    ],
)
def built(request, tmp_path_factory) -> tuple[nn.Module, Path]:
    """A generator as it was trained, and the folder of its engine."""
    generator = fold(trained_like(request.param))
    folder = tmp_path_factory.mktemp(request.param)
    inductor.build(for_inference(generator, "net"), SPEC, folder, NO_TILES)
    return generator, folder


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The folder of the engine of `small`."""
    folder = tmp_path_factory.mktemp("small")
    inductor.build(small(), SPEC, folder, NO_TILES)
    return folder


@pytest.mark.slow
@needs_compiler
def test_a_package_takes_as_many_planes_as_its_network(tmp_path: Path) -> None:
    network = nn.Conv2d(8, 3, 3, padding=1).eval().requires_grad_(False)
    spec, inputs = Spec("float32", SIDE, SIDE, channels=8), torch.rand(4, 8, SIDE, SIDE)
    inductor.build(network, spec, tmp_path, NO_TILES)
    rgb = inductor.load(tmp_path, spec, Plan(4), unused)(inputs)
    torch.testing.assert_close(rgb, network(inputs), atol=1e-5, rtol=0)


@pytest.mark.slow
@needs_compiler
def test_draws_what_eager_draws_in_batches_of_any_size(built) -> None:
    generator, folder = built
    with torch.no_grad():
        exact = copy.deepcopy(generator).double()(SAR.double())
        eager = generator(SAR)
    for batch in (1, 4):
        rgb = inductor.load(folder, SPEC, Plan(batch), unused)(SAR[:batch])
        assert rgb.dtype == torch.float32 and rgb.shape == (batch, 3, SIDE, SIDE)
        # What float32 does to the network as it was is not the compiler's fault.
        rounded = (eager - exact)[:batch].abs().max()
        assert (rgb - exact[:batch]).abs().max() <= rounded + 1e-5


@pytest.mark.slow
@needs_compiler
@pytest.mark.xdist_group("inductor")
def test_another_process_loads_it_without_a_compiler(package, tmp_path) -> None:
    np.save(tmp_path / "sar.npy", SAR.numpy())
    code = f"""
import numpy as np, torch
from pathlib import Path
from kit.engines.backends import inductor
from kit.engines.backend import Plan, Spec
run = inductor.load(Path({str(package)!r}), Spec("float32", {SIDE}, {SIDE}), Plan(4), None)
np.save("rgb.npy", run(torch.from_numpy(np.load("sar.npy"))).numpy())
"""
    paths = [str(Path(inductor.__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    found = torch.from_numpy(np.load(tmp_path / "rgb.npy"))
    assert (found - small()(SAR)).abs().max() <= 1e-5


@pytest.mark.slow
@needs_compiler
@pytest.mark.xdist_group("inductor")
@pytest.mark.parametrize("how", ["cut", "gone", "overwritten"])
def test_a_damaged_package_is_named(package, tmp_path, how) -> None:
    path = shutil.copy(package / "model.pt2", tmp_path / "model.pt2")
    if how == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "overwritten":
        path.write_bytes(b"no archive" * 1000)
    else:
        path.unlink()
    with pytest.raises(InputError, match="build it again") as caught:
        inductor.load(tmp_path, SPEC, Plan(1), unused)
    assert caught.value.where == str(path)


@pytest.mark.slow
@needs_compiler
@pytest.mark.xdist_group("inductor")
def test_the_cache_builds_a_damaged_package_again(package, tmp_path) -> None:
    said: list[str] = []
    made: list[Path] = []

    def make(folder: Path) -> dict[str, str]:
        made.append(folder)
        shutil.copy(package / "model.pt2", folder)
        return {}

    first = obtain(tmp_path, "engine", {"a": 1}, make, said.append)
    with (first.folder / "model.pt2").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    again = obtain(tmp_path, "engine", {"a": 1}, make, said.append)
    assert len(made) == 2 and "the engine is built again" in said[0]
    run = inductor.load(again.folder, SPEC, Plan(1), unused)
    assert (run(SAR[:1]) - small()(SAR[:1])).abs().max() <= 1e-5


@pytest.mark.slow
@needs_compiler
def test_in_bfloat16_only_what_does_harm_stays_in_float32(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(inductor, "bfloat16_pays", lambda: True)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    assert inductor.precisions()[-2:] == ("bfloat16", "float32")
    folder = tmp_path / "engine"
    folder.mkdir()
    spec = Spec("bfloat16", SIDE, SIDE)
    inductor.build(small(), spec, folder, NO_TILES)
    assert [path.name for path in folder.iterdir()] == ["model.pt2"]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    rgb = inductor.load(folder, spec, Plan(4), unused)(SAR)
    assert rgb.dtype == torch.float32
    with torch.no_grad():
        expected, rounded = small()(SAR), InHalf(small(), torch.bfloat16)(SAR)
    apart, allowed = ((drawn - expected).abs().mean() for drawn in (rgb, rounded))
    assert 0 < apart <= 1.5 * allowed


def test_without_a_compiler_the_remedy_is_named(tmp_path) -> None:
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": (None, str(tmp_path / "g++"))}),
        pytest.raises(InputError, match=r"requires a C\+\+ compiler(.|\n)*install g\+\+"),
    ):
        inductor.require()


@needs_compiler
def test_what_the_compiler_does_not_take_is_refused_by_name(tmp_path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("C++ compile error\n\nCommand: ...")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    with pytest.raises(InputError, match=r"build a float32 engine: C\+\+ compile error\n.*eager"):
        inductor.build(small(), SPEC, tmp_path, NO_TILES)


@needs_compiler
def test_a_full_disk_is_not_the_precisions_fault(tmp_path, monkeypatch) -> None:
    """As torch tells what the system has told it, or the compiler."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("OSError: [Errno 28] No space left on device")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    with pytest.raises(OutputError, match="cannot be written"):
        inductor.build(small(), SPEC, tmp_path, NO_TILES)


@needs_compiler
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB"),
        RuntimeError("OutOfMemoryError: CUDA out of memory. Tried to allocate 7 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes"),
    ],
)
def test_too_little_memory_to_build_is_not_the_precisions_fault(
    error: RuntimeError, tmp_path, monkeypatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    with pytest.raises(MemoryError, match="memory"):
        inductor.build(small(), SPEC, tmp_path, NO_TILES)


@needs_compiler
def test_says_what_an_engine_depends_on() -> None:
    assert f"torch {torch.__version__}, " in inductor.version()
    assert any(digit.isdigit() for digit in inductor.version().split(", ")[1])
    assert torch.cuda.is_available() or "instructions" in inductor.device()
    assert Plan(1) in inductor.plans()


@needs_compiler
def test_is_tried_on_a_card_and_where_openvino_is_not_installed(monkeypatch) -> None:
    def tried() -> set[str]:
        return {name for name, _ in choose.candidates(Request())}

    def missing() -> None:
        raise InputError("openvino", "not installed", remedy="pip install it")

    monkeypatch.setattr(registry, "pick", lambda: torch.device("cpu"))
    monkeypatch.setattr(openvino, "require", lambda: None)
    assert "inductor" not in registry.automatic()
    monkeypatch.setattr(openvino, "require", missing)
    assert tried() >= {"inductor", "eager"}
    monkeypatch.setattr(openvino, "require", lambda: None)
    monkeypatch.setattr(registry, "pick", lambda: torch.device("cuda"))
    assert {"tensorrt", "inductor", "eager"} <= {*registry.automatic()} - {"openvino"}
    assert "openvino" not in registry.automatic()


@pytest.mark.parametrize("home", [None, "empty"])
def test_a_card_without_a_toolkit_is_named(home: str | None, monkeypatch, tmp_path: Path) -> None:
    from torch.utils import cpp_extension

    monkeypatch.setattr(inductor, "_compiler", lambda: "g++")
    monkeypatch.setattr(inductor, "find_spec", lambda name: object())
    monkeypatch.setattr(inductor, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", home and str(tmp_path / home))
    with pytest.raises(InputError, match="inductor: requires the CUDA toolkit") as caught:
        inductor.require()
    assert "CUDA_HOME" in caught.value.remedy
    (tmp_path / "toolkit" / "include").mkdir(parents=True)
    (tmp_path / "toolkit" / "include" / "cuda.h").touch()
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", str(tmp_path / "toolkit"))
    inductor.require()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_on_a_card(tmp_path, precision) -> None:
    inductor.require()
    network = for_inference(fold(trained_like("spade")), "net")
    with torch.no_grad():
        expected = network(SAR)
    spec = Spec(precision, SIDE, SIDE)
    inductor.build(network, spec, tmp_path, NO_TILES)
    for batch in (1, 4):
        rgb = inductor.load(tmp_path, spec, Plan(batch), unused)(SAR[:batch])
        # Convolutions of float32 are rounded to TF32.
        assert (rgb - expected[:batch]).abs().mean() <= (0.005 if precision == "float32" else 0.03)
