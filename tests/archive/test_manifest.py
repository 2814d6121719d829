"""What a manifest says of its archive, and what is refused."""

import json
from pathlib import Path

import pytest

from kit.archive.manifest import describe, predictions_digest, read_manifest
from kit.errors import InputError
from kit.prediction.members import read_member
from tests.helpers.archives import A, image, write_member


def test_a_member_is_described_with_all_that_is_known(tmp_path: Path) -> None:
    engine = {"name": "torch eager", "device": "CPU"}
    facts = {"pairs_sha256": "pairs", "engines": [engine], "trained_on": [A]}
    member = read_member(write_member(tmp_path, "one", {A: image(1, 8)}, **facts))
    found = describe(member, "digest")
    assert json.loads(json.dumps(found)) == {
        "variant": "one",
        "weights_sha256": "weights of one",
        "pairs_sha256": "pairs",
        "config": {"name": "one"},
        "scaling": {"vv_db": [-25, 0], "vh_db": [-32.5, 0], "dn": [0, 3000]},
        "mean_color": [0.1, 0.2, 0.15],
        "input": "TEST",
        "engines": [engine],
        "flips": 1,
        "predictions_sha256": "digest",
        "trained_on": [A],
    }


def test_the_digest_of_predictions_is_of_scenes_in_any_order() -> None:
    one = predictions_digest({"a": "1", "b": "2"})
    assert one == predictions_digest({"b": "2", "a": "1"})
    assert one != predictions_digest({"a": "2", "b": "1"})
    assert one != predictions_digest({"a": "1"})


MEMBER = {
    "variant": "one", "weights_sha256": "w", "pairs_sha256": None, "predictions_sha256": "p",
    "engines": [], "input": "TEST",
}  # fmt: skip
MANIFEST = {
    "sha256": "s", "stretch": "keep", "made_with": {},
    "members": [MEMBER], "entries": {"CH3/a.tiff": {"scene": A, "sha256": "e"}},
}  # fmt: skip


def write(folder: Path, value: object) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(value))
    return path


def test_a_manifest_is_read(tmp_path: Path) -> None:
    found = read_manifest(write(tmp_path, MANIFEST))
    assert found.archive == tmp_path / "a.zip"
    assert (found.scenes, found.entries) == ({"CH3/a.tiff": A}, {"CH3/a.tiff": "e"})
    assert found.members[0].input == Path("TEST")
    assert found.combination.averaging == "mean"  # what the kits did that did not say


def test_the_averaging_of_an_archive(tmp_path: Path) -> None:
    two = [MEMBER, MEMBER | {"variant": "two"}]
    for text, averaging in (("mean", "mean"), ("median", "median"), ("4,1", (4, 1))):
        found = read_manifest(write(tmp_path, MANIFEST | {"members": two, "average": text}))
        assert found.combination.averaging == averaging


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"entries": []}, "not a manifest"),
        ({"entries": {"x": "y"}}, "not a manifest"),
        ({"entries": {"x": {"scene": "../x", "sha256": ""}}}, "not a plain name"),
        ({"members": [MEMBER | {"variant": "/etc"}]}, "not a plain name"),
        ({"members": [{}]}, "not a manifest"),
        ({"members": None}, "not a manifest"),
        ({"average": None}, "not a manifest"),
        ({"average": ["median"]}, "not a manifest"),
        ({"average": "trimmed"}, r"a\.json: its average: unknown method 'trimmed'"),
        ({"average": "4,1"}, "its average: 2 weights for 1 member"),
    ],
)
def test_what_is_not_a_manifest(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_manifest(write(tmp_path, MANIFEST | changes))


@pytest.mark.parametrize("value", [[], 1, None, {}, {"sha256": "s", "members": []}])
def test_a_manifest_of_an_older_kit_or_of_something_else(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match="package --overwrite"):
        read_manifest(write(tmp_path, value))
