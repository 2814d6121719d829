"""TensorRT for RTX: engines for NVIDIA's RTX cards, built on any machine, with a card or without.

`pip install 'sar-to-optical-kit[tensorrt-rtx]'` installs it. The generator is exported to ONNX,
whose types decide the precision of each layer. The library finishes compiling an engine on the card
when it loads it.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec
from kit.engines.backends import nvidia
from kit.engines.onnx_file import onnx_program
from kit.errors import InputError
from kit.machine.device import rounds_to_tf32
from kit.models.infer import Forward
from kit.storage.files import write_bytes

NAME = "tensorrt-rtx"
_DISTRIBUTION = "tensorrt-rtx-cu13"
_NEEDED = ("tensorrt_rtx", "onnx", "onnxscript")


def require() -> None:
    """Raises InputError where it is not installed, or this machine has no card that it supports."""
    known = targets()
    nvidia.require_card(NAME)
    if nvidia.architecture() not in known:
        raise InputError(
            NAME,
            f"{nvidia.device()} is not among the cards that it supports ({', '.join(known)})",
            remedy="predict with --backend tensorrt or eager",
        )


def targets() -> Mapping[str, str]:
    """The compute capabilities that it builds for: "sm89" is that of the RTX 40 cards.

    Raises:
        InputError: it is not installed.
    """
    names = [name.lower() for name in _library().ComputeCapability.__members__]
    return {name: _device(name) for name in names if name.startswith("sm")}


def version() -> str:
    """Its version and that of torch, whose exporter decides which layers there are."""
    return f"{_DISTRIBUTION} {version_of(_DISTRIBUTION)}, torch {torch.__version__}"


def device() -> str:
    """All that an engine depends on: the compute capability, and whether float32 is rounded."""
    return _device(nvidia.architecture())


precisions, plans = nvidia.precisions, nvidia.plans


def build(generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
    """Write an engine for batches of 1 to 32 at the size of `spec`, for its target."""
    with TemporaryDirectory(dir=folder) as aside:
        model = Path(aside) / "model.onnx"
        export(nvidia.typed(generator, spec.precision), spec, model)
        serialised = compile_for(spec.target or nvidia.architecture(), model, spec)
    write_bytes(folder / nvidia.ENGINE, serialised)


def load(folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]) -> Forward:
    """The engine, on the card."""
    trt = _library()

    def configure(config: Any) -> None:
        # Compile for the batch before the first call, not during the next.
        config.dynamic_shapes_kernel_specialization_strategy = (
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )

    return nvidia.Execution(trt, folder / nvidia.ENGINE, spec, plan, configure)


def export(network: nn.Module, spec: Spec, path: Path) -> None:
    """Write `network` as ONNX, for any batch at the size of `spec`; its weights lie beside it."""
    # Two, because torch makes a constant of a batch of one.
    example = torch.zeros(2, spec.channels, spec.height, spec.width)
    program = onnx_program(network, {nvidia.INPUT: example}, nvidia.OUTPUT, max(nvidia.BATCHES))
    program.save(path, external_data=True)


def compile_for(target: str, model: Path, spec: Spec) -> bytes:
    """The serialised engine of an ONNX model, for cards of a compute capability of `targets`.

    Raises:
        InputError: the library does not support a layer or its type; nothing is built then.
    """
    trt = _library()
    builder, network, _ = parse(model)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], 0)
    # Otherwise every batch needs the memory of the largest.
    config.set_preview_feature(trt.PreviewFeature.RUNTIME_ACTIVATION_RESIZE_10_10, True)
    if not rounds_to_tf32():
        config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    batches = (min(nvidia.BATCHES), nvidia.USUAL, max(nvidia.BATCHES))
    size = spec.channels, spec.height, spec.width
    profile.set_shape(nvidia.INPUT, *((batch, *size) for batch in batches))
    config.add_optimization_profile(profile)
    serialised = builder.build_serialized_network(network, config)
    if serialised is None:
        raise _refused(f"cannot build a {spec.precision} engine for {target}")
    return bytes(serialised)


def parse(model: Path) -> tuple[Any, Any, Any]:
    """A builder, the network that it read out of an ONNX file, and the parser that read it.

    The types of the network are those in the file.

    Raises:
        InputError: the library does not support a layer.
    """
    trt = _library()
    log = nvidia.log_of(trt)
    log.pop_errors()
    builder = trt.Builder(log)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(model)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        layers = "; ".join(f"{each.node_name()}: {each.desc()}" for each in errors)
        raise _refused(f"does not support the network: {layers}")
    return builder, network, parser


def _device(architecture: str) -> str:
    return architecture + (", tf32" if rounds_to_tf32() else "")


def _refused(problem: str) -> InputError:
    reason = nvidia.log_of(_library()).pop_errors()
    return InputError(
        NAME,
        f"{problem}: {reason}",
        remedy="choose another --precision, or predict with --backend eager",
    )


def _library() -> Any:
    nvidia.require_installed(NAME, _NEEDED)
    import tensorrt_rtx

    return tensorrt_rtx
