import json
from pathlib import Path

import pytest

from kit.archive.expected import read_expected
from kit.archive.layout import LAYOUTS, find_layout, name_images
from kit.errors import InputError
from kit.metrics import MEASURES
from tests.helpers.archives import A, B

CH3 = LAYOUTS["2022"]


def toml(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_layouts_are_the_servers() -> None:
    asked = {
        name: (y.root, y.suffix, y.size, y.bands, y.mapping, y.measure)
        for name, y in LAYOUTS.items()
    }
    assert (
        asked.items()
        >= {
            "2022": ("CH3", ".tiff", 256, 3, "2022", "official_2022"),
            "2023": ("translation", ".tiff", 256, 3, "2023", "official_2023"),
            "plain": ("images", ".tiff", 0, 3, "any", "mae"),
        }.items()
    )
    assert all(layout.measure in MEASURES for layout in LAYOUTS.values())
    assert all(find_layout(name) is layout for name, layout in LAYOUTS.items())


def test_names_where_the_server_told_none() -> None:
    assert name_images([B, A], CH3) == {
        f"CH3/Sentinel2_{A}.tiff": A,
        f"CH3/Sentinel2_{B}.tiff": B,
    }
    assert name_images([A], LAYOUTS["2023"]) == {
        f"translation/Sentinel2_{A}_{number}.tiff": A for number in (1, 2, 3)
    }


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    text = 'base = "2023"\nroot = "next"\nimages = 2\nsize = 0\npattern = "{number}/s2 {scene}"'
    mine = find_layout(toml(tmp_path, text))
    assert (mine.name, mine.root, mine.size, mine.mapping) == ("mine", "next", 0, "2023")
    assert list(name_images([A], mine)) == [f"next/1/s2 {A}.tiff", f"next/2/s2 {A}.tiff"]
    path = tmp_path / "files.json"
    path.write_text(json.dumps([f"next/{A}.tiff"]))
    assert list(read_expected(path, mine)) == [f"next/{A}.tiff"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'base is None\n.*base = "...", one of 2022, 2023, .*plain'),
        ('base = "2021"', "base is '2021'"),
        ('base = ["2022"]', "base is"),
        ('base = "2023"\nfolder = "x"', "no field called 'folder'\n.*the fields are name, root,"),
        ('base = "2023"\nroot = 3', "root is 3\n.*must be text"),
        ('base = "2023"\nsize = "256"', "size is '256'\n.*must be a whole number"),
        ('base = "2023"\nsize = true', "size is True\n.*must be a whole number"),
        ('base = "2023"\nsize = -1', "size is -1\n.*from 0"),
        ('base = "2023"\nimages = 0', "images is 0\n.*from 1"),
        ('base = "2023"\nbands = 99999999999', "bands is 99999999999"),
        ('base = "2023"\nroot = "../x"', "root is '../x'\n.*one folder"),
        ('base = "2023"\nroot = "a/b"', "root is 'a/b'\n.*one folder"),
        ('base = "2023"\nroot = ""', "root is ''"),
        ('base = "2023"\nsuffix = ".png"', "suffix is '.png'\n.*must be .tiff"),
        ('base = "2023"\nmapping = "2021"', "mapping is '2021'\n.*2022, 2023 or any"),
        ('base = "2023"\nmeasure = "best"', "measure is 'best'\n.*one of .*mae,"),
        ('base = "2023"\npattern = "{scene}"', "{number} where images > 1"),
        ('base = "2023"\npattern = "{number}"', "a name with {scene}"),
        ('base = "2022"\npattern = "{scene.__class__}"', "a name with {scene}"),
        ('base = "2022"\npattern = "{scene}{0}"', "a name with {scene}"),
        ('base = "2022"\npattern = "../{scene}"', "a plain name"),
        ("base =", "not readable as TOML"),
        ("a = " + "[" * 100_000, "not readable as TOML"),
    ],
)
def test_layouts_that_nothing_could_follow(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        find_layout(toml(tmp_path, text))


@pytest.mark.parametrize("name", ["1999", "", "2022.json", "nowhere.toml"])
def test_layouts_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match=r"no such layout\n.*2022, 2023, .*plain|no such file"):
        find_layout(name)
