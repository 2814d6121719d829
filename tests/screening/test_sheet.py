"""The picture of the scenes nearest to the limit: which, in which order, and what is marked."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from kit.errors import InputError
from kit.figures.histogram import COLORS
from kit.screening import sheet
from kit.screening.near_limit import PEAK, TINT, Statistics
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.screening.sheet import CELL, write_sheet
from kit.screening.table import SCENES
from tests.helpers.clouds import paint_square, table_of
from tests.helpers.tiles import SHARED, key, optical, radar

HEAD = 56 + 250 + 21
STEP = CELL + 4


def drawn(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def pixels(image: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((image == color).all(axis=2).sum())


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The first title and the labels of each side, once a picture is drawn."""
    seen: list[tuple[str, list[str]]] = []
    whole: Callable[..., Image.Image] = sheet.grid

    def grid(rows: object, columns: Sequence[str], words: Sequence[str], cell: int) -> Image.Image:
        seen.append((columns[0], list(words)))
        return whole(rows, columns, words, cell)

    monkeypatch.setattr(sheet, "grid", grid)
    return seen


def spots(data: Path, *sizes_and_dn: tuple[int, int]) -> Path:
    """A scene with a grey square for each pair, at places 0, 1, ..."""
    for place, (size, dn) in enumerate(sizes_and_dn):
        optical(data, key(place))
        if size:
            paint_square(data, key(place), 12, 12, size, dn)
    return table_of(data)


def test_the_nearest_come_first_on_both_sides(
    tmp_path: Path, labels: list[tuple[str, list[str]]]
) -> None:
    path = spots(tmp_path / "data", (8, 6000), (1, 1500), (2, 3000), (1, 2100), (0, 0), (1, 2500))
    assert write_sheet(path, CloudRule(), 0.0, tmp_path / "p.png") == tmp_path / "p.png"
    kept, dropped = labels
    assert (kept[0], dropped[0]) == ("kept, nearest first", "dropped, nearest first")
    assert [label.split("\n")[0] for label in kept[1]] == [
        f"{key(place).lon}_{key(place).lat}" for place in (3, 1, 4)
    ]
    assert dropped[1] == [
        f"{key(place).lon}_{key(place).lat}\n2020-06-01\n{words}"
        for place, words in (
            (5, "cloud 0.000977\n1 px\nv - s to 0.500"),
            (2, "cloud 0.00391\n4 px\nv - s to 0.600"),
            (0, "cloud 0.0625\n64 px\nv - s to 1.000"),
        )
    ]


def test_with_a_limit_above_zero_the_cloudiest_are_nearest(
    tmp_path: Path, labels: list[tuple[str, list[str]]]
) -> None:
    path = spots(tmp_path / "data", (8, 6000), (1, 1500), (2, 3000), (0, 0), (1, 2500), (4, 3000))
    write_sheet(path, CloudRule(), 0.01, tmp_path / "p.png", rows=2)
    assert [[label.split("\n")[3] for label in words] for _, words in labels] == [
        ["4 px", "1 px"],
        ["16 px", "64 px"],
    ]


