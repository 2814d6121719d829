"""The average is of folded weights, and running statistics are those of training batches."""

from pathlib import Path

import pytest
import torch
from torch import nn

from kit.inputs.dataset import PairDataset, batches
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state
from kit.pairs.table import read_pairs, train_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.training.ema import MovingAverage, recalibrate
from tests.helpers.inputs import planes
from tests.helpers.variants import tiny


@pytest.mark.numerical
def test_folding_changes_no_number() -> None:
    torch.manual_seed(0)
    for name in ("spade2", "p2phd1"):
        generator = build_generator(tiny(name)).eval()
        sar = torch.rand(1, 2, 32, 32)
        before, state = generator(sar), folded_state(generator.train())
        again = build_generator(tiny(name))
        folded = fold(again).eval()
        folded.load_state_dict(state)
        assert torch.equal(folded(sar), before)
        assert torch.equal(generator.eval()(sar), before)


@pytest.mark.slow
@pytest.mark.numerical
def test_the_average_is_of_folded_weights() -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny("spade2"))
    average = MovingAverage(generator, 0.5)
    expected = {name: tensor.double() for name, tensor in folded_state(generator).items()}
    for step in range(1, 30):
        with torch.no_grad():
            for weight in generator.parameters():
                weight += 0.1 * torch.randn_like(weight)
        average.update(generator, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in folded_state(generator).items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    assert (
        average.tensors.keys()
        == dict(fold(build_generator(tiny("spade2"))).named_parameters()).keys()
    )
    for name, tensor in average.tensors.items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-5, rtol=1e-5)
    made = average.generator(tiny("spade2"))
    assert all(torch.equal(w, average.tensors[name]) for name, w in made.named_parameters())


def test_running_statistics_are_those_of_training_batches(trained: Path) -> None:
    pairs = train_pairs(read_pairs(Path("work/pairs.parquet")), 1)
    data = PairDataset(planes(), TilePairs(), pairs, crop=32)
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, affine=False)
    radars = [sample.inputs for sample in batches(data, epoch=0, batch=4)]
    recalibrate(nn.Sequential(norm), radars)
    # The mean over batches of what a batch norm sees: of one size, so of all their pixels.
    torch.testing.assert_close(
        norm.running_mean, torch.cat(radars).mean((0, 2, 3)), atol=1e-5, rtol=0
    )
    assert norm.momentum == 0.1 and not norm.training
