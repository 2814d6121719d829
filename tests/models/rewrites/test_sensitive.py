"""What int8 leaves alone, by the names that generators have when rewritten for inference."""

from dataclasses import replace

import pytest

from kit.models.registry import build_generator
from kit.models.rewrites.fuse import for_inference
from kit.models.rewrites.sensitive import sensitive_layers
from kit.models.rewrites.spectral_norm import fold
from kit.variant_settings import Variant
from kit.variants import NAFNET1, P2PHD1, SPADE1


def spared(variant: Variant) -> list[set[str]]:
    return sensitive_layers(for_inference(fold(build_generator(variant).eval())))


def test_spade_spares_its_last_blocks_or_every_block() -> None:
    roughly, all_blocks = spared(replace(SPADE1, width=1))
    ends = {"fc", "conv_img"}
    assert roughly == ends | {
        f"{block}.{each}" for block in ("up_2", "up_3") for each in ("conv_0", "conv_1", "conv_s")
    }
    assert roughly < all_blocks and {"head_0.conv_0", "G_middle_1.conv_1"} < all_blocks
    assert "head_0.conv_s" not in all_blocks  # there is none
    assert not [name for name in all_blocks if "norm" in name]


@pytest.mark.slow
def test_the_deepest_spade_has_later_last_blocks() -> None:
    roughly, _ = spared(replace(SPADE1, width=2, depth="most"))
    assert {"up_3.conv_0", "up_4.conv_0"} < roughly and "up_2.conv_0" not in roughly


def test_nafnet_spares_its_ends() -> None:
    assert spared(replace(NAFNET1, width=1)) == [{"intro", "ending"}]


def test_pix2pixhd_spares_its_ends() -> None:
    assert spared(replace(P2PHD1, width=1)) == [{"model.1", "model.38"}]
