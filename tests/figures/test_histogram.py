"""Where bars stand, how high they are, and in which colour."""

import numpy as np
from PIL import Image

from kit.figures.histogram import COLORS, Histogram


def drawn(counts: list[tuple[int, int]], limit: float = 0.5) -> np.ndarray:
    edges = np.linspace(0, 1, len(counts) + 1)
    spans = np.stack((edges[:-1], edges[1:]), axis=1)
    plot = Histogram("scenes", ("kept", "dropped"), spans, np.array(counts), [(0.0, "0")],
                     (limit, "here"))  # fmt: skip
    image = plot.draw(400, 200)
    assert isinstance(image, Image.Image) and image.size == (400, 200)
    # Without the title and its legend.
    return np.asarray(image)[30:]


def heights(picture: np.ndarray, kind: int) -> np.ndarray:
    """Pixels of one colour in each column."""
    return (picture == COLORS[kind]).all(axis=2).sum(axis=0)


def test_bars_are_as_high_as_their_counts_and_stand_on_each_other() -> None:
    picture = drawn([(4, 0), (2, 2), (0, 1), (0, 0)], limit=1.0)
    kept, dropped = heights(picture, 0), heights(picture, 1)
    full, width = kept.max(), (400 - 56 - 12) // 4
    assert abs(np.count_nonzero(kept == full) - width) < 5, "a single bar"
    assert abs(np.median(kept[(kept > 0) & (kept < full)]) - full / 2) <= 2
    assert sorted({round(4 * h / full) for h in dropped[dropped > 0].tolist()}) == [1, 2]


def test_one_among_many_is_seen() -> None:
    assert heights(drawn([(100_000, 0), (60_000, 0), (1, 0), (0, 1)]), 1).max() == 2


def test_a_bar_that_dwarfs_the_others_is_broken_off() -> None:
    broken = drawn([(5000, 0), (0, 4)])
    assert heights(broken, 1).max() > 80
    assert heights(broken, 0).max() < heights(broken, 1).max() + 20


def test_the_limit_is_marked_where_it_is() -> None:
    for limit in (0.0, 0.25, 1.0):
        dark = (drawn([(0, 0)] * 4, limit) == 0).all(axis=2).sum(axis=0)
        assert abs(int(dark.argmax()) - (56 + limit * (400 - 56 - 12))) <= 1


def test_nothing_to_count_is_a_picture_too() -> None:
    picture = drawn([(0, 0)])
    assert heights(picture, 0).max() == heights(picture, 1).max() == 0
