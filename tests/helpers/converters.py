"""Build engines by torch-tensorrt's converters on a machine without a card, a JSON line for each.

    python tests/helpers/converters.py CONVERTERS NETWORK...

TensorRT for RTX builds for a card that is named; CONVERTERS holds torch-tensorrt-rtx, whose
converters are torch-tensorrt's, without its native libraries, which need torch for CUDA. What asks
for a card gets answers here, and the engine, which only a card could load, is passed on.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tensorrt_rtx
import torch

from kit.engines.backend import Spec
from kit.engines.backends import nvidia
from kit.engines.backends import tensorrt as backend
from kit.errors import InputError
from kit.models.rewrites import fuse
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import trained_like

PRECISIONS = "float32", "float16", "bfloat16"
_MEMORY = 8 << 30


class Runtime:
    """Stands in for the runtime: an engine stays the bytes that it is."""

    def __init__(self, log: object) -> None: ...

    def deserialize_cuda_engine(self, serialised: Any) -> Any:
        return SimpleNamespace(serialize=lambda: serialised)


def stand_in_for_a_card() -> None:
    card = SimpleNamespace(major=8, minor=9, name="none", total_memory=_MEMORY)
    answers: dict[str, Any] = {
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: card,
        "mem_get_info": lambda *_: (_MEMORY, _MEMORY),
        "empty_cache": lambda: None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    torch._C._CudaDeviceProperties = SimpleNamespace
    whole = tensorrt_rtx.Builder.create_builder_config

    def configured(builder: Any) -> Any:
        config = whole(builder)
        config.num_compute_capabilities = 1
        config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM89, 0)
        return config

    tensorrt_rtx.Builder.create_builder_config = configured
    tensorrt_rtx.Runtime = Runtime
    sys.modules["tensorrt"] = tensorrt_rtx  # as torch-tensorrt-rtx itself calls it
    nvidia.find_spec = lambda name: object()


def build(name: str, precision: str) -> dict[str, Any]:
    started = time.monotonic()
    network = fuse._rewrite(fold(trained_like(name)))
    about: dict[str, Any] = {"network": name, "precision": precision}
    with tempfile.TemporaryDirectory() as folder:
        try:
            backend.build(network, Spec(precision, 64, 64), Path(folder), torch.empty(0))
        except InputError as error:
            return about | {"failed": error.problem}
        size = (Path(folder) / nvidia.ENGINE).stat().st_size
    return about | {"bytes": size, "seconds": round(time.monotonic() - started, 1)}


def main() -> None:
    converters, *names = sys.argv[1:]
    sys.path.insert(0, converters)
    stand_in_for_a_card()
    for name in names:
        for precision in PRECISIONS:
            print(json.dumps(build(name, precision)), flush=True)
    # TensorRT for RTX refuses transposed convolutions of bfloat16, which the kit rewrites.
    nvidia.sub_pixel = lambda network: network
    print(json.dumps(build("pix2pixhd", "bfloat16") | {"network": "refused"}), flush=True)


if __name__ == "__main__":
    main()
