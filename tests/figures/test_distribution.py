"""How values are distributed, drawn and as a line of text."""

import numpy as np
from PIL import Image

from kit.figures.distribution import Distribution
from kit.figures.heat import heat
from kit.figures.tint import tint

BLUE = (0, 0, 255)


def test_a_line_shows_every_value_and_counts_what_lies_beyond_in_the_ends() -> None:
    values = np.array([-99.0, 1.5, 1.5, 1.5, 1.5, 3.5, 99.0])
    line = Distribution([(values, BLUE)], (0, 4), (1, 3)).line(4)
    assert line == "▂█ ▄"
    assert Distribution([(np.array([]), BLUE)], (0, 4), (1, 3)).line(4) == "    "


def test_a_drawing_is_grey_where_networks_clip() -> None:
    values = np.full(100, 2.0)
    image = np.asarray(Distribution([(values, BLUE)], (0, 4), (1, 3)).draw(100))
    assert image.shape == (100, 100, 3)
    assert (image[5, 20] == image[5, 80]).all() and (image[5, 40] == 255).all()
    assert (image == BLUE).all(axis=2).any()


def test_heat_is_black_below_pale_above_and_black_without_a_number() -> None:
    colors = heat(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]]), 0, 1)
    brightness = colors.sum(axis=2)[0].tolist()
    assert brightness[0] == brightness[1] == brightness[5] == 4
    assert brightness[1] < brightness[2] < brightness[3] == brightness[4]


def test_a_lone_pixel_of_a_large_mask_is_tinted() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[40, 40] = True
    tinted = np.asarray(tint(Image.new("RGB", (16, 16)), mask, (255, 0, 255)))
    assert (tinted.any(axis=2).sum(), tuple(tinted[10, 10])) == (1, (255, 0, 255))
