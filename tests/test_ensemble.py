import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import A, B, image, write_member

from kit.ensemble import average, average_scene, digest, read_member, read_members, select
from kit.errors import InputError


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_the_average_is_exact_with_halves_up(values: list[int]) -> None:
    found = average([np.full((3, 1, 1), value, np.uint16) for value in values])
    expected = (Fraction(sum(values), len(values)) + Fraction(1, 2)).__floor__()
    assert found.dtype == np.uint16
    assert (found == expected).all()


def test_the_average_of_one_is_itself_and_order_does_not_matter() -> None:
    images = [image(seed, size=8) for seed in range(3)]
    np.testing.assert_array_equal(average(images[:1]), images[0])
    np.testing.assert_array_equal(average(images), average(images[::-1]))


def test_images_of_different_shapes_are_not_averaged() -> None:
    with pytest.raises(ValueError, match="shapes"):
        average([image(0, size=8), image(0, size=4)])
    with pytest.raises(ValueError, match="shapes"):
        average([])


def test_members_are_averaged_scene_by_scene(tmp_path: Path) -> None:
    one, two = image(1, size=8), image(2, size=8)
    write_member(tmp_path, "one", {A: one, B: two})
    write_member(tmp_path, "two", {A: two, B: two})
    members = read_members(tmp_path, ["one", "two"])
    np.testing.assert_array_equal(average_scene(members, A), average([one, two]))
    np.testing.assert_array_equal(average_scene(members, B), two)


def test_a_member_tells_what_its_manifest_says(tmp_path: Path) -> None:
    member = read_member(write_member(tmp_path, "one", {B: image(1, size=8), A: image(2, size=8)}))
    assert (member.variant, member.target) == ("one", "reflectance")
    assert member.mean_color == (0.1, 0.2, 0.15)
    assert set(member.scenes) == {A, B}
    assert (member.pairs_sha256, member.engines) == (None, ())


def test_a_member_tells_what_it_was_trained_on_and_predicted_with(tmp_path: Path) -> None:
    known = {"pairs_sha256": "pairs", "engines": [{"name": "torch eager"}]}
    member = read_member(write_member(tmp_path, "one", {A: image(1, size=8)}, **known))
    assert (member.pairs_sha256, member.engines) == ("pairs", ({"name": "torch eager"},))
    for wrong in ({"engines": 1}, {"engines": ["eager"]}):
        write_member(tmp_path, "one", {A: image(1, size=8)}, **wrong)
        with pytest.raises(InputError, match="not a manifest"):
            read_member(tmp_path / "one")


def test_the_digest_is_of_shape_and_values_not_of_the_file(tmp_path: Path) -> None:
    pixels = image(1, size=8)
    fortran = np.asfortranarray(pixels)
    member = read_member(write_member(tmp_path, "one", {A: pixels, B: fortran}))
    assert digest(member.load(A)) == digest(member.load(B)) == digest(pixels.astype(">u2"))
    assert digest(pixels.reshape(3, 4, 16)) != digest(pixels)
    pixels[0, 0, 0] ^= 1
    assert digest(member.load(A)) != digest(pixels)


def test_a_member_that_was_never_predicted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        read_members(tmp_path, ["spade9"])
    assert "spade9" in raised.value.where
    assert "kit predict --ensemble spade9" in raised.value.remedy


def test_a_scene_that_one_member_lacks(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {A: image(1, size=8), B: image(1, size=8)})
    write_member(tmp_path, "two", {A: image(2, size=8)})
    with pytest.raises(InputError) as raised:
        read_members(tmp_path, ["one", "two"])
    assert raised.value.problem == f"two has no prediction for {B}"
    assert "kit predict --ensemble one,two" in raised.value.remedy


def test_members_of_different_targets_or_scales(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {A: image(1, size=8)})
    for changes in ({"target": "minmax"}, {"scaling": {"dn": [0, 2000]}}):
        write_member(tmp_path, "two", {A: image(1, size=8)}, **changes)
        with pytest.raises(InputError, match="same target"):
            read_members(tmp_path, ["one", "two"])


def test_members_that_see_radar_differently_may_be_averaged(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {A: image(1, size=8)})
    write_member(tmp_path, "two", {A: image(1, size=8)}, scaling={"vv_db": [0], "dn": [0, 3000]})
    assert len(read_members(tmp_path, ["one", "two"])) == 2


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((3, 8, 8), np.float32), "holds float32"),
        (np.zeros((8, 8, 3), np.uint16), r"\[8, 8, 3\]"),
        (np.array([{}]), "not readable"),
    ],
)
def test_a_prediction_of_another_kind(tmp_path: Path, pixels: np.ndarray, problem: str) -> None:
    member = read_member(write_member(tmp_path, "one", {A: pixels}))
    with pytest.raises(InputError, match=problem) as raised:
        member.load(A)
    assert A in raised.value.where


def test_a_truncated_or_missing_prediction(tmp_path: Path) -> None:
    member = read_member(write_member(tmp_path, "one", {A: image(1, size=8)}))
    path = tmp_path / "one" / f"{A}.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="not readable"):
        member.load(A)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="not readable"):
        member.load(A)
    path.unlink()
    with pytest.raises(InputError, match="kit predict --ensemble one"):
        member.load(A)


def test_members_of_different_size(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {A: image(1, size=8)})
    write_member(tmp_path, "two", {A: image(1, size=4)})
    with pytest.raises(InputError, match="where one made"):
        average_scene(read_members(tmp_path, ["one", "two"]), A)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"variant": "one", "mean_color": [1]}'])
def test_a_broken_manifest(tmp_path: Path, manifest: str) -> None:
    folder = write_member(tmp_path, "one", {A: image(1, size=8)})
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="kit predict --ensemble one"):
        read_member(folder)


def test_no_scene_at_all(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {})
    with pytest.raises(InputError, match="no scene"):
        read_members(tmp_path, ["one"])


def test_select_takes_a_name_a_list_or_what_was_predicted_last(tmp_path: Path) -> None:
    three = ("spade4", "spade2", "p2phd1")
    assert select(tmp_path, "submission2") == ("submission2", three)
    assert select(tmp_path, "spade4,spade2") == ("spade4-spade2", ("spade4", "spade2"))
    for ensemble, name in (("submission2", "submission2"), (",".join(three), "-".join(three))):
        last = {"ensemble": ensemble, "members": three}
        (tmp_path / "last.json").write_text(json.dumps(last))
        assert select(tmp_path) == (name, three)


@pytest.mark.parametrize("last", [None, "[]", "{}", '{"ensemble": "x", "members": []}'])
def test_select_without_a_prediction(tmp_path: Path, last: str | None) -> None:
    if last is not None:
        (tmp_path / "last.json").write_text(last)
    with pytest.raises(InputError, match="kit predict"):
        select(tmp_path)
