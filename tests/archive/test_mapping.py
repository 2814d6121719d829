"""The truth of a folder as a server's mapping: the same scores, by files alone."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from kit.archive.expected import read_expected
from kit.archive.layout import LAYOUTS
from kit.archive.mapping import SarInput, Truth, TruthSet
from kit.archive.mapping_writer import write_mapping
from kit.errors import InputError
from kit.scoring.score import score
from kit.scoring.truth import load_truth
from kit.submission.package import package
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import (
    A,
    B,
    digital_numbers,
    image,
    tiff,
    write_archive,
    write_member,
    write_truth,
)
from tests.helpers.server import error, server_2022, server_2023
from tests.helpers.tiles import SHARED

LATER = A.replace("06_08", "06_13")
SAMPLE = SHARED / "multiearth-sample" / "sent2"


def data(folder: Path) -> dict[str, np.ndarray]:
    """Two clear dates and a cloudy one for scene A, one that is too late, and one for scene B."""
    truths = {A: digital_numbers(1, 16), LATER: digital_numbers(2, 16), B: digital_numbers(3, 16)}
    for scene, dn in truths.items():
        write_truth(folder / "sent2", scene, dn)
    write_truth(folder / "sent2", A.replace("06_08", "06_10"), digital_numbers(4, 16) + 6000)
    write_truth(folder / "sent2", A.replace("06_08", "07_01"), digital_numbers(5, 16))
    return truths


def sent(folder: Path, root: str = "CH3") -> Path:
    """An archive of two images of each scene."""
    path = folder / "archive.zip"
    names = [f"{root}/Sentinel2_{scene}_{i}.tiff" for scene in (A, B) for i in (1, 2)]
    write_archive(path, ((n, encode_tiff(image(seed, 16))) for seed, n in enumerate(names)))
    return path


@pytest.mark.parametrize("year", ["2022", "2023"])
def test_a_written_mapping_scores_as_the_folder_it_came_from(tmp_path: Path, year) -> None:
    data(tmp_path / "data")
    root = LAYOUTS[year].root
    archive = sent(tmp_path, root)
    before = score(archive, tmp_path / "data")
    names = tuple(name for sar in before.inputs for name in sar.submissions)
    found = load_truth(tmp_path / "data", names)
    path = write_mapping(found.inputs, tmp_path / "ref" / "mapping.json", year)
    after = score(archive, path)
    assert [row.as_dict() for row in after.rows] == [row.as_dict() for row in before.rows]
    assert [i.mae for i in after.images] == [i.mae for i in before.images]
    assert set(read_expected(path, LAYOUTS[year])) == set(names)
    moved = (tmp_path / "ref").rename(tmp_path / "elsewhere")  # whole in itself
    assert score(archive, moved / "mapping.json").rows == after.rows


def test_the_shapes_are_those_of_the_servers(tmp_path: Path) -> None:
    truths = data(tmp_path / "data")
    archive = sent(tmp_path)
    names = [f"CH3/Sentinel2_{scene}_{i}.tiff" for scene in (A, B) for i in (1, 2)]
    images = {name: image(seed, 16) for seed, name in enumerate(names)}
    found = load_truth(tmp_path / "data", names)
    of = {f"truth/Sentinel2_{scene}.tiff": dn for scene, dn in truths.items()}
    row = score(archive, tmp_path / "data").rows[-1]

    first = json.loads(write_mapping(found.inputs, tmp_path / "a" / "mappings.json").read_text())
    assert [len(listed) for listed in first.values()] == [2, 1]
    assert {name for listed in first.values() for name in listed} == of.keys()
    assert row.official_2022 == pytest.approx(server_2022(first, of, images), abs=1e-12)

    text = write_mapping(found.inputs, tmp_path / "b" / "files.json", "2023").read_text()
    second = {tuple(ast.literal_eval(key)): value for key, value in json.loads(text).items()}
    # That server puts "translation/" before the names of submissions and of truths by itself.
    bare = [name.removeprefix("CH3/") for name in names]
    assert [*second] == [tuple(bare[:2]), tuple(bare[2:])]
    of = {name.removeprefix("truth/"): dn for name, dn in of.items()}
    images = {name.removeprefix("CH3/"): pixels for name, pixels in images.items()}
    assert row.official_2023 == pytest.approx(server_2023(second, of, images), abs=1e-12)
    assert sorted(path.name for path in (tmp_path / "b" / "translation").iterdir()) == sorted(
        f"Sentinel2_{band}_{scene}.tiff" for band in ("B4", "B3", "B2") for scene in truths
    )


@pytest.mark.parametrize("folder", ["", "translation", "truth"])
def test_a_mapping_of_2023_is_read_wherever_its_tiles_lie(tmp_path: Path, folder: str) -> None:
    """Beside it, a folder deeper as on the server, or where the names say, as older kits wrote."""
    data(tmp_path / "data")
    archive = sent(tmp_path, "translation")
    before = score(archive, tmp_path / "data")
    path = write_mapping(before.inputs, tmp_path / "files.json", "2023")
    for tile in (tmp_path / "translation").iterdir():
        (tmp_path / folder).mkdir(exist_ok=True)
        tile.rename(tmp_path / folder / tile.name)
    if folder == "truth":
        path.write_text(path.read_text().replace('"Sentinel2', '"truth/Sentinel2'))
    assert score(archive, path).rows == before.rows


def test_package_scores_by_the_folder_and_by_its_mapping_alike(tmp_path: Path) -> None:
    """`kit package --truth DATA`: the clear scenes within the window of each radar scene."""
    truths = data(tmp_path / "data")
    predictions = tmp_path / "predictions"
    scenes = {A: image(1, 16), B: image(2, 16)}
    write_member(predictions, "one", scenes)
    settings = {"predictions": predictions, "submissions": tmp_path / "out", "layout": "plain"}
    result = package(truth=tmp_path / "data", **settings)
    assert result.scores is not None
    row = result.scores.rows[-1]
    sums = [error(truths[A], scenes[A]) + error(truths[LATER], scenes[A]),
            error(truths[B], scenes[B])]  # fmt: skip
    assert row.official_2022 == pytest.approx(np.mean(sums), abs=1e-12)
    assert [len(sar.truths) for sar in result.scores.inputs] == [2, 1]
    mapping = write_mapping(result.scores.inputs, tmp_path / "mappings.json")
    again = package(truth=mapping, expected=mapping, name="again", **settings)
    assert again.scores is not None
    assert again.scores.rows == result.scores.rows
    assert again.sha256 == result.sha256


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the official sample tiles in ../shared")
def test_real_tiles(tmp_path: Path) -> None:
    names = ["CH3/Sentinel2_-55.20_-4.39_2019_07_02.tiff"]
    found = load_truth(SAMPLE.parent, names, window_days=24)
    path = write_mapping(found.inputs, tmp_path / "mappings.json")
    (listed,) = json.loads(path.read_text()).values()
    assert [*listed] == [f"truth/Sentinel2_-55.20_-4.39_2019_07_{day}.tiff" for day in ("01", "26")]
    archive = tmp_path / "archive.zip"
    write_archive(archive, [(names[0], encode_tiff(image(1)))])
    assert score(archive, path).rows == score(archive, SAMPLE, window_days=24).rows


def test_what_the_shape_of_2023_cannot_say(tmp_path: Path) -> None:
    pixels = digital_numbers(1, 8)
    for name in ("plain.tiff", f"{A}.tiff"):
        (tmp_path / name).write_bytes(tiff(pixels))
    (tmp_path / "eight.tiff").write_bytes(tiff(pixels.astype(np.uint8)))

    both, scene = ("a.tiff", "b.tiff"), (tmp_path / f"{A}.tiff",)

    def refused(message: str, *truths: Truth, names: tuple[str, ...] = both) -> None:
        found = TruthSet((SarInput("sar", names, truths),), ())
        with pytest.raises(InputError, match=message):
            write_mapping(found.inputs, tmp_path / "out" / "files.json", "2023")
        assert not (tmp_path / "out" / "files.json").exists()

    refused("not a truth of all", Truth(A, scene, ("a.tiff",)))
    refused("no place and date", Truth("plain", (tmp_path / "plain.tiff",), both))
    refused("holds uint8", Truth(A, (tmp_path / "eight.tiff",), both))
    refused("two truths", Truth(A, scene, both), Truth(A, (tmp_path / "plain.tiff",), both))
    odd = ("x'], __import__('os') or ['.tiff",)
    refused("letters", Truth(A, scene, odd), names=odd)
