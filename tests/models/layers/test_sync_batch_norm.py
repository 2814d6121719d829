"""Two processes' batch norm is one process's on the joined batch, forward and backward."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.utils._python_dispatch import TorchDispatchMode

from kit.models.layers.sync_batch_norm import SyncBatchNorm

STEPS = 3


def features(kind: torch.dtype, mean: float) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    made = torch.randn(STEPS, 4, 5, 3, 6, generator=draw, dtype=torch.float64)
    made = made * torch.arange(1, 6).view(5, 1, 1) + mean
    made[:, 2:] += 7  # the two shares differ
    return made.to(kind)


def trained(
    norm: nn.Module, batches: Tensor, layout: torch.memory_format = torch.contiguous_format
) -> dict[str, Tensor]:
    """What a norm gives for batches [S, B, C, h, w], and its gradients of a loss that is uneven."""
    norm.to(batches.dtype)
    found: dict[str, list[Tensor]] = {"normed": [], "gradient": []}
    for batch in batches:
        batch = batch.clone(memory_format=layout).requires_grad_()
        normed = norm(batch)
        (normed.sin() * batch.detach().cos()).sum().backward()
        found["normed"].append(normed.detach())
        found["gradient"].append(batch.grad)
    stacked = {name: torch.stack(tensors) for name, tensors in found.items()}
    weights = {f"{name}.grad": weight.grad for name, weight in norm.named_parameters()}
    return stacked | weights | dict(norm.named_buffers())


def made(norm: type[nn.BatchNorm2d], affine: bool) -> nn.BatchNorm2d:
    module = norm(5, affine=affine)
    if affine:
        nn.init.constant_(module.weight, 1.5)
        nn.init.constant_(module.bias, 0.5)
    return module


CASES = {
    "float64": (torch.float64, 0.0, True, torch.contiguous_format),
    "without gain": (torch.float64, 0.0, False, torch.contiguous_format),
    "mean of 1000": (torch.float32, 1000.0, True, torch.contiguous_format),
    "channels last": (torch.float64, 0.0, True, torch.channels_last),
}


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    results = {}
    for name, (kind, mean, affine, layout) in CASES.items():
        own = features(kind, mean)[:, 2 * rank : 2 * rank + 2]
        results[name] = trained(made(SyncBatchNorm, affine), own, layout)
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("norm")
    spawn(one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.multiprocess
@pytest.mark.slow  # two processes that import torch
@pytest.mark.parametrize("name", CASES)
def test_two_processes_normalise_as_one(of_two, name: str) -> None:
    kind, mean, affine, _ = CASES[name]
    every = features(kind, mean)
    exact = trained(made(nn.BatchNorm2d, affine), every.double())
    near = {"atol": 1e-12, "rtol": 1e-12}
    if kind == torch.float32:
        near = {"atol": 2e-3, "rtol": 1e-3}  # what rounding to float32 leaves of 1000
    for key, expected in exact.items():
        shares = [results[name][key].double() for results in of_two]
        if key in ("normed", "gradient"):
            found = torch.cat(shares, dim=1)
        elif key.endswith(".grad"):
            found = shares[0] + shares[1]  # DistributedDataParallel averages them
        else:
            found = shares[0]
            assert torch.equal(*shares), key
        torch.testing.assert_close(found, expected.double(), **near, msg=lambda m, k=key: k + m)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def test_without_a_momentum_it_keeps_the_mean_of_all_batches(alone: None) -> None:
    ours, theirs = SyncBatchNorm(5).double(), nn.BatchNorm2d(5).double()
    for norm in (ours, theirs):
        norm.momentum = None
        for batch in features(torch.float64, 2.0):
            norm(batch)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


class Backwards(TorchDispatchMode):
    """Keeps what is given to torch's backward of a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.native_batch_norm_backward.default:
            self.given.append(args)
        return function(*args, **(kwargs or {}))


def test_backward_gives_torch_the_statistics_that_a_card_asks_for(alone: None) -> None:
    """Where features are channels last, as they are on a card, CUDA reads the saved ones."""
    with Backwards() as seen:
        trained(made(SyncBatchNorm, True), features(torch.float32, 2.0)[:1], torch.channels_last)
    ((_, batch, _, mean, variance, saved_mean, saved_scale, *_),) = seen.given
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(saved_mean, mean)
    torch.testing.assert_close(saved_scale, (variance + 1e-5).rsqrt())


@pytest.mark.slow  # seconds in torch's compiler
def test_a_graph_has_one_all_reduce_each_way_and_no_break(alone: None) -> None:
    graphs: list[str] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph.code)
        return graph

    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    norm = SyncBatchNorm(5)
    backend = aot_autograd(fw_compiler=lambda *given: make_boxed_func(keep(*given)))
    batch = features(torch.float32, 0.0)[0].requires_grad_()
    torch.compile(norm, backend=backend, fullgraph=True)(batch).square().sum().backward()
    assert [graph.count(".all_reduce") for graph in graphs] == [1, 1]
    assert "_local_scalar_dense" not in "".join(graphs) and ".item(" not in "".join(graphs)


def test_in_evaluation_it_is_torchs_own() -> None:
    ours, theirs = SyncBatchNorm(5).eval(), nn.BatchNorm2d(5).eval()
    batch = features(torch.float32, 0.0)[0]
    assert torch.equal(ours(batch), theirs(batch))
