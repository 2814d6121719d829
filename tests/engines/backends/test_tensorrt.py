"""The backend of torch-tensorrt, with a stand-in for the library, and running an engine.

The stand-in has the parameters of torch-tensorrt 2.13, so that no setting is passed that it does
not know.
"""

import ast
import ctypes
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import kit
from kit.engines.backend import Plan, Spec
from kit.engines.backends import nvidia
from kit.engines.backends import tensorrt as backend
from kit.engines.registry import find_backend
from kit.errors import InputError
from kit.models.rewrites import fuse
from kit.models.rewrites.half import InHalf
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import trained_like

pytestmark = pytest.mark.engine

NO_TILES = torch.empty(0, 2, 256, 256)
# What convert_exported_program_to_serialized_trt_engine of 2.13 takes by name. It swallows what it
# does not know, `enabled_precisions` of older versions among it.
PARAMETERS = """
    arg_inputs kwarg_inputs device disable_tf32 assume_dynamic_shape_support sparse_weights
    engine_capability num_avg_timing_iters workspace_size dla_sram_size dla_local_dram_size
    dla_global_dram_size truncate_double require_full_compilation min_block_size torch_executed_ops
    torch_executed_modules pass_through_build_failures max_aux_streams version_compatible
    optimization_level use_python_runtime use_fast_partitioner enable_experimental_decompositions
    dryrun hardware_compatible timing_cache_path lazy_engine_init cache_built_engines
    reuse_cached_engines engine_cache_dir engine_cache_size custom_engine_cache use_fp32_acc
    refit_identical_engine_weights strip_engine_weights immutable_weights enable_weight_streaming
    tiling_optimization_level l2_limit_for_tiling offload_module_to_cpu use_distributed_mode_trace
    decompose_attention attn_bias_is_causal
"""


class Input:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings


@pytest.fixture
def library(tensorrt, monkeypatch) -> SimpleNamespace:
    """Stands in for torch_tensorrt; `calls` holds what it was asked to convert."""
    seen = SimpleNamespace(calls=[], error=None, log=lambda: None)

    def convert(exported_program, inputs=None, **settings: Any) -> bytes:
        assert not settings.keys() - set(PARAMETERS.split())
        assert inputs is None
        seen.calls.append((exported_program, settings))
        seen.log()
        if seen.error is not None:
            raise seen.error
        return b"an engine"

    torch_tensorrt: Any = ModuleType("torch_tensorrt")
    torch_tensorrt.Input = Input
    torch_tensorrt.dynamo = SimpleNamespace(
        convert_exported_program_to_serialized_trt_engine=convert
    )
    monkeypatch.setitem(sys.modules, "torch_tensorrt", torch_tensorrt)
    logging: Any = ModuleType("torch_tensorrt.logging")
    logging.TRT_LOGGER = seen.builder_log = SimpleNamespace(log=lambda *_: None)
    monkeypatch.setitem(sys.modules, "torch_tensorrt.logging", logging)
    monkeypatch.setattr(nvidia, "find_spec", lambda name: object())
    return seen


def ready(name: str) -> nn.Module:
    return fuse._rewrite(fold(trained_like(name)))


