"""What TensorRT and TensorRT for RTX share: the card, the types of a network, and execution.

The two differ in how they build; their engines are loaded and run through one interface, that of
the module `trt` that functions here take.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec, is_shortage
from kit.engines.request import Precision
from kit.errors import InputError
from kit.machine.device import cuda_fault, pick, rounds_to_tf32
from kit.models.rewrites.half import HALF, InHalf
from kit.models.rewrites.subpixel import sub_pixel

ENGINE = "engine.plan"  # the file of a serialised engine
BATCHES = (16, 32, 4, 1)  # worth measuring; an engine accepts all from the least to the greatest
USUAL = BATCHES[0]  # what an engine is tuned for
INPUT, OUTPUT = "sar", "rgb"

_CUDA = 13000  # what the libraries are built with, as cuDriverGetVersion counts


def require_installed(name: str, needed: Sequence[str]) -> None:
    """Require the modules that the backend `name` needs.

    Raises:
        InputError: some are not installed; with the command that installs them.
    """
    if missing := [module for module in needed if find_spec(module) is None]:
        raise InputError(
            name,
            f"not installed: {', '.join(missing)}",
            remedy=f"pip install 'sar-to-optical-kit[{name}]'",
        )


def require_card(name: str) -> None:
    """Require a card that torch reaches and whose driver can run the backend `name`.

    Raises:
        InputError: torch is built without CUDA, there is no card, or its driver is too old.
    """
    if reason := cuda_fault():
        raise InputError(
            name, f"no CUDA device: {reason}", remedy="predict with --backend openvino or eager"
        )
    if (found := _driver()) < _CUDA:
        raise InputError(
            name,
            f"the NVIDIA driver supports CUDA {found // 1000}.{found % 1000 // 10} at most, "
            f"and {_CUDA // 1000}.0 is needed",
            remedy="update the driver to 580 or newer, or predict with --backend eager",
        )


def _driver() -> int:
    """The newest CUDA that the driver supports: 12040 is 12.4."""
    found = ctypes.c_int()
    ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(found))
    return found.value


def architecture() -> str:
    """The card's compute capability: "sm89"."""
    major, minor = torch.cuda.get_device_capability()
    return f"sm{major}{minor}"


def device() -> str:
    """The card by name and compute capability, and whether float32 is rounded to TF32."""
    rounding = ", tf32" if rounds_to_tf32() else ""
    return f"{torch.cuda.get_device_name()}, {architecture()}{rounding}"


def precisions() -> Sequence[Precision]:
    """float16 first: it rounds less than bfloat16, at the same speed."""
    if torch.cuda.get_device_capability() >= (8, 0):
        return "float16", "bfloat16", "float32"
    return "float16", "float32"


def plans() -> Sequence[Plan]:
    """Batches; a card runs one call at a time."""
    return tuple(map(Plan, BATCHES))


def typed(generator: nn.Module, precision: Precision) -> nn.Module:
    """The generator in the types that an engine of `precision` computes in; a copy if they differ.

    Raises:
        InputError: TensorRT builds no engine of this precision.
    """
    if precision == "float32":
        return generator
    if precision not in HALF:
        raise InputError(
            precision,
            "no TensorRT engine has this precision",
            remedy="choose float16, bfloat16 or float32",
        )
    network = InHalf(generator, HALF[precision])
    # TensorRT for RTX 1.7 refuses transposed convolutions of bfloat16. As sub-pixel convolutions,
    # pix2pixHD's four need 16/9 of the multiplications, so the other precisions keep them.
    return sub_pixel(network) if precision == "bfloat16" else network


def log_of(trt: Any) -> Any:
    """The log of a TensorRT library, which accepts only one in a process.

    Its `pop_errors()` returns the errors since its last call, as one text.
    """
    return _log(trt.ILogger)  # torch-tensorrt puts another module in its place, of the same types


@cache
def _log(kind: Any) -> Any:
    class Log(kind):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (kind.INTERNAL_ERROR, kind.ERROR):
                self.errors.append(message.strip())

        def pop_errors(self) -> str:
            errors, self.errors = self.errors, []
            return "; ".join(errors) or "no reason given"

    return Log()


class Execution:
    """A serialised engine on the card, with the memory that one batch needs.

    Args:
        trt: the library that built it.
        path: the engine's file.
        spec: what it was built for.
        plan: how many tiles a call has.
        configure: sets what only this library's runtime configuration has.

    Raises:
        InputError: the file is missing, damaged or of another version, or the engine does not
            accept such a batch.
        MemoryError: the card's memory does not hold the engine, or such a batch.
    """

    def __init__(
        self,
        trt: Any,
        path: Path,
        spec: Spec,
        plan: Plan,
        configure: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.log = log_of(trt)
        try:
            serialised = path.read_bytes()
        except OSError as error:
            raise self._fault(f"not readable ({error.strerror})") from None
        self.log.pop_errors()
        # Kept, though nothing calls it again: the engine must not outlive its runtime.
        self.runtime = trt.Runtime(self.log)
        self.engine = self.runtime.deserialize_cuda_engine(serialised)
        if self.engine is None:
            raise self._failed("TensorRT cannot load it")
        self._prepare(trt, (plan.batch, spec.channels, spec.height, spec.width), configure)

    def _prepare(self, trt: Any, shape: tuple[int, ...], configure: Callable[[Any], None]) -> None:
        config = self.engine.create_runtime_config()
        # Torch allocates, for this batch and not for the largest, and raises if it cannot.
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        configure(config)
        context = self.engine.create_execution_context(config)
        if context is None or not context.set_input_shape(self._input, shape):
            raise self._failed(f"does not accept batches of {shape}")
        size = context.update_device_memory_size_for_shapes()
        try:
            self.memory = torch.empty(size, dtype=torch.uint8, device=pick())
            self.sar = torch.empty(shape, device=pick())
            self.rgb = torch.empty((shape[0], 3, *shape[2:]), device=pick())
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryError(
                f"{torch.cuda.get_device_name()}: too little memory for batches of {shape[0]}, "
                f"which need {size / 1e9:.1f} GB"
            ) from error
        context.set_device_memory(self.memory.data_ptr(), size)
        context.set_tensor_address(self._input, self.sar.data_ptr())
        context.set_tensor_address(self._output, self.rgb.data_ptr())
        self.context = context
        # On the default stream TensorRT would wait for all other streams.
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    @property
    def _input(self) -> str:
        name: str = self.engine.get_tensor_name(0)
        return name

    @property
    def _output(self) -> str:
        name: str = self.engine.get_tensor_name(1)
        return name

    def __call__(self, sar: Tensor) -> Tensor:
        """SAR [batch, 2, H, W] to RGB [batch, 3, H, W], float32 on the card, which goes on."""
        # Copying a smaller batch would broadcast it.
        assert sar.shape == self.sar.shape, sar.shape
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            self.sar.copy_(sar, non_blocking=True)
            if not self.context.execute_async_v3(self.stream.cuda_stream):
                raise self._failed("failed while running")
            rgb = self.rgb.clone()
        current.wait_stream(self.stream)
        return rgb

    def _failed(self, problem: str) -> InputError | MemoryError:
        """The error for what the library refused, by the reason that it logged."""
        reason = self.log.pop_errors()
        if is_shortage(reason):
            card = torch.cuda.get_device_name()
            return MemoryError(f"{card}: too little memory for {self.path}: {reason}")
        return self._fault(f"{problem}: {reason}")

    def _fault(self, problem: str) -> InputError:
        return InputError(
            self.path,
            problem,
            remedy="delete its folder to build it again, or predict with --backend eager",
        )
