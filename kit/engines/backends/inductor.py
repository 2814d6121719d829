"""torch.compile's compiler, ahead of time: shared objects for this processor or card.

Building an engine requires a C++ compiler, on a card Triton too; loading one requires neither. One
engine accepts the batches of all plans.
"""

import copy
import errno
import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec, is_shortage
from kit.engines.backends.silence import silenced
from kit.engines.request import Precision
from kit.errors import InputError
from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.device import pick, place, what_computes
from kit.models.infer import Forward
from kit.models.rewrites.half import HALF, InHalf
from kit.storage.files import unwritable

NAME = "inductor"
_MODEL = "model.pt2"
# What the system says of a full disk, which torch and the compiler that it runs repeat.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BATCHES = {"cpu": (1, 4), "cuda": (1, 4, 16, 32)}
_OTHERWISE = "predict with --backend eager"


def require() -> None:
    """Raises InputError where there is no C++ compiler; on a card, no Triton or CUDA toolkit."""
    _compiler()
    if pick().type == "cpu":
        return
    if find_spec("triton") is None:
        raise InputError(
            NAME, "Triton is not installed", remedy=f"pip install triton, or {_OTHERWISE}"
        )
    if not _has_toolkit():
        problem = "requires the CUDA toolkit to build engines for a card, and none was found"
        remedy = f"install it, and name its folder in CUDA_HOME; or {_OTHERWISE}"
        raise InputError(NAME, problem, remedy=remedy)


def targets() -> Mapping[str, str]:
    """Empty: the code is for the instructions of the machine that it is built on."""
    return {}


def version() -> str:
    """The versions of torch and of the C++ compiler."""
    return f"torch {torch.__version__}, {_version_of(_compiler())}"


def device() -> str:
    """The card, or the processor's name and a digest of its instruction sets, all in use."""
    if pick().type == "cuda":
        return what_computes()
    about: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    flags = ",".join(sorted(name for name, has in about.items() if has is True))
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
    return f"{what_computes()}, {about.get('cpu_name', 'unnamed')}, instructions {digest}"


def precisions() -> Sequence[Precision]:
    """Half precision where the device multiplies it fast; of the two, float16 rounds less."""
    halves: tuple[Precision, ...] = ("bfloat16",) if bfloat16_pays() else ()
    if pick().type == "cuda":
        halves = ("float16", *halves)
    return (*halves, "float32")


def plans() -> Sequence[Plan]:
    """Batches; one call runs on the whole device."""
    return tuple(map(Plan, _BATCHES[pick().type]))


def build(generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
    """Write a package for batches of 1 to 32 at the size of `spec`.

    Raises:
        InputError: the compiler rejects the generated code.
        MemoryError: there is too little memory to build it.
    """
    network = generator
    if spec.precision in HALF:
        network = InHalf(generator, HALF[spec.precision])
    network = place(copy.deepcopy(network).eval())
    # Two, because torch makes a constant of a batch of one.
    example = torch.zeros(2, spec.channels, spec.height, spec.width, device=pick())
    batch = torch.export.Dim("batch", min=1, max=max(map(max, _BATCHES.values())))
    # The intermediate files hold the weights too, and would stay in torch's own cache.
    with silenced(), torch.no_grad(), TemporaryDirectory() as aside:
        from torch._inductor.utils import fresh_cache

        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        try:
            with fresh_cache(dir=aside):
                torch._inductor.aoti_compile_and_package(
                    program,
                    package_path=str(folder / _MODEL),
                    inductor_configs=_settings(),
                )
        except RuntimeError as error:
            reason = _first_line(error)
            if is_shortage(reason):
                raise MemoryError(reason) from error
            if full := next((code for code in _FULL if os.strerror(code) in str(error)), 0):
                raise unwritable(folder / _MODEL, OSError(full, os.strerror(full))) from error
            raise InputError(
                NAME,
                f"cannot build a {spec.precision} engine: {reason}",
                remedy=f"choose another --precision, or {_OTHERWISE}",
            ) from error


def load(folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]) -> Forward:
    """The package's function, on the device.

    Raises:
        InputError: the package is missing, damaged, or of another torch.
        MemoryError: the card's memory does not hold the weights.
    """
    path = folder / _MODEL
    try:
        with silenced():
            model = torch._inductor.aoti_load_package(str(path))
    except (OSError, RuntimeError) as error:
        reason = _first_line(error)
        if is_shortage(reason):
            raise MemoryError(
                f"{what_computes()}: too little memory for {path}: {reason}"
            ) from error
        raise InputError(
            path,
            f"does not load: {reason}",
            remedy=f"delete its folder to build it again, or {_OTHERWISE}",
        ) from None

    @torch.inference_mode()
    def run(sar: Tensor) -> Tensor:
        before = _refusals()
        try:
            rgb: Tensor = model(sar.to(pick()).contiguous())
        except RuntimeError as error:
            # The package reports that it failed, not why.
            if _refusals() > before:
                problem = f"too little memory for batches of {len(sar)}"
                raise MemoryError(f"{what_computes()}: {problem}") from error
            raise
        return rgb

    return run


def _settings() -> dict[str, Any]:
    return {
        # Weights are folded, and laid out as the convolutions want them.
        "freezing": True,
        # Otherwise as many as there were when it was built.
        "cpp.dynamic_threads": True,
    }


def _refusals() -> int:
    """How many allocations the card has refused."""
    if pick().type == "cpu":
        return 0
    return int(torch.cuda.memory_stats().get("num_ooms", 0))


def _compiler() -> str:
    """The C++ compiler that torch chooses.

    Raises:
        InputError: no compiler works.
    """
    from torch._inductor import cpp_builder, exc

    try:
        return str(cpp_builder.get_cpp_compiler())
    except (exc.InvalidCxxCompiler, OSError, subprocess.SubprocessError):
        problem = "requires a C++ compiler to build engines, and none was found"
        remedy = f"install g++ (apt install g++), or name one in CXX; or {_OTHERWISE}"
        raise InputError(NAME, problem, remedy=remedy) from None


def _has_toolkit() -> bool:
    """Whether there are the headers that torch would compile with."""
    from torch.utils import cpp_extension

    home = cpp_extension.CUDA_HOME
    return home is not None and (Path(home) / "include" / "cuda.h").is_file()


@cache
def _version_of(compiler: str) -> str:
    try:
        result = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return compiler
    return result.stdout.partition("\n")[0].strip() or compiler


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