def test_the_picture_is_as_large_as_its_rows_and_clouds_are_tinted(tmp_path: Path) -> None:
    path = spots(tmp_path / "data", (8, 6000), (6, 6000), (1, 1500))
    image = drawn(write_sheet(path, CloudRule(), 0.0, tmp_path / "p.png", rows=6))
    assert image.shape[0] == HEAD + 2 * STEP
    # The dropped scenes are at the right: plain, and then tinted.
    plain = image[HEAD:, -2 * STEP : -STEP]
    tinted = image[HEAD:, -STEP:]
    assert pixels(plain, TINT) == pixels(plain, PEAK) == 0
    for row, size in enumerate((6, 8)):
        # A pixel of 32 is 8 of the 256 wide.
        side, edge = 8 * size, pixels(tinted[row * STEP :][:STEP], TINT)
        assert edge == side**2 - (side - 2) ** 2
        assert pixels(tinted[row * STEP :][:STEP], (255, 128, 255)) == (side - 2) ** 2
    kept = image[HEAD:][:CELL, : image.shape[1] // 2]
    assert pixels(kept, TINT) == 0 and pixels(kept, PEAK) > 50, "the peak of a clear scene"


@pytest.mark.parametrize("size", [256, 1024])
def test_a_lone_pixel_is_seen(tmp_path: Path, size: int) -> None:
    optical(tmp_path / "data", key(0), size=size)
    paint_square(tmp_path / "data", key(0), 77, 90, 1, 2500)
    path = table_of(tmp_path / "data")
    image = drawn(write_sheet(path, CloudRule(), 0.0, tmp_path / "p.png"))
    assert pixels(image, TINT) == 1 + 15**2 - 11**2, "itself, and a frame"


def test_histograms_count_every_scene(tmp_path: Path) -> None:
    path = spots(tmp_path / "data", (8, 6000), (1, 1500), (1, 2150), (1, 2151), (0, 0))
    seen = Statistics(0.0, 6)
    for group in range(pq.ParquetFile(path).num_row_groups):
        seen.add(pq.ParquetFile(path).read_row_group(group))
    ratio, peak = seen.ratio_plot(), seen.peak_plot(CloudRule())
    assert ratio.counts.sum(axis=0).tolist() == peak.counts.sum(axis=0).tolist() == [3, 2]
    assert ratio.counts[0].tolist() == [3, 0]
    at = [tuple(span) for span in peak.spans.round(3).tolist()]
    assert peak.counts[at.index((0.41, 0.43))].tolist() == [1, 0], "0.430 is not above 0.43"
    assert peak.counts[at.index((0.43, 0.45))].tolist() == [0, 1]
    image = drawn(write_sheet(path, CloudRule(), 0.0, tmp_path / "p.png"))[:HEAD]
    assert all(pixels(image, color) > 500 for color in COLORS)


@pytest.mark.parametrize("max_cloud", [0.0, 1e-4, 0.001, 1.0])
def test_a_bar_is_of_one_kind_where_the_limit_is_an_edge(max_cloud: float) -> None:
    ratio = np.array([0.0, 1e-6, 1e-4, 2e-4, 0.001, 0.0011, 0.999, 1.0])
    names = ("nodata_ratio", "qa60_ratio")
    columns = {name: np.zeros(8) for name in names}
    group = pa.table({"sensor": ["Sentinel2"] * 8, **columns, "cloud_ratio": ratio,
                      "peak": np.full(8, 500, np.int16)})  # fmt: skip
    seen = Statistics(max_cloud, 2)
    seen.add(group)
    counts = seen.ratio_plot().counts
    assert counts.sum() == 8 and counts[:, 0].sum() == (ratio <= max_cloud).sum()
    assert not counts.all(axis=1).any()


def test_empty_cases_are_pictures(tmp_path: Path, labels: list[tuple[str, list[str]]]) -> None:
    radar(tmp_path / "none", key(0))
    optical(tmp_path / "flagged", key(0), qa60=2)
    optical(tmp_path / "clear", key(0))
    optical(tmp_path / "overcast", key(0), cloud=32)
    heads = []
    for name in ("none", "flagged", "clear", "overcast"):
        labels.clear()
        optical(tmp_path / "overcast", key(1), cloud=20)
        path = write_sheet(table_of(tmp_path / name), CloudRule(), 0.0, tmp_path / f"{name}.png")
        rows = max(len(words) for _, words in labels)
        assert drawn(path).shape[0] == HEAD + rows * STEP
        heads.append([title for title, _ in labels])
    assert heads == [
        ["none kept", "none dropped"],
        ["none kept", "none dropped"],
        ["kept, nearest first", "none dropped"],
        ["none kept", "dropped, nearest first"],
    ]


def test_a_scene_that_vanished_is_named_and_black(
    tmp_path: Path, labels: list[tuple[str, list[str]]]
) -> None:
    path = spots(tmp_path / "data", (0, 0))
    (tmp_path / "data/sent2" / f"Sentinel2_B3_{key(0)}.tiff").unlink()
    image = drawn(write_sheet(path, CloudRule(), 0.0, tmp_path / "p.png"))
    assert labels[0][1][0].endswith("\nnot readable now")
    assert pixels(image[HEAD:], (0, 0, 0)) >= 2 * CELL**2


def test_without_a_table_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such table"):
        write_sheet(tmp_path / SCENES, CloudRule(), 0.0, tmp_path / "p.png")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_real_scenes(tmp_path: Path, labels: list[tuple[str, list[str]]]) -> None:
    if not (SHARED / "multiearth-sample").is_dir():
        pytest.skip(f"{SHARED / 'multiearth-sample'} is not here")
    screen(SHARED / "multiearth-sample", tmp_path, rule=CloudRule())
    image = drawn(write_sheet(tmp_path / SCENES, CloudRule(), 0.0, tmp_path / "p.png"))
    assert image.shape[0] == HEAD + 6 * STEP
    assert [len(words) for _, words in labels] == [5, 6]
    peaks = [[float(label.split()[-1]) for label in words] for _, words in labels]
    assert peaks[0] == sorted(peaks[0], reverse=True) and max(peaks[0]) <= 0.43 < min(peaks[1])
