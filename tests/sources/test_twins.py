"""Which images of two sensors belong together, and which part of the split each has."""

from pathlib import Path

import pytest

from kit.errors import InputError
from kit.sources.definition import Definition, find_definition
from kit.sources.listing import list_images
from kit.sources.twins import Twins, absent_from, find_radar, find_twins
from kit.tiles.rejection import Rejection

MINE = """
[radar]
files = ['s1/{name}.{tif|png|PNG}']
[optical]
files = ['s2/{name}.{tif|png|PNG}']
bands = { B4 = 1, B3 = 2, B2 = 3 }
[lists]
test = ['held_out.txt']
"""


def mine(folder: Path, names: str) -> Definition:
    """A source whose test part is listed, with these names."""
    (folder / "mine.toml").write_text(MINE)
    (folder / "held_out.txt").write_text(names)
    return find_definition(str(folder / "mine.toml"))


def found(data: Path, definition: Definition, *paths: str) -> tuple[list[Twins], list[Rejection]]:
    every = ["held_out.txt", *paths]
    return find_twins(data, list_images(every, definition, None), definition, every)


@pytest.mark.parametrize("names", ["b\n", "b.tif\nelsewhere\n"])
def test_a_list_of_radar_images_alone_is_of_the_test_part(tmp_path: Path, names: str) -> None:
    definition = mine(tmp_path, names)
    twins, rejected = found(tmp_path, definition, "s1/a.tif", "s1/b.tif", "s2/a.tif")
    assert [(t.radar and t.radar.name, t.optical and t.optical.name, t.part) for t in twins] == [
        ("a", "a", "train"),
        ("b", None, "test"),
    ]
    assert rejected == []


def test_a_listed_radar_image_without_a_twin_is_kept_beside_listed_twins(tmp_path: Path) -> None:
    definition = mine(tmp_path, "a\nb\n")
    twins, rejected = found(
        tmp_path, definition, "s1/a.tif", "s1/b.tif", "s1/c.tif", "s2/a.tif", "s2/c.tif"
    )
    assert [t.radar and (t.radar.name, t.part) for t in twins] == [
        ("a", "test"), ("c", "train"), ("b", "test"),
    ]  # fmt: skip
    assert rejected == []


def test_a_list_without_an_image_of_here_is_refused(tmp_path: Path) -> None:
    definition = mine(tmp_path, "x\n")
    with pytest.raises(InputError, match="names 1 images, and none of them is here: x"):
        found(tmp_path, definition, "s1/a.tif", "s2/a.tif")


def test_a_list_to_train_on_that_names_no_image_with_a_twin_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace("test =", "train ="))
    (tmp_path / "held_out.txt").write_text("b\n")
    with pytest.raises(InputError, match="names 1 images, and none of them has a twin: b"):
        found(tmp_path, find_definition(str(path)), "s1/a.tif", "s1/b.tif", "s2/a.tif")


@pytest.mark.parametrize("suffix", ["", ".tif", ".TIF", ".png", ".PNG", ".jpeg"])
def test_lists_name_images_with_any_suffix(tmp_path: Path, suffix: str) -> None:
    definition = mine(tmp_path, f"folder/1{suffix}\n")
    paths = ["s1/1.png", "s2/1.png", "s1/2.PNG", "s2/2.PNG"]
    twins, _ = found(tmp_path, definition, *paths)
    assert [(t.optical and t.optical.name, t.part) for t in twins] == [
        ("1", "test"),
        ("2", "train"),
    ]
    every = ["held_out.txt", *paths]
    listing = list_images(every, definition, None)
    assert absent_from(tmp_path, definition, every, listing) == []
    radar, others = find_radar(tmp_path, listing, definition, every)
    assert [t.radar and t.radar.name for t in radar] == ["1"] and others == 1


def test_a_table_with_nor_in_its_name_is_missed_by_that_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    table = "[twins]\ntable = 'north.parquet'\nradar = 'a'\noptical = 'b'\n"
    path.write_text(MINE.partition("[lists]")[0] + table)
    with pytest.raises(InputError, match=r"has no north\.parquet"):
        found(tmp_path, find_definition(str(path)), "s1/a.tif", "s2/a.tif")
