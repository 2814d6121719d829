"""Pictures: where images, titles and labels come to lie, and in which shade."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.errors import InputError
from kit.figures.grid import BRIGHTEN, display, read_grid, thumbnail, write_grid
from kit.figures.heat import error_map


def drawn(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def cells(picture: np.ndarray, rows: int, columns: int, cell: int) -> list[list[np.ndarray]]:
    """The images of a sheet, counted from its lower right corner, where nothing else is."""
    step = cell + 4
    bottom, right = picture.shape[0] - step * rows, picture.shape[1] - step * columns
    return [
        [picture[bottom + step * y :, right + step * x :][:cell, :cell] for x in range(columns)]
        for y in range(rows)
    ]


def test_images_lie_where_they_belong_in_their_shade(tmp_path: Path) -> None:
    grey = np.full((8, 8), 0.5, np.float32)
    color = np.stack([np.full((8, 8), value) for value in (0.1, 0.2, 0.9)])
    rows = [[grey, color], [color, grey]]
    path = write_grid(rows, ["VV", "truth"], ["a", "b"], tmp_path / "s.png", cell=40)
    assert path == tmp_path / "s.png"
    (a, b), (c, d) = cells(drawn(path), 2, 2, 40)
    for image in (a, d):
        assert abs(image - 128).max() <= 1
    for image in (b, c):
        assert abs(image - [51, 102, 255]).max() <= 1


def test_small_images_grow_by_whole_pixels_and_large_ones_are_averaged(tmp_path: Path) -> None:
    small = np.array([[0.0, 1.0], [1.0, 0.0]])
    large = np.indices((160, 160)).sum(0) % 2.0
    path = write_grid([[small, large]], ["", ""], [""], tmp_path / "s.png", cell=40)
    grown, shrunk = cells(drawn(path), 1, 2, 40)[0]
    assert set(np.unique(grown)) == {0, 255}
    assert (grown[:20, :20] == 0).all() and (grown[:20, 20:] == 255).all()
    assert abs(shrunk - 127.5).max() <= 1


def test_an_oblong_image_keeps_its_shape(tmp_path: Path) -> None:
    path = write_grid([[np.zeros((10, 20))]], ["x"], ["y"], tmp_path / "s.png", cell=40)
    image = cells(drawn(path), 1, 1, 40)[0][0]
    assert (image[:20] == 0).all() and (image[20:] == 255).all()


def test_titles_and_labels_are_written(tmp_path: Path) -> None:
    images = [[np.zeros((4, 4))]]
    bare = drawn(write_grid(images, [""], [""], tmp_path / "bare.png"))
    full = drawn(write_grid(images, ["spade4"], ["-55.20_-4.39_2019_06_06"], tmp_path / "full.png"))
    wider = full.shape[1] - bare.shape[1]
    assert wider > 100
    assert (bare[:-164] == 255).all()
    assert (full[:-164, wider:] < 128).any(), "a title"
    assert (full[-164:, :wider] < 128).any(), "a label"


def test_nan_is_black_and_nothing_wraps_around(tmp_path: Path) -> None:
    image = np.array([[np.nan, -1.0], [2.0, 1.0]], np.float32)
    shown = cells(drawn(write_grid([[image]], [""], [""], tmp_path / "s.png", cell=2)), 1, 1, 2)[0][
        0
    ]
    np.testing.assert_array_equal(shown[..., 0], [[0, 0], [255, 255]])


def test_display_is_one_fixed_factor() -> None:
    rgb = np.array([0.0, 0.1, 0.4, 0.7], np.float32)
    np.testing.assert_allclose(display(rgb), np.minimum(BRIGHTEN * rgb, 1), rtol=1e-6)


def test_an_empty_sheet_is_still_a_picture(tmp_path: Path) -> None:
    assert drawn(write_grid([], ["VV"], [], tmp_path / "s.png")).ndim == 3


@pytest.mark.parametrize(
    ("rows", "columns", "labels", "problem"),
    [
        ([[np.zeros((2, 2))]], ["a", "b"], ["x"], "do not fill a grid of 1 labels and 2 titles"),
        ([[np.zeros((2, 2))]], ["a"], ["x", "y"], "do not fill a grid of 2 labels and 1 titles"),
        ([[np.zeros((4, 2, 2))]], ["a"], ["x"], r"an image is \(4, 2, 2\)"),
        ([[np.zeros(2)]], ["a"], ["x"], r"an image is \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    rows, columns, labels, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        write_grid(rows, columns, labels, tmp_path / "s.png")
    assert not any(tmp_path.iterdir())


def test_errors_are_black_where_there_is_none_and_pale_from_a_fifth_on() -> None:
    truth = np.zeros((3, 1, 4))
    image = truth + np.array([0, 0.1, 0.2, 0.9])
    colors = np.asarray(error_map(image, truth))[0].astype(int)
    np.testing.assert_array_equal(colors[0], (0, 0, 4))
    np.testing.assert_array_equal(colors[1], (188, 55, 84))
    np.testing.assert_array_equal(colors[2], colors[3])


def test_labels_of_many_lines_do_not_run_into_each_other(tmp_path: Path) -> None:
    image = np.zeros((4, 4))
    tall = write_grid([[image]] * 2, ["a"], ["x\n" * 8] * 2, tmp_path / "tall.png", cell=16)
    plain = write_grid([[image]] * 2, ["a"], ["x"] * 2, tmp_path / "plain.png", cell=16)
    heights = [Image.open(path).height for path in (tall, plain)]
    assert heights[0] - heights[1] == 2 * (9 * 17 - 16)


def test_a_grid_is_read_as_it_was_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [[random.random((16, 16)), random.random((3, 16, 16))] for _ in range(3)]
    labels = ["one", "a longer label\nof two lines", "five\nlines\nmake\na\nrow higher"]
    path = write_grid(rows, ["grey", "colour"], labels, tmp_path / "grid.png", cell=32)
    found = read_grid(path)
    assert found and found.columns == ("grey", "colour") and found.labels == tuple(labels)
    for row, images in zip(rows, found.rows, strict=True):
        for image, cell in zip(row, images, strict=True):
            np.testing.assert_array_equal(np.asarray(cell), np.asarray(thumbnail(image, 32)))


def test_a_grid_of_an_earlier_kit_does_not_say_how_it_is_made_up(tmp_path: Path) -> None:
    path = write_grid([[np.zeros((8, 8))]], ["a"], ["b"], tmp_path / "grid.png")
    with Image.open(path) as image:
        image.convert("RGB").save(tmp_path / "plain.png")
    assert read_grid(tmp_path / "plain.png") is None
    (tmp_path / "half.png").write_bytes(path.read_bytes()[:100])
    for name in ("half.png", "none.png"):
        with pytest.raises(InputError, match=name):
            read_grid(tmp_path / name)
