"""Which members see a window of a scene as a whole."""

from types import SimpleNamespace

import pytest
import torch

from kit.models.registry import build_generator
from kit.translation.members import seeing_whole_windows
from kit.variants.registry import VARIANTS


@pytest.mark.parametrize(
    ("name", "sees_all"),
    [
        ("spade2", False),
        ("unet1", False),
        ("trees1", False),
        ("p2phd1", True),
        ("p2phd2", False),
        ("nafnet1", True),
        ("trees1m", True),
    ],
)
def test_colours_depend_on_all_of_a_window(name: str, sees_all: bool) -> None:
    variant = VARIANTS[name]
    with torch.device("meta"):
        member = SimpleNamespace(variant=variant, generator=build_generator(variant))
    assert seeing_whole_windows([member]) == ((name,) if sees_all else ())
