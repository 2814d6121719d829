"""What processes that train together learn of a card: their norms, and steps that two share.

Each function is a section of bench/gpu_check.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from gpu_steps import NAMES, Facts, Sizes, apart, best, compared, losses
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from kit.machine.device import pick, place
from kit.machine.distributed import ProcessGroup
from kit.models.layers.sync_batch_norm import SyncBatchNorm
from kit.variants.registry import find_variant

_CHANNELS = 64


def norms(sizes: Sizes) -> Facts:
    """The norm of several processes, here of one, beside torch's: relative differences, and ms."""
    facts: Facts = {}
    backend = "cpu:gloo,cuda:nccl" if pick().type == "cuda" else "gloo"
    with TemporaryDirectory() as folder, group(backend, folder, 0, 1):
        for kind in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            features, gradient = (
                place(torch.randn(8, _CHANNELS, sizes.side, sizes.side)).to(kind) for _ in range(2)
            )
            ours, theirs = place(SyncBatchNorm(_CHANNELS)), place(nn.BatchNorm2d(_CHANNELS))
            found, expected = (passed(norm, features, gradient) for norm in (ours, theirs))
            facts[str(kind).removeprefix("torch.")] = {
                **{name: apart(found[name], expected[name]) for name in expected},
                "ms": 1000 * best(partial(passed, ours, features, gradient), sizes.steps),
                "torch's ms": 1000 * best(partial(passed, theirs, features, gradient), sizes.steps),
            }
    return facts


def passed(norm: nn.Module, features: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """What a norm gives forward and backward for features [B, C, h, w]."""
    norm.zero_grad()
    features = features.clone().requires_grad_()
    normed = norm(features)
    normed.backward(gradient)
    assert features.grad is not None
    weights = {name: weight.grad for name, weight in norm.named_parameters()}
    found = {"forward": normed.detach(), "backward": features.grad, **weights}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def ranks(sizes: Sizes) -> Facts:
    """Losses of two processes on one card, over gloo, beside those of one: relative differences."""
    facts: Facts = {}
    with TemporaryDirectory() as folder:
        spawn(rank, (folder, sizes), nprocs=2)  # type: ignore[no-untyped-call]
        together: dict[str, list[float]] = json.loads(Path(folder, "losses.json").read_text())
    for name in NAMES:
        variant = find_variant(name, (*sizes.narrow, "precision=float32"))
        facts[name] = compared(together[name], losses(variant, pick()))
    return facts


def rank(number: int, folder: str, sizes: Sizes) -> None:
    """One of the two processes; the first writes the losses of both."""
    found = {}
    with group("gloo", folder, number, 2):
        for name in NAMES:
            variant = find_variant(name, (*sizes.narrow, "precision=float32"))
            found[name] = losses(variant, pick(), ProcessGroup(number, 2))
    if number == 0:
        Path(folder, "losses.json").write_text(json.dumps(found))


@contextmanager
def group(backend: str, folder: str, number: int, size: int) -> Iterator[None]:
    """This process as one of so many, which meet by a file in `folder`."""
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group(backend, init_method=meeting, rank=number, world_size=size)
    try:
        yield
    finally:
        distributed.destroy_process_group()
