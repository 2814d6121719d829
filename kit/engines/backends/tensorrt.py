"""TensorRT through torch-tensorrt: the fastest backend that we know for data centre cards.

`pip install 'sar-to-optical-kit[tensorrt]'` installs it. An engine is built on the card that it is
for, from torch's export of the generator, whose types decide the precision of each layer.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec, is_shortage
from kit.engines.backends import nvidia
from kit.engines.backends.silence import silenced
from kit.errors import InputError
from kit.machine.device import pick, rounds_to_tf32
from kit.models.infer import Forward
from kit.storage.files import write_bytes

NAME = "tensorrt"
_NEEDED = ("torch_tensorrt", "tensorrt")


def require() -> None:
    """Raises InputError where it is not installed, does not load, or there is no card."""
    nvidia.require_installed(NAME, _NEEDED)
    nvidia.require_card(NAME)
    _library()


def targets() -> Mapping[str, str]:
    """Empty: an engine is timed on the card that it is built for."""
    return {}


def version() -> str:
    """The versions of torch-tensorrt, which converts, TensorRT, which builds, and torch."""
    torch_tensorrt, tensorrt = version_of("torch-tensorrt"), version_of("tensorrt")
    return f"torch-tensorrt {torch_tensorrt}, tensorrt {tensorrt}, torch {torch.__version__}"


device, precisions, plans = nvidia.device, nvidia.precisions, nvidia.plans


def build(generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
    """Write an engine for batches of 1 to 32 at the size of `spec`.

    Raises:
        InputError: TensorRT does not build the network in the precision.
        MemoryError: the card has too little memory to build it.
    """
    torch_tensorrt = _library()
    log = nvidia.log_of(_tensorrt())
    log.pop_errors()
    network = copy.deepcopy(nvidia.typed(generator, spec.precision)).to(pick())
    least, usual, most = (
        (batch, spec.channels, spec.height, spec.width)
        for batch in (min(nvidia.BATCHES), nvidia.USUAL, max(nvidia.BATCHES))
    )
    example = torch.zeros(usual, device=pick())
    batch = torch.export.Dim("batch", min=least[0], max=most[0])
    # An error is logged with its traceback before it is raised.
    with silenced(logging.ERROR), TemporaryDirectory() as aside:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        try:
            # One engine of the complete graph: a layer that cannot be converted raises, and torch
            # runs none. Plain bytes, because an exported program with an engine would be unpickled.
            serialised = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                program,
                arg_inputs=[
                    torch_tensorrt.Input(
                        min_shape=least, opt_shape=usual, max_shape=most, dtype=torch.float32
                    )
                ],
                **settings(Path(aside)),
            )
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            reason = _reason(error) + (f"; {log.pop_errors()}" if log.errors else "")
            if is_shortage(reason):
                raise MemoryError(reason) from error
            raise InputError(
                NAME,
                f"cannot build a {spec.precision} engine: {reason}",
                remedy="choose another --precision, or predict with --backend eager",
            ) from error
    write_bytes(folder / nvidia.ENGINE, serialised)


def load(folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]) -> Forward:
    """The engine, on the card."""
    return nvidia.Execution(_tensorrt(), folder / nvidia.ENGINE, spec, plan)


def settings(aside: Path) -> dict[str, Any]:
    """How torch-tensorrt compiles; scratch files go to the folder `aside`."""
    return {
        "require_full_compilation": True,
        "min_block_size": 1,
        "disable_tf32": not rounds_to_tf32(),
        # The kit has its own cache of engines.
        "cache_built_engines": False,
        "reuse_cached_engines": False,
        # By default in a folder that all users of the machine share.
        "timing_cache_path": str(aside / "timing.bin"),
        # Weights are never replaced, so they may be folded into layers.
        "immutable_weights": True,
    }


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause: the outermost error repeats the complete graph."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0][:300] or type(error).__name__


def _tensorrt() -> Any:
    """TensorRT, whose errors are in our log from now on: it keeps the first that it is given."""
    nvidia.require_installed(NAME, _NEEDED)
    import tensorrt

    tensorrt.Runtime(nvidia.log_of(tensorrt))
    return tensorrt


def _library() -> Any:
    try:
        with silenced():
            _tensorrt()  # ahead of torch-tensorrt, which gives it a log of its own
            import torch_tensorrt
            from torch_tensorrt.logging import TRT_LOGGER
    # It raises bare Exceptions where a library of its own is missing.
    except Exception as error:
        raise InputError(
            NAME,
            f"cannot be imported: {_reason(error)}",
            remedy="pip install --force-reinstall torch-tensorrt",
        ) from error
    # What a builder has to say goes to its log, which is silenced.
    TRT_LOGGER.log = nvidia.log_of(_tensorrt()).log
    return torch_tensorrt
