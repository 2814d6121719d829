import json
from pathlib import Path

import pytest
from tiny import A

from kit.errors import InputError
from kit.layout import LAYOUTS, Layout, read_expected

CH3 = LAYOUTS["2022"]
ONE, TWO = f"CH3/Sentinel2_{A}_1.tiff", f"CH3/Sentinel2_{A}_2.tiff"


def expected(folder: Path, value: object, layout: Layout = CH3) -> tuple[str, ...]:
    path = folder / "files.json"
    path.write_text(json.dumps(value))
    return read_expected(path, layout)


def test_the_layouts_are_the_servers() -> None:
    assert LAYOUTS["2022"] == Layout("CH3", 256)
    assert LAYOUTS["2023"] == Layout("translation", 256)
    assert LAYOUTS["plain"].size is None


def test_what_the_server_tells(tmp_path: Path) -> None:
    files = {"count": 2, "image_type": ".tiff", "files": [f"/{TWO}", f"/{ONE}"]}
    assert expected(tmp_path, files) == (TWO, ONE)
    assert expected(tmp_path, {"files": [ONE, ONE]}) == (ONE,)


def test_a_plain_list(tmp_path: Path) -> None:
    assert expected(tmp_path, [ONE, f"/{TWO}"]) == (ONE, TWO)


def test_the_mappings_of_both_years(tmp_path: Path) -> None:
    assert expected(tmp_path, {"sar": {"t.tiff": [ONE], "u.tiff": [ONE, TWO]}}) == (ONE, TWO)
    names = ["a_1.tiff", "translation/a_2.tiff"]
    mapping = {str(names): [f"Sentinel2_{A}.tiff"]}
    found = expected(tmp_path, mapping, LAYOUTS["2023"])
    assert found == ("translation/a_1.tiff", "translation/a_2.tiff")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "not a list of names"),
        ([1], "not a list of names"),
        ("CH3/a.tiff", "not a list of names"),
        ({"files": "CH3/a.tiff"}, "not a list of names"),
        ({"files": {"CH3/a.tiff": 1}}, "not a list of names"),
        ({"count": 3, "files": [ONE]}, "lists 1 of 3 names"),
        ({}, "neither"),
        ({"count": 3}, "neither"),
        (["CH3/a.png"], "does not end in"),
        (["CH3/a.tif"], "does not end in"),
        (["translation/a.tiff"], "not in the layout's folder, CH3/\n.*--layout 2023"),
        (["ch3/a.tiff"], "not in the layout's folder"),
        (["a.tiff"], "not in the layout's folder"),
        (["CH3.tiff"], "not in the layout's folder"),
        (["CH3/../a.tiff"], "points outside"),
        (["//CH3/a.tiff"], "points outside"),
        (["CH3\\a.tiff"], "points outside"),
        (["CH3//a.tiff"], "not a plain path"),
        (["CH3/./a.tiff"], "not a plain path"),
        (["CH3/a\n.tiff"], "control characters"),
    ],
)
def test_lists_and_names_that_do_not_fit(tmp_path: Path, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        expected(tmp_path, value)
    assert raised.value.where == str(tmp_path / "files.json")
    assert raised.value.remedy
