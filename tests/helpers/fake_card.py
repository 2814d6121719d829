"""Trace a training step as it would be on a card, without one: what it starts, and waits for.

    LD_PRELOAD=GUARD python -m tests.helpers.fake_card VARIANT...

Tensors are fake: they have shapes and devices and no memory. GUARD is `cuda/guard.cpp`, compiled. A
JSON line for each variant: how many operations torch dispatches in a step, views among them, and
each for which the host waits.
"""

import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kit.inputs.dataset import Sample
from kit.machine.distributed import ProcessGroup
from kit.training.state import State
from kit.training.train_step import TrainStep
from tests.helpers.variants import tiny

CARD = torch.device("cuda", 0)
_ops = torch.ops.aten


class Traced(TorchDispatchMode):
    """Counts operations, and notes those for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.waits: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None):
        named = named or {}
        # Only a fake tensor is asked for its device.
        self.operations += operation is not torch.ops.prim.device.default
        if operation is _ops._local_scalar_dense.default:
            self.waits.append("a number")
            return 1.0
        made = operation(*given, **named)
        if operation in (_ops._to_copy.default, _ops.copy_.default):
            source = given[1] if operation is _ops.copy_.default else given[0]
            blocks = not (named.get("non_blocking") or (len(given) > 2 and given[2]))
            if source.device != made.device and blocks:
                self.waits.append(f"a copy from {source.device} to {made.device}")
        return made


def stand_in_for_a_card() -> list[str]:
    """Have torch answer as if there was one; returns the list of events that are waited for."""
    waits: list[str] = []

    class Event:
        def record(self) -> None: ...

        def synchronize(self) -> None:
            waits.append("an event")

    stream = SimpleNamespace(wait_stream=lambda _: None)
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    for name, answer in {
        "current_device": lambda: 0,
        "is_bf16_supported": lambda: True,
        "Event": Event,
        "Stream": lambda: stream,
        "stream": lambda _: nullcontext(),
        "current_stream": lambda: stream,
    }.items():
        setattr(torch.cuda, name, answer)
    torch.Tensor.record_stream = lambda *_: None

    def tolist(tensor: torch.Tensor) -> list[float]:
        if tensor.device == CARD:
            waits.append("a list")
        return [1.0] * tensor.numel()  # as good as what nothing has computed

    FakeTensor.tolist = tolist
    return waits


def pick() -> torch.device:
    """`kit.machine.device.pick`."""
    return CARD


def place(item: Any) -> Any:
    """`kit.machine.device.place`, which cannot change the tensors of a module for fake ones."""
    if isinstance(item, torch.Tensor):
        return item.to(CARD, memory_format=torch.channels_last, non_blocking=True)
    for module in item.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                layout = torch.channels_last if weight.dim() == 4 else torch.preserve_format
                placed = weight.detach().to(CARD, memory_format=layout)
                module._parameters[name] = torch.nn.Parameter(placed)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(CARD)
    return item


def trace(name: str, waits: list[str]) -> dict[str, Any]:
    variant = tiny(name, "width=4", "precision=bfloat16")
    with FakeTensorMode():
        step = TrainStep(variant, State.new(variant), ProcessGroup())
        sizes = (variant.input_channels, 3, 1)
        sample = Sample(*(torch.empty(variant.batch, count, 32, 32) for count in sizes))
        step(sample)
        step(sample)
        waits.clear()
        with Traced() as traced:
            step(sample)
    return {"operations": traced.operations, "waits": traced.waits + waits}


def main() -> None:
    waits = stand_in_for_a_card()
    # Not by torch.cuda.is_available(): fake tensors would then use the card that is not there.
    for module in [module for name, module in sys.modules.items() if name.startswith("kit.")]:
        for own in (pick, place):
            if hasattr(module, own.__name__):
                setattr(module, own.__name__, own)
    for name in sys.argv[1:]:
        print(json.dumps({"variant": name, **trace(name, waits)}), flush=True)


if __name__ == "__main__":
    main()
