from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kit.errors import InputError
from kit.models.discriminator import Discriminator
from kit.models.pix2pixhd import GlobalGenerator
from kit.models.published import export_reference_weights, import_reference_weights
from kit.models.spade import SpadeGenerator

NETWORKS = {
    "spade": lambda: SpadeGenerator(1),
    "spade instance": lambda: SpadeGenerator(1, "most", nn.InstanceNorm2d),
    "pix2pixhd": lambda: GlobalGenerator(1),
    "pix2pixhd batch": lambda: GlobalGenerator(1, nn.BatchNorm2d),
    "spade discriminator": lambda: Discriminator("spade", 1),
    "pix2pixhd discriminator": lambda: Discriminator("pix2pixhd", 1),
}
Shapes = dict[str, tuple[int, ...]]


def spade_shapes(blocks: dict[str, tuple[int, int]], last: int) -> Shapes:
    """What a published SPADE generator of ngf 64 stores, with two input channels and batch norm."""
    shapes: Shapes = {"fc.weight": (1024, 2, 3, 3), "fc.bias": (1024,)}
    for block, (wide, narrow) in blocks.items():
        convolutions = {"0": (wide, narrow, 3), "1": (narrow, narrow, 3)}
        if wide != narrow:
            convolutions["s"] = (wide, narrow, 1)
        for name, (inputs, outputs, kernel) in convolutions.items():
            conv, norm = f"{block}.conv_{name}", f"{block}.norm_{name}"
            shapes[f"{conv}.weight_orig"] = (outputs, inputs, kernel, kernel)
            shapes[f"{conv}.weight_u"] = (outputs,)
            shapes[f"{conv}.weight_v"] = (inputs * kernel * kernel,)
            if name != "s":
                shapes[f"{conv}.bias"] = (outputs,)
            shapes[f"{norm}.param_free_norm.running_mean"] = (inputs,)
            shapes[f"{norm}.param_free_norm.running_var"] = (inputs,)
            shapes[f"{norm}.param_free_norm.num_batches_tracked"] = ()
            shapes[f"{norm}.mlp_shared.0.weight"] = (128, 2, 3, 3)
            shapes[f"{norm}.mlp_shared.0.bias"] = (128,)
            for mlp in ("mlp_gamma", "mlp_beta"):
                shapes[f"{norm}.{mlp}.weight"] = (inputs, 128, 3, 3)
                shapes[f"{norm}.{mlp}.bias"] = (inputs,)
    return shapes | {"conv_img.weight": (3, last, 3, 3), "conv_img.bias": (3,)}


@pytest.fixture
def weightless() -> Iterator[None]:
    """Networks without memory."""
    with torch.device("meta"):
        yield


