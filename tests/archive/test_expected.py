"""The server's list of expected names: its shapes, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kit.archive.expected import read_expected
from kit.archive.layout import LAYOUTS, Layout
from kit.errors import InputError
from kit.tiles.names import SceneKey
from tests.helpers.archives import A, B

CH3 = LAYOUTS["2022"]
ONE, TWO = f"CH3/Sentinel2_{A}_1.tiff", f"CH3/Sentinel2_{A}_2.tiff"


def expected(folder: Path, value: object, layout: Layout = CH3) -> tuple[str, ...]:
    path = folder / "files.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return tuple(read_expected(path, layout))


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
    scenes = read_expected(path, LAYOUTS["2023"])
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
    assert read_expected(path, CH3) == {
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
        ({"count": 3, "files": [ONE]}, "lists 1 names where its count is 3"),
        ({"count": True, "files": [ONE]}, "lists 1 names where its count is True"),
        ({"count": "1", "files": [ONE]}, "lists 1 names where its count is 1"),
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
        (["CH3\\a.tiff"], "where folders are separated by /"),
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
        (["CH3/a.tiff", "CH3/A.tiff"], "'CH3/a.tiff' and 'CH3/A.tiff', which differ only in case"),
        (["CH3/\u00e9.tiff", "CH3/e\u0301.tiff"], "differ only in case"),
        ('["CH3/a.tiff"', "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[" + "9" * 5000 + "]", "not readable as JSON"),
        ("[NaN, 1e999]", "not a list of names"),
        ("[" * 1_000_000, "nested too deeply"),
        ('{"files":' * 100_000, "nested too deeply"),
        (["a"] * 100_001, "lists 100,001 names, more than 100,000"),
        ({"sar": {"t": [*map(str, range(100_001))]}}, "lists 100,001 names"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_lists_and_names_that_do_not_fit(tmp_path: Path, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        expected(tmp_path, value)
    assert raised.value.where == str(tmp_path / "files.json")
    assert raised.value.remedy
    assert len(str(raised.value)) < 600 and str(raised.value).encode()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_lists_that_windows_saved(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "files.json"
    path.write_bytes(json.dumps([ONE]).encode(encoding))
    assert [*read_expected(path, CH3)] == [ONE]


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
