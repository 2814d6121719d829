import json
import os
from pathlib import Path
from typing import Any

import pytest

from kit.archive.layout import LAYOUTS, Layout, find_layout, name_images, read_expected, read_scenes
from kit.errors import InputError
from kit.metrics import RULES
from kit.tiles.names import SceneKey
from tests.helpers.archives import A, B

CH3 = LAYOUTS["2022"]
ONE, TWO = f"CH3/Sentinel2_{A}_1.tiff", f"CH3/Sentinel2_{A}_2.tiff"


def expected(folder: Path, value: object, layout: Layout = CH3) -> tuple[str, ...]:
    path = folder / "files.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return read_expected(path, layout)


def toml(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_layouts_are_the_servers() -> None:
    asked = {
        name: (y.root, y.suffix, y.size, y.bands, y.mapping, y.measure)
        for name, y in LAYOUTS.items()
    }
    assert asked == {
        "2022": ("CH3", ".tiff", 256, 3, "2022", "official_2022"),
        "2023": ("translation", ".tiff", 256, 3, "2023", "official_2023"),
        "plain": ("images", ".tiff", 0, 3, "any", "mae"),
    }
    assert all(layout.measure in RULES for layout in LAYOUTS.values())
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
    assert expected(tmp_path, [f"next/{A}.tiff"], mine) == (f"next/{A}.tiff",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'base is None\n.*base = "...", one of 2022, 2023, plain'),
        ('base = "2021"', "base is '2021'"),
        ('base = ["2022"]', "base is"),
        ('base = "2023"\nfolder = "x"', "no field called 'folder'\n.*the fields are name, root,"),
        ('base = "2023"\nroot = 3', "root is 3\n.*must be str"),
        ('base = "2023"\nsize = "256"', "size is '256'\n.*must be int"),
        ('base = "2023"\nsize = true', "size is True\n.*must be int"),
        ('base = "2023"\nsize = -1', "size is -1\n.*from 0"),
        ('base = "2023"\nimages = 0', "images is 0\n.*from 1"),
        ('base = "2023"\nbands = 99999999999', "bands is 99999999999"),
        ('base = "2023"\nroot = "../x"', "root is '../x'\n.*one folder"),
        ('base = "2023"\nroot = "a/b"', "root is 'a/b'\n.*one folder"),
        ('base = "2023"\nroot = ""', "root is ''"),
        ('base = "2023"\nsuffix = ".png"', "suffix is '.png'\n.*must be .tiff"),
        ('base = "2023"\nmapping = "2021"', "mapping is '2021'\n.*2022, 2023 or any"),
        ('base = "2023"\nmeasure = "best"', "measure is 'best'\n.*one of mae,"),
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


@pytest.mark.parametrize("name", ["2021", "", "2022.json", "nowhere.toml"])
def test_layouts_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match=r"no such layout\n.*2022, 2023, plain|No such file"):
        find_layout(name)


def test_what_the_server_tells(tmp_path: Path) -> None:
    files = {"count": 2, "image_type": ".tiff", "files": [f"/{TWO}", f"/{ONE}"], "more": None}
    assert expected(tmp_path, files) == (TWO, ONE)
    assert expected(tmp_path, {"files": [ONE]}) == (ONE,)


def test_a_plain_list(tmp_path: Path) -> None:
    assert expected(tmp_path, [ONE, f"/{TWO}"]) == (ONE, TWO)


def test_the_mappings_of_both_years(tmp_path: Path) -> None:
    mapping: dict[str, Any] = {"sar": {"t.tiff": [ONE], "u.tiff": [ONE, TWO]}, "b": {"v": [ONE]}}
    assert expected(tmp_path, mapping) == (ONE, TWO)
    mapping = {str(["a_1.tiff", "translation/a_2.tiff"]): [f"Sentinel2_{A}.tiff"]}
    found = expected(tmp_path, mapping, LAYOUTS["2023"])
    assert found == ("translation/a_1.tiff", "translation/a_2.tiff")
    with pytest.raises(InputError, match=r"a mapping of 2023, not of 2022\n.*--layout 2023"):
        expected(tmp_path, mapping)
    assert len(expected(tmp_path, {"['a.tiff']": [f"Sentinel2_{A}"]}, LAYOUTS["plain"])) == 1


def test_several_images_of_a_scene_are_of_that_scene(tmp_path: Path) -> None:
    path = tmp_path / "files.json"
    names = [f"Sentinel2_{A}_{number}.tiff" for number in (1, 2, 3)]
    path.write_text(json.dumps({str(names): [f"Sentinel2_{B}.tiff"]}))
    scenes = read_scenes(path, LAYOUTS["2023"])
    assert scenes == {f"translation/{name}": SceneKey.parse(A) for name in names}