@pytest.mark.parametrize("tf32", [True, False])
def test_convolutions_are_rounded_to_tf32_where_torchs_are(
    tf32: bool, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    assert backend.settings(tmp_path)["disable_tf32"] is not tf32


@pytest.mark.slow
def test_the_whole_graph_becomes_one_engine_of_any_batch(library, tmp_path) -> None:
    network = ready("pix2pixhd-batch")
    backend.build(network, Spec("float32", 64, 96), tmp_path, NO_TILES)
    ((program, settings),) = library.calls
    assert settings["require_full_compilation"] and settings["min_block_size"] == 1
    assert not settings["cache_built_engines"] and not settings["reuse_cached_engines"]
    assert settings["immutable_weights"] is True
    scratch = Path(settings["timing_cache_path"]).parent
    assert settings == backend.settings(scratch) | {"arg_inputs": settings["arg_inputs"]}
    assert not scratch.exists(), "a shared or a left-over file"
    (given,) = settings["arg_inputs"]
    assert given.settings == {
        "min_shape": (1, 2, 64, 96),
        "opt_shape": (16, 2, 64, 96),
        "max_shape": (32, 2, 64, 96),
        "dtype": torch.float32,
    }
    assert (tmp_path / nvidia.ENGINE).read_bytes() == b"an engine"
    assert len(list(tmp_path.iterdir())) == 1
    sar = torch.rand(5, 2, 64, 96) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(program.module()(sar), network(sar), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_precision_is_in_the_types_of_the_graph(library, precision, tmp_path) -> None:
    network = ready("pix2pixhd")
    backend.build(network, Spec(precision, 64, 64), tmp_path, NO_TILES)
    ((program, _),) = library.calls
    kind = getattr(torch, precision)
    kinds: dict[str, list[torch.dtype]] = {}
    assert not [node for node in program.graph.nodes if "autocast" in str(node.target)]
    for node in program.graph.nodes:
        if node.op == "call_function":
            name = str(node.target).split(".")[1]
            kinds.setdefault(name, []).append(node.args[0].meta["val"].dtype)
    halves, full = kinds["conv2d"][:-1], kinds["conv2d"][-1]
    assert set(halves) == {kind} and full == torch.float32
    assert kinds["tanh"] == [torch.float32]
    assert set(kinds["instance_norm"]) == {torch.float32}
    assert kinds.get("conv_transpose2d", []) == ([kind] * 4 if precision == "float16" else [])
    assert next(network.parameters()).dtype == torch.float32


def test_a_layer_that_cannot_be_converted_is_named(library, tmp_path) -> None:
    library.error = RuntimeError("Conversion of module <the whole graph>")
    library.error.__cause__ = RuntimeError("Conversion of function aten.odd not supported!\nmore")
    with pytest.raises(
        InputError, match=r"cannot build a float32 engine: .*aten\.odd not supported!\n"
    ):
        backend.build(nn.Conv2d(2, 3, 1), Spec("float32", 8, 8), tmp_path, NO_TILES)
    assert not list(tmp_path.iterdir())


def test_a_build_that_fails_in_tensorrt_says_what_its_log_says(library, tensorrt, tmp_path) -> None:
    library.error = AssertionError()  # all that torch-tensorrt raises then

    def logged() -> None:
        tensorrt.first_log.log(Log.ERROR, "Error Code 9: no tactic")
        library.builder_log.log(Log.ERROR, "Error Code 4: a layer")

    library.log = logged
    with pytest.raises(InputError, match=r"AssertionError; Error Code 9: no t.*; Error Code 4"):
        backend.build(nn.Conv2d(2, 3, 1), Spec("float32", 8, 8), tmp_path, NO_TILES)


@pytest.mark.parametrize("error", [AssertionError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_too_little_memory_to_build_is_not_the_precisions_fault(
    error: Exception, library, tensorrt, tmp_path
) -> None:
    library.error = error
    if isinstance(error, AssertionError):
        library.log = lambda: tensorrt.first_log.log(Log.ERROR, "Error Code 2: OutOfMemory")
    with pytest.raises(MemoryError, match=r"OutOfMemory|out of memory"):
        backend.build(nn.Conv2d(2, 3, 1), Spec("float32", 8, 8), tmp_path, NO_TILES)


def test_a_module_in_place_of_tensorrt_has_the_same_log(tensorrt) -> None:
    proxy = ModuleType("tensorrt")
    proxy.ILogger = tensorrt.ILogger
    assert nvidia.log_of(proxy) is nvidia.log_of(tensorrt)


def test_the_log_is_ours_before_torch_tensorrt_brings_its_own(tensorrt, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "torch_tensorrt", raising=False)
    seen = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "torch_tensorrt":
                seen.append(tensorrt.first_log)

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(InputError, match="cannot be imported"):
        backend._library()
    assert seen == [nvidia.log_of(tensorrt)]


class Proxy(ModuleType):
    """The module tensorrt once torch_tensorrt is there: it prints what it does not find."""

    def __getattr__(self, name: str) -> Any:
        print(f"AttributeError: module 'tensorrt' has no attribute '{name}'")
        raise AttributeError(name)


def test_nothing_is_printed_where_json_goes(tensorrt, monkeypatch, tmp_path, capfd) -> None:
    proxy = Proxy("tensorrt")
    proxy.__dict__.update({k: v for k, v in vars(tensorrt).items() if not k.startswith("__")})
    monkeypatch.setitem(sys.modules, "tensorrt", proxy)
    (tmp_path / nvidia.ENGINE).write_bytes(b"an engine")
    load(tmp_path)(torch.rand(4, 2, 8, 6))
    assert capfd.readouterr().out == ""


def test_eight_bits_are_refused(library, tmp_path) -> None:
    with pytest.raises(InputError, match="int8: no TensorRT engine"):
        backend.build(nn.Conv2d(2, 3, 1), Spec("int8", 8, 8), tmp_path, NO_TILES)


@pytest.mark.parametrize("missing", ["torch_tensorrt", "tensorrt"])
def test_absent_it_says_how_to_install_it(missing, monkeypatch) -> None:
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=f"not installed: {missing}") as caught:
        find_backend("tensorrt")
    assert caught.value.remedy == "pip install 'sar-to-optical-kit[tensorrt]'"
    assert caught.value.exit_code == 3


def test_a_broken_installation_is_named(monkeypatch) -> None:
    monkeypatch.setattr(nvidia, "find_spec", lambda name: object())
    monkeypatch.setattr(nvidia, "require_card", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)  # its import fails
    with pytest.raises(InputError, match=r"tensorrt: cannot be imported: .*\n.*reinstall"):
        backend.require()


def test_each_library_is_imported_in_one_module() -> None:
    where: dict[str, set[str]] = {}
    for path in Path(kit.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "tensorrt" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                where.setdefault(name.partition(".")[0], set()).add(path.stem)
    assert where["torch_tensorrt"] == where["tensorrt"] == {"tensorrt"}
    assert where["tensorrt_rtx"] == {"tensorrt_rtx"}


def test_what_decides_whether_an_engine_can_be_used_is_in_the_key(monkeypatch) -> None:
    monkeypatch.setattr(backend, "version_of", lambda name: f"<{name}>")
    assert backend.version() == (
        f"torch-tensorrt <torch-tensorrt>, tensorrt <tensorrt>, torch {torch.__version__}"
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert backend.device().startswith("NVIDIA H100, sm90")
    assert backend.targets() == {}


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("Torch not compiled with CUDA enabled"),
        RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Pl\nease"),
        RuntimeError("No CUDA GPUs are available"),
    ],
)
def test_why_there_is_no_card_is_said(error, monkeypatch) -> None:
    def init() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "init", init)
    reason = str(error).partition("\n")[0]
    with pytest.raises(InputError) as caught:
        nvidia.require_card("tensorrt")
    assert caught.value.problem == f"no CUDA device: {reason}"
    assert "--backend" in caught.value.remedy


def test_a_driver_that_is_too_old_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(nvidia, "_driver", lambda: 12080)
    with pytest.raises(InputError, match=r"supports CUDA 12\.8 at most, and 13\.0") as caught:
        nvidia.require_card("tensorrt")
    assert "580" in caught.value.remedy
    monkeypatch.setattr(nvidia, "_driver", lambda: 13010)
    nvidia.require_card("tensorrt")


class Log:
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class Engine:
    """Stands in for an engine that takes batches of 1 to 32, and its context."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.addresses: dict[str, int] = {}

    def get_tensor_name(self, index: int) -> str:
        return ("sar", "output0")[index]

    def create_runtime_config(self) -> Any:
        self.config = SimpleNamespace(
            set_execution_context_allocation_strategy=lambda strategy: None
        )
        return self.config

    def create_execution_context(self, config: Any) -> "Engine":
        assert config is self.config
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if shape[0] > 32:
            self.log.log(Log.ERROR, "above the profile's maximum")
            return False
        self.shape = shape
        return name == "sar"

    def update_device_memory_size_for_shapes(self) -> int:
        return 1000 * self.shape[0]

    def set_device_memory(self, address: int, size: int) -> None:
        assert address and size == 1000 * self.shape[0]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        """Draw the first channel of the SAR thrice, through the addresses alone."""
        if stream == 13:
            self.log.log(Log.ERROR, "illegal memory access")
            return False
        batch, _, height, width = self.shape
        sar = floats(self.addresses["sar"], (batch, 2, height, width))
        floats(self.addresses["output0"], (batch, 3, height, width))[:] = sar[:, :1]
        return True


def floats(address: int, shape: tuple[int, ...]) -> Any:
    count = int(np.prod(shape))
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address)).reshape(shape)


@pytest.fixture
def tensorrt(monkeypatch) -> Any:
    """Stands in for the module tensorrt, and torch's processor for a card."""

    class Runtime:
        def __init__(self, log: Any) -> None:
            module.first_log = self.log = getattr(module, "first_log", log)

        def deserialize_cuda_engine(self, serialised: bytes) -> Engine | None:
            if serialised == b"an engine":
                return Engine(self.log)
            self.log.log(Log.WARNING, "slow")
            self.log.log(Log.ERROR, serialised.decode())
            return None

    waits: list[str] = []
    stream = SimpleNamespace(cuda_stream=7, wait_stream=lambda _: waits.append("engine"))
    current = SimpleNamespace(wait_stream=lambda _: waits.append("current"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA T4")
    monkeypatch.setattr(nvidia, "find_spec", lambda name: object())
    module: Any = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None)  # torch looks for it when it compiles
    module.ILogger, module.Runtime, module.stream, module.waits = Log, Runtime, stream, waits
    module.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


SPEC = Spec("float16", 8, 6)


def load(folder: Path, batch: int = 4) -> Any:
    return backend.load(folder, SPEC, Plan(batch), nn.Module)


def test_an_engine_runs_on_torchs_memory(tensorrt, tmp_path) -> None:
    (tmp_path / nvidia.ENGINE).write_bytes(b"an engine")
    run = load(tmp_path)
    for _ in range(2):
        sar = torch.rand(4, 2, 8, 6)
        torch.testing.assert_close(run(sar), sar[:, :1].expand(4, 3, 8, 6), rtol=0, atol=0)
    # The engine's stream waits for what made the SAR, and what takes the RGB for the engine's.
    assert tensorrt.waits == ["engine", "current"] * 2
    with pytest.raises(AssertionError):
        run(sar[:1])


def test_what_is_wrong_with_an_engine_is_said(tensorrt, tmp_path) -> None:
    path = tmp_path / nvidia.ENGINE
    with pytest.raises(InputError, match=r"engine\.plan: not readable \(No such file"):
        load(tmp_path)
    path.write_bytes(b"made by another version")
    with pytest.raises(InputError, match=r"cannot load it: made by another version\n"):
        load(tmp_path)
    path.write_bytes(b"an engine")
    with pytest.raises(
        InputError, match=r"does not accept batches of \(33, 2, 8, 6\): above the profile"
    ):
        load(tmp_path, batch=33)
    run = load(tmp_path)
    tensorrt.stream.cuda_stream = 13
    with pytest.raises(InputError, match="failed while running: illegal memory access") as caught:
        run(torch.zeros(4, 2, 8, 6))
    assert "--backend eager" in caught.value.remedy


def test_a_card_with_too_little_memory_is_named(tensorrt, tmp_path, monkeypatch) -> None:
    path = tmp_path / nvidia.ENGINE
    path.write_bytes(b"Error Code 2: OutOfMemory")
    with pytest.raises(MemoryError, match=r"NVIDIA T4: too little memory for .*engine\.plan"):
        load(tmp_path)

    def full(*args: Any, **settings: Any) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    path.write_bytes(b"an engine")
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(MemoryError, match=r"NVIDIA T4: too little memory for batches of 4, .* GB"):
        load(tmp_path)


@pytest.mark.parametrize(
    "call", ["create_execution_context", "set_input_shape", "execute_async_v3"]
)
@pytest.mark.parametrize(
    "told", ["Error Code 2: OutOfMemory (Requested size was 7)", "Cuda Runtime (out of memory)"]
)
def test_memory_that_runs_out_inside_the_library_is_told_as_that(
    call: str, told: str, tensorrt, tmp_path, monkeypatch
) -> None:
    """So a smaller batch is tried, where a fault of the engine would end its use."""

    def refuse(engine: Engine, *_: object) -> None:
        engine.log.log(Log.ERROR, told)

    (tmp_path / nvidia.ENGINE).write_bytes(b"an engine")
    monkeypatch.setattr(Engine, call, refuse)
    with pytest.raises(MemoryError, match=r"NVIDIA T4: too little memory for .*: .*[Mm]emory"):
        load(tmp_path)(torch.zeros(4, 2, 8, 6))


def test_float32_is_left_as_it_is_and_halves_are_copies() -> None:
    network = ready("pix2pixhd")
    assert nvidia.typed(network, "float32") is network
    for precision in ("float16", "bfloat16"):
        assert isinstance(nvidia.typed(network, precision), InHalf)
        kinds = {type(module) for module in nvidia.typed(network, precision).modules()}
        assert (nn.ConvTranspose2d in kinds) == (precision == "float16")


try:
    backend.require()
    MISSING = ""
except InputError as error:
    MISSING = str(error)


@pytest.mark.gpu
@pytest.mark.skipif(bool(MISSING), reason=MISSING.partition("\n")[0])
@pytest.mark.parametrize("name", ["spade", "pix2pixhd"])
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_draws_on_the_card_what_torch_draws(name: str, precision, tmp_path) -> None:
    network, spec = ready(name), Spec(precision, 128, 96)
    backend.build(network, spec, tmp_path, NO_TILES)
    sar = torch.rand(4, 2, 128, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = network(sar)
    for batch in (1, 4):
        run = backend.load(tmp_path, spec, Plan(batch), nn.Module)
        drawn = torch.cat([run(part) for part in sar.split(batch)])
        assert (drawn - expected).abs().mean() < 0.02
