"""The colours that every prediction has to beat."""

from pathlib import Path

import numpy as np
import pytest

from kit.colors import Colors, read_colors
from kit.inputs.colors import measure_colors
from kit.inputs.planes import read_optical
from kit.pairs.table import read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.scaling import stretch


@pytest.mark.parametrize("target", ["reflectance", "minmax"])
def test_each_colour_is_the_best_constant_by_its_measure(trained: Path, target: str) -> None:
    pairs, reader = read_pairs(Path("work/pairs.parquet")), TilePairs()
    images = np.stack([read_optical(reader, pair, target) for pair in pairs])
    found = measure_colors(reader, pairs, target)
    np.testing.assert_allclose(found.mean, images.mean((0, 2, 3)), rtol=1e-5)
    assert found.median and found.stretched

    def error(color: object) -> np.ndarray:
        return np.abs(images - np.reshape(np.asarray(color), (1, 3, 1, 1))).mean((0, 2, 3))

    assert (error(found.median) < error(np.median(images, (0, 2, 3))) + 2 / 65535).all()
    every = []
    for pair in pairs:
        with reader.pixels(pair) as (_, dn):
            every.append(stretch(dn).mean((1, 2)))
    np.testing.assert_allclose(found.stretched, np.mean(every, 0))


def test_many_pairs_are_spread_evenly(trained: Path) -> None:
    pairs, reader = read_pairs(Path("work/pairs.parquet")), TilePairs()
    few = measure_colors(reader, pairs, "reflectance", limit=3)
    step = -(-len(pairs) // 3)
    assert few == measure_colors(reader, pairs[::step], "reflectance")


def test_facts_come_back_and_older_ones_have_the_mean_alone() -> None:
    colors = Colors((0.1, 0.2, 0.3), (0.0, 0.2, 1.0), (0.4, 0.5, 0.6))
    assert read_colors(colors.as_facts()) == colors
    older = Colors((0.1, 0.2, 0.3))
    assert older.as_facts() == {"mean_color": [0.1, 0.2, 0.3]}
    assert read_colors(older.as_facts() | {"median_color": None}) == older


@pytest.mark.parametrize("value", [[0.1, 0.2], [0.1, 0.2, 1.5], [0.1, 0.2, True], "red", 10**400])
def test_what_is_no_colour_is_refused(value: object) -> None:
    good = Colors((0.1, 0.2, 0.3)).as_facts()
    for name in ("mean_color", "median_color", "stretched_color"):
        with pytest.raises(ValueError, match="not three numbers"):
            read_colors(good | {name: value})