def test_in_a_mapping_of_2022_the_sar_input_says_the_scene(tmp_path: Path) -> None:
    path = tmp_path / "mappings.json"
    late = f"CH3/{A[:-2]}11.tiff"
    mapping = {
        f"Sentinel1_VV_{A}.tiff": {"t.tiff": ["CH3/1.tiff", late]},
        "undated": {"t.tiff": [f"CH3/{B}.tiff", "CH3/2.tiff"]},
    }
    path.write_text(json.dumps(mapping))
    a, b = SceneKey.parse(A), SceneKey.parse(B)
    assert read_scenes(path, CH3) == {
        "CH3/1.tiff": a, late: a, f"CH3/{B}.tiff": b, "CH3/2.tiff": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "not a list of names"),
        ([1], "not a list of names"),
        ("7", "not a list of names"),
        ('"CH3/a.tiff"', "not a list of names"),
        ({"files": "CH3/a.tiff"}, "not a list of names"),
        ({"files": {"CH3/a.tiff": 1}}, "not a list of names"),
        ({"files": None, "count": 0}, "not a list of names"),
        ({"count": 3, "files": [ONE]}, "lists 1 of 3 names"),
        ({"count": True, "files": [ONE]}, "lists 1 of True names"),
        ({"count": "1", "files": [ONE]}, "lists 1 of 1 names"),
        ({"image_type": ".png", "files": [ONE]}, "images of type '.png', not .tiff"),
        ({}, "neither"),
        ({"count": 3}, "neither"),
        (["CH3/a.png"], "does not end in"),
        (["CH3/a.tif"], "does not end in"),
        (["CH3/a.TIFF"], "does not end in"),
        (["translation/a.tiff"], "not in the layout's folder, CH3/\n.*--layout 2023"),
        (["ch3/a.tiff"], "not in the layout's folder"),
        (["a.tiff"], "not in the layout's folder"),
        (["CH3.tiff"], "not in the layout's folder"),
        (["CH3/../a.tiff"], "points outside"),
        (["//CH3/a.tiff"], "points outside"),
        (["C:/CH3/a.tiff"], "points outside"),
        (["CH3\\a.tiff"], "points outside"),
        (["CH3//a.tiff"], "not a plain path"),
        (["CH3/./a.tiff"], "not a plain path"),
        (["CH3/a.tiff/"], "does not end in"),
        (["CH3/a\n.tiff"], "control characters"),
        (["CH3/a\0.tiff"], "control characters"),
        (["CH3/a\x1b[2J.tiff"], "control characters"),
        ('["CH3/\\ud800.tiff"]', "control characters"),
        (["CH3/" + "a" * 300 + ".tiff"], "more than 255 bytes"),
        ([ONE, ONE], "2 times"),
        ([ONE, f"/{ONE}"], "2 times"),
        (["CH3/a.tiff", "CH3/A.tiff"], "'CH3/a.tiff' and 'CH3/A.tiff', which differ in case"),
        (["CH3/\u00e9.tiff", "CH3/e\u0301.tiff"], "differ in case"),
        ('["CH3/a.tiff"', "not readable as JSON"),
        ("", "not readable as JSON"),
        ("\ufeff[]", "not readable as JSON"),
        ("[" + "9" * 5000 + "]", "not readable as JSON"),
        ("[NaN, 1e999]", "not a list of names"),
        ("[" * 1_000_000, "nested too deeply"),
        ('{"files":' * 100_000, "nested too deeply"),
        (json.dumps([f"CH3/{i}.tiff" for i in range(1_000_000)]), "lists|has .* bytes"),
        (json.dumps(["a"] * 1_000_000), "lists 1,000,000 names, more than 100,000"),
        (json.dumps({"sar": {"t": [str(i) for i in range(100_001)]}}), "lists 100,001 names"),
        (json.dumps({"sar": {"t": [str(i) for i in range(300_001)]}}), "lists 300,001 names"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_lists_and_names_that_do_not_fit(tmp_path: Path, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        expected(tmp_path, value)
    assert raised.value.where == str(tmp_path / "files.json")
    assert raised.value.remedy
    assert len(str(raised.value)) < 600 and str(raised.value).encode()


def test_lists_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nowhere", Path("a\0b")):
        with pytest.raises(InputError, match=r"is not a file|no such file|not readable"):
            read_expected(path, CH3)
    (tmp_path / "list").write_bytes(b"[]" * (9 << 20))
    with pytest.raises(InputError, match="has 18,874,368 bytes"):
        read_expected(tmp_path / "list", CH3)
    (tmp_path / "list").write_bytes(b'["\xff"]')
    with pytest.raises(InputError, match="not readable as JSON"):
        read_expected(tmp_path / "list", CH3)