def stored(network: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in export_reference_weights(network).items()}


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def gmac(generator: nn.Module) -> float:
    """Multiply-accumulates of one 256 x 256 picture, in thousand millions."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        generator.eval()(torch.empty(1, 2, 256, 256))
    return round(counter.get_total_flops() / 2e9, 1)


@pytest.mark.slow
def test_spade_has_the_published_size_and_cost(weightless: None) -> None:
    normal, more, most = SpadeGenerator(64), SpadeGenerator(64, "more"), SpadeGenerator(64, "most")
    assert [parameters(each) for each in (normal, more, most)] == [92029635, 92029635, 92434787]
    assert [gmac(each) for each in (normal, more, most)] == [136.0, 130.4, 59.2]


def test_pix2pixhd_has_the_published_size_and_cost(weightless: None) -> None:
    instance, batch = GlobalGenerator(64), GlobalGenerator(64, nn.BatchNorm2d)
    assert [parameters(each) for each in (instance, batch)] == [182440131, 182482883]
    assert len(batch.state_dict()) == 191
    assert gmac(instance) == 54.2


def test_discriminators_have_the_published_size(weightless: None) -> None:
    assert parameters(Discriminator("spade")) == 5531778
    assert parameters(Discriminator("pix2pixhd")) == 5533570


def test_spade_is_stored_as_published(weightless: None) -> None:
    blocks = {"head_0": (1024, 1024), "G_middle_0": (1024, 1024), "G_middle_1": (1024, 1024)}
    blocks |= {"up_0": (1024, 512), "up_1": (512, 256), "up_2": (256, 128), "up_3": (128, 64)}
    normal, most = SpadeGenerator(64), SpadeGenerator(64, "most")
    assert stored(normal) == spade_shapes(blocks, 64)
    assert stored(most) == spade_shapes(blocks | {"up_4": (64, 32)}, 32)
    assert (len(stored(normal)), len(stored(most))) == (234, 272)


def test_pix2pixhd_is_stored_as_published(weightless: None) -> None:
    weights: Shapes = {"model.1": (64, 2, 7, 7), "model.38": (3, 64, 7, 7)}
    weights |= {f"model.{4 + 3 * n}": (128 << n, 64 << n, 3, 3) for n in range(4)}
    weights |= {
        f"model.{n}.conv_block.{m}": (1024, 1024, 3, 3) for n in range(16, 25) for m in (1, 5)
    }
    weights |= {f"model.{25 + 3 * n}": (1024 >> n, 512 >> n, 3, 3) for n in range(4)}
    expected: Shapes = {}
    for name, shape in weights.items():
        # A transposed convolution stores its inputs first.
        outputs = shape[1] if name in ("model.25", "model.28", "model.31", "model.34") else shape[0]
        expected |= {f"{name}.weight": shape, f"{name}.bias": (outputs,)}
    assert stored(GlobalGenerator(64)) == expected
    assert len(expected) == 56


WIDTHS = ((5, 64), (64, 128), (128, 256), (256, 512), (512, 1))


def test_discriminators_are_stored_as_published(weightless: None) -> None:
    spade: Shapes = {}
    pix2pixhd: Shapes = {}
    for scale in (0, 1):
        for layer, (inputs, outputs) in enumerate(WIDTHS):
            name, shape = f"discriminator_{scale}.model{layer}.0", (outputs, inputs, 4, 4)
            if layer in (0, 4):
                spade |= {f"{name}.weight": shape, f"{name}.bias": (outputs,)}
            else:
                spade |= {f"{name}.0.weight_orig": shape, f"{name}.0.weight_u": (outputs,)}
                spade |= {f"{name}.0.weight_v": (16 * inputs,)}
            name = f"scale{scale}_layer{layer}.0"
            pix2pixhd |= {f"{name}.weight": shape, f"{name}.bias": (outputs,)}
    assert stored(Discriminator("spade")) == spade
    assert stored(Discriminator("pix2pixhd")) == pix2pixhd


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_back_from_their_published_names(name: str) -> None:
    torch.manual_seed(0)
    source, copy = NETWORKS[name](), NETWORKS[name]()
    import_reference_weights(copy, export_reference_weights(source))
    wanted, got = source.state_dict(), copy.state_dict()
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_weights_saved_by_the_old_spectral_norm_draw_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as old:
        hook = torch.nn.utils.spectral_norm
        old.setattr("kit.models.spade.spectral_norm", lambda module, rule: hook(module))
        reference = SpadeGenerator(1).double()
    sar = torch.rand(2, 2, 64, 64).double()
    reference(sar)
    state = reference.state_dict()
    assert len(state) == 234 and "head_0.conv_0.weight_orig" in state
    generator = SpadeGenerator(1).double()
    import_reference_weights(generator, state)
    with torch.no_grad():
        assert torch.equal(generator.eval()(sar), reference.eval()(sar))


def judged(weights: list[tuple[Tensor, Tensor]], image: Tensor) -> Tensor:
    """One published pix2pixHD patch network, from its five convolutions."""
    x = image
    for layer, (weight, bias) in enumerate(weights):
        x = F.conv2d(x, weight, bias, stride=2 if layer < 3 else 1, padding=2)
        x = F.instance_norm(x) if layer in (1, 2, 3) else x
        x = F.leaky_relu(x, 0.2) if layer < 4 else x
    return x


@pytest.mark.numerical
@pytest.mark.parametrize("matching", [True, False])
def test_both_forms_of_pix2pixhd_discriminators_judge_as_published(
    matching: bool, float64: None
) -> None:
    torch.manual_seed(0)
    shapes = [(outputs // 8 or 1, inputs // 8 or 5, 4, 4) for inputs, outputs in WIDTHS]
    scales = [[(torch.randn(s) / 4, torch.randn(s[0])) for s in shapes] for _ in range(2)]
    state: dict[str, Tensor] = {}
    for scale, weights in enumerate(scales):
        for layer, position, (weight, bias) in zip(
            range(5), (0, 2, 5, 8, 11), weights, strict=True
        ):
            name = f"scale{scale}_layer{layer}.0" if matching else f"layer{scale}.{position}"
            state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    discriminator = Discriminator("pix2pixhd", 8)
    import_reference_weights(discriminator, state)
    sar, rgb = torch.rand(1, 2, 64, 64), torch.rand(1, 3, 64, 64)
    image = torch.cat([sar, rgb], 1)
    halved = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
    with torch.no_grad():
        fine, coarse = discriminator(sar, rgb)
    # The published network counts its scales from the coarsest.
    assert torch.allclose(fine, judged(scales[1], image), rtol=0, atol=1e-12)
    assert torch.allclose(coarse, judged(scales[0], halved), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["pix2pixhd", "pix2pixhd discriminator"])
def test_statistics_of_old_instance_norms_are_left_out(name: str) -> None:
    source, copy = NETWORKS[name](), NETWORKS[name]()
    old = {"model.2.running_mean": torch.zeros(1), "scale1_layer1.1.running_var": torch.ones(2)}
    import_reference_weights(copy, export_reference_weights(source) | old)
    assert all(map(torch.equal, copy.state_dict().values(), source.state_dict().values()))


def test_statistics_of_spades_batch_norm_are_not() -> None:
    with pytest.raises(InputError, match=r"G_middle_0.norm_0.param_free_norm.num_batches_tracked"):
        state = export_reference_weights(SpadeGenerator(1))
        import_reference_weights(SpadeGenerator(1, norm=nn.InstanceNorm2d), state)


@pytest.mark.parametrize("name", NETWORKS)
def test_wrong_weights_are_refused_by_name_and_change_nothing(name: str) -> None:
    network = NETWORKS[name]()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key: value + 1 for key, value in export_reference_weights(network).items()}
    lost, bent = (key for key in list(state)[:2])
    del state[lost]
    state[bent] = torch.zeros(7, 7)
    state["netG.stray.weight"] = torch.zeros(1)
    with pytest.raises(InputError) as refusal:
        import_reference_weights(network, state)
    problem = refusal.value.problem
    assert f"{lost} missing" in problem and f"{bent} of another shape" in problem
    assert "netG.stray.weight unknown" in problem
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_foreign_checkpoint_is_refused_in_a_few_words() -> None:
    with pytest.raises(
        InputError, match=r"and 229 more missing; .* and 51 more unknown"
    ) as refusal:
        import_reference_weights(SpadeGenerator(1), export_reference_weights(GlobalGenerator(1)))
    assert len(str(refusal.value)) < 900
