"""What is advised where a step does not fit the memory is what a run accepts."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.training.memory import to_fit
from kit.training.train import _check
from kit.variants.registry import find_variant
from tests.helpers.variants import tiny


def setup(folder: Path, settings: tuple[str, ...], pairs: int, ranks: int = 1) -> Any:
    """Of a run that is trained on so many pairs by so many processes."""
    group = SimpleNamespace(world_size=ranks)
    return SimpleNamespace(
        folder=folder, variant=tiny("p2phd1", *settings), dataset=range(pairs), group=group
    )


IN_PARTS = "computes the same batch in parts"
LESS = "reduce the crop or the width"


@pytest.mark.parametrize(
    ("settings", "pairs", "ranks", "fits", "remedy"),
    [
        (("batch=8",), 99, 1, 3, f"3 fit: --set accumulate=4 {IN_PARTS}"),
        (("batch=8",), 6, 1, 2, f"2 fit: --set batch=6 --set accumulate=3 {IN_PARTS}"),
        (("batch=8", "accumulate=2"), 8, 1, 3, f"3 fit: --set accumulate=4 {IN_PARTS}"),
        (("batch=8",), 8, 1, 0, LESS),
        (("batch=8",), 99, 1, None, f"--set accumulate=2 (or 4, 8) {IN_PARTS}; or {LESS}"),
        (("batch=8", "accumulate=2"), 99, 1, None, f"--set accumulate=4 (or 8) {IN_PARTS}; or "),
        (("batch=15",), 99, 1, None, f"--set accumulate=3 (or 5, 15) {IN_PARTS}; or {LESS}"),
        (("batch=8",), 5, 1, None, f"--set batch=5 --set accumulate=5 {IN_PARTS}; or {LESS}"),
        (("batch=8",), 1, 1, None, LESS),
        (("batch=1",), 99, 1, None, LESS),
        (("batch=4", "accumulate=4"), 99, 1, None, LESS),
        (("batch=12",), 99, 2, None, f"--set accumulate=2 (or 3, 6) {IN_PARTS}; or {LESS}"),
        (("batch=18", "accumulate=3"), 99, 2, None, f"--set accumulate=9 {IN_PARTS}; or {LESS}"),
        (("batch=8",), 99, 8, None, LESS),
    ],
)
def test_it_is_accepted(
    settings: tuple[str, ...],
    pairs: int,
    ranks: int,
    fits: int | None,
    remedy: str,
    tmp_path: Path,
) -> None:
    made = setup(tmp_path, settings, pairs, ranks)
    advice = to_fit(made, fits)
    assert advice.startswith(remedy)
    batch = re.findall(r"--set (batch=\d+)", advice)
    for parts in re.findall(r"(?<=accumulate=)\d+|(?<=or )\d+|(?<=, )\d+", advice):
        variant = find_variant("p2phd1", [*settings, *batch, f"accumulate={parts}"])
        _check(variant, pairs, made.group, None)
        assert variant.accumulate > made.variant.accumulate


def test_a_run_that_has_saved_something_starts_again_for_what_may_not_change(
    tmp_path: Path,
) -> None:
    (tmp_path / "last.safetensors").touch()
    whole, few = setup(tmp_path, ("batch=8",), 8), setup(tmp_path, ("batch=8",), 6)
    assert to_fit(whole, 4) == f"4 fit: --set accumulate=2 {IN_PARTS}"
    anew = "--set batch=6 --set accumulate=2{} with --overwrite trains from the start, with the "
    assert to_fit(few, 3) == f"3 fit: {anew.format('')}batch in parts"
    smaller = "train from the start, with --overwrite and a smaller crop or width"
    assert to_fit(few) == f"{anew.format(' (or 3, 6)')}batch in parts; or {smaller}"
    assert to_fit(few, 0) == smaller
