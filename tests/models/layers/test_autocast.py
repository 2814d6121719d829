import pytest
import torch
from torch import Tensor, nn

from kit.models.layers.instance_norm import InstanceNorm
from kit.models.nafnet import NafNet
from kit.models.pix2pixhd import GlobalGenerator
from kit.models.spade import SpadeGenerator
from kit.models.unet import UNet

pytestmark = pytest.mark.numerical

NETWORKS = {
    "spade": lambda: SpadeGenerator(2),
    "spade instance": lambda: SpadeGenerator(2, norm=InstanceNorm),
    "pix2pixhd": lambda: GlobalGenerator(2),
    "nafnet": lambda: NafNet(2, boxes=(5,)),
    "unet": lambda: UNet(8),
}
SPECTRAL = ("spade", "spade instance")
LAST = {"pix2pixhd": "model.38", "nafnet": "ending", "unet": "ending"}  # others have conv_img


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast_leaves_the_last_convolution_in_float32(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    kinds: dict[str, set[torch.dtype]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        kinds.setdefault(type(module).__name__, set()).add(out.dtype)

    for module in network.modules():
        module.register_forward_hook(note)
    sar = torch.rand(2, 2, 64, 64) * 2 - 1
    plain = network(sar)
    assert kinds["ParametrizedConv2d" if name in SPECTRAL else "Conv2d"] == {torch.float32}
    kinds.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rgb = network(sar)
    last = network.get_submodule(LAST.get(name, "conv_img"))
    assert rgb.dtype == torch.float32 and last.weight.dtype == torch.float32
    assert torch.bfloat16 in kinds["ParametrizedConv2d" if name in SPECTRAL else "Conv2d"]
    assert 0 < (rgb - plain).abs().mean() < 0.05
    # Steps of bfloat16 near 1 are 1/256 wide, so a rounded picture would hold few values.
    assert len(rgb.unique()) > 0.5 * len(plain.unique())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, InstanceNorm])
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_statistics_are_taken_in_float32(norm: type, memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    layer = norm(3, affine=False)
    features = (torch.randn(2, 3, 128, 128) + 20).to(torch.bfloat16, memory_format=memory)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = layer(features).float()
    # A sum of 16,384 numbers around 20 has no place for their differences in bfloat16.
    axes = (0, 2, 3) if norm is nn.BatchNorm2d else (2, 3)
    exact = features.double()
    mean, variance = exact.mean(axes, keepdim=True), exact.var(axes, correction=0, keepdim=True)
    expected = ((exact - mean) / (variance + 1e-5).sqrt()).float()
    torch.testing.assert_close(drawn, expected, atol=0.02, rtol=2**-8)


@pytest.mark.parametrize(
    "name",
    [
        # All leave autocast by the same function.
        pytest.param(name, marks=pytest.mark.slow) if name != "nafnet" else name
        for name in NETWORKS
    ],
)
def test_an_exported_graph_knows_no_autocast(name: str) -> None:
    network = NETWORKS[name]().eval()
    graph = torch.export.export(network, (torch.rand(1, 2, 64, 64),)).graph
    assert not [node for node in graph.nodes if "autocast" in str(node.target)]
