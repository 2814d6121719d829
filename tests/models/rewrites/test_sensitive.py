"""What int8 leaves alone, by the names that generators have when rewritten for inference."""

from dataclasses import replace

import pytest
import torch

from kit.models.rewrites import fuse
from kit.models.rewrites.sensitive import sensitive_layers
from kit.models.rewrites.spectral_norm import fold
from kit.variants.registry import NAFNET1, P2PHD1, SPADE1
from kit.variants.settings import Variant
from tests.helpers.generators import enlivened

pytestmark = pytest.mark.usefixtures("thin")


def spared(variant: Variant) -> list[set[str]]:
    torch.manual_seed(0)
    # The published rule's first estimates make weights whose outputs no precision agrees on.
    generator = enlivened(replace(variant, spectral_norm="torch"))
    return sensitive_layers(fuse._rewrite(fold(generator)))


def own(block: str) -> set[str]:
    return {f"{block}.{each}" for each in ("conv_0", "conv_1", "norm_s.projection")}


def test_spade_spares_nothing_within_its_last_block_the_last_two_or_every_block() -> None:
    ends = {"fc", "conv_img"}
    none, last, two, every = spared(replace(SPADE1, width=1))
    assert (none, last, two) == (ends, ends | own("up_3"), ends | own("up_2") | own("up_3"))
    assert two < every and {"head_0.conv_0", "G_middle_1.conv_1"} < every and len(every) == 20
    assert "head_0.norm_s.projection" not in every  # there is none
    assert not [name for name in every if "factor" in name or "summand" in name]


@pytest.mark.slow
def test_the_deepest_spade_has_later_last_blocks() -> None:
    _, _, two, _ = spared(replace(SPADE1, width=2, depth="most"))
    assert {"up_3.conv_0", "up_4.conv_0"} < two and "up_2.conv_0" not in two


def test_nafnet_spares_its_ends() -> None:
    assert spared(replace(NAFNET1, width=1)) == [{"intro", "ending"}]


def test_pix2pixhd_spares_its_ends() -> None:
    assert spared(replace(P2PHD1, width=1)) == [{"model.1", "model.38"}]
