"""Definitions of sources: those of the kit, the one of the docs, and wrong ones."""

import re
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.sources.definition import NAMES, find_definition
from kit.sources.template import Template

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "source-own.md"


@pytest.mark.parametrize("name", NAMES)
def test_those_of_the_kit_are_whole(name: str) -> None:
    definition = find_definition(name)
    assert definition.about and definition.radar.files and definition.optical.files


def test_the_one_of_the_docs(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    path = tmp_path / "mine.toml"
    path.write_text(found[1])
    definition = find_definition(str(path))
    match = definition.radar.files[0].match("a/north/2021-05-02_sar_7.tif")
    assert match and match.folder == "a"
    assert match.fields == {"site": "north", "date": "2021-05-02", "number": "7"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("unit = 'dB'", "unit = 'db'"), "radar.unit is 'db'"),
        (("VV = 1", "VV = 0"), "VV = 0"),
        (("VV = 1", "HH = 1"), "radar.bands has HH"),
        (("VV = 1, ", ""), "radar.bands lacks VV"),
        (("files = ['s1/{name}.tif']", "files = ['s1/{name.tif']"), "brace"),
        (("files = ['s1/{name}.tif']", "files = ['{s1/{name}.tif']"), "brace"),
        (("files = ['s1/{name}.tif']", "files = ['s1/{Name}.tif']"), "the field {Name}"),
        (("s1/{name}", "s1/{nummer}"), "s1/{nummer}.tif and s2/{name}.tif do not share name, num"),
        (("[radar]", "group = ['site']\n[radar]"), "group names site, and no template has"),
        (("[radar]", "[dates]\nfield = 'season'\n[radar]"), "[dates] field names season, and no"),
        (("[radar]", "[rader]"), "the key rader"),
        (("unit = 'dB'", "units = 'dB'"), "the key units"),
        (("VV = 1", "VV = 'VV'"), "by position and others by name"),
        (("[radar]", "date = '2021-13-01'\n[radar]"), "is no date"),
        (("bands = { B4 = 4, B3 = 3, B2 = 2 }", ""), "optical.bands lacks B4, B3, B2"),
        (("[radar]", "[twins]\ntable = 'a.parquet'\n[radar]"), "table, and no radar, optical"),
        (("[radar]", "[twins]\njson = '*.json'\n[radar]"), "[twins] has json, and no json_key"),
        (("[radar]", "[twins]\nsplit = 'part'\n[radar]"), "[twins] has no table, json"),
    ],
)
def test_a_wrong_one_is_refused_by_name(
    tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    text = """
[radar]
files = ['s1/{name}.tif']
bands = { VV = 1, VH = 2 }
unit = 'dB'
[optical]
files = ['s2/{name}.tif']
bands = { B4 = 4, B3 = 3, B2 = 2 }
"""
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(InputError) as error:
        find_definition(str(path))
    assert problem in error.value.problem and str(path) in error.value.where


def test_an_unknown_name_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such source"):
        find_definition("sen12m")
    with pytest.raises(InputError, match="no such file"):
        find_definition(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("template", "path", "fields"),
    [
        ("{part}A/{name}.{png|tif}", "x/trainA/1.png", {"part": "train", "name": "1"}),
        ("{part}A/{name}.{png|tif}", "x/otherA/1.png", None),
        ("{a}_{a}.tif", "x_x.tif", {"a": "x"}),
        ("{a}_{a}.tif", "x_y.tif", None),
        ("{sar|s1}*/{name}.png", "d/sar_256/7.png", {"name": "7"}),
        ("{name}.png", "d/7.PNG", {"name": "7"}),
        ("b{name}.png", "ab1.png", None),
    ],
)
def test_templates(template: str, path: str, fields: dict[str, str] | None) -> None:
    match = Template(template, "here").match(path)
    assert (match.fields if match else None) == fields
