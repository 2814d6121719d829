import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit
from kit.averaging import average, averaging_text, parse_averaging
from kit.colors import Colors
from kit.errors import InputError
from kit.prediction.combination import Combination
from kit.prediction.members import combine_scene, read_member, read_members
from kit.storage.image_file import digest
from tests.helpers.archives import A, B, image, write_member

VALUES = st.integers(0, 65535) | st.sampled_from([0, 65535])
NAMES = ("one", "two", "three")


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_the_average_is_exact_with_halves_up(values: list[int]) -> None:
    found = average([np.full((3, 1, 1), value, np.uint16) for value in values])
    expected = (Fraction(sum(values), len(values)) + Fraction(1, 2)).__floor__()
    assert found.dtype == np.uint16
    assert (found == expected).all()


def rounded(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


def pixels(values: list[int]) -> list[np.ndarray]:
    return [np.full((3, 1, 1), value, np.uint16) for value in values]


@given(st.lists(VALUES, min_size=1, max_size=9))
def test_the_median_is_exact_with_halves_up(values: list[int]) -> None:
    found = average(pixels(values), "median")
    ranked, n = sorted(values), len(values)
    expected = rounded(Fraction(ranked[(n - 1) // 2] + ranked[n // 2], 2))
    assert found.dtype == np.uint16
    assert (found == expected).all()


@given(st.lists(st.tuples(VALUES, st.integers(0, 2**45)), min_size=1, max_size=7))
def test_the_weighted_mean_is_exact_with_halves_up(pairs: list[tuple[int, int]]) -> None:
    values, weights = [value for value, _ in pairs], tuple(weight for _, weight in pairs)
    if not any(weights):
        weights = (*weights[:-1], 1)
    found = average(pixels(values), weights)
    total = sum(value * weight for value, weight in zip(values, weights, strict=True))
    assert found.dtype == np.uint16
    assert (found == rounded(Fraction(total, sum(weights)))).all()


@pytest.mark.parametrize("whole", [2**16, 2**16 + 1, 2**48])
def test_no_sum_overflows(whole: int) -> None:
    """The most that 32 and 64 bits hold, and one more."""
    for value in (0, 1, 65534, 65535):
        assert (average(pixels([value, value]), (whole - 1, 1)) == value).all()
    assert (
        average(pixels([65535, 0]), (whole // 2, whole - whole // 2)) == 32768 - whole % 2
    ).all()
    with pytest.raises(ValueError, match="weights"):
        average(pixels([1, 1]), (2**48, 1))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_medians_of_whole_images_are_those_of_numpy(n: int) -> None:
    images = [image(seed, size=16) for seed in range(n)]
    before = [each.copy() for each in images]
    expected = np.floor(np.median(np.stack(images), axis=0) + 0.5)
    found = average(images, "median")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(average(images[::-1], "median"), expected)
    np.testing.assert_array_equal(images, before)
    assert not any(np.shares_memory(found, each) for each in images)


def test_equal_weights_are_the_mean_and_a_weight_alone_is_its_member() -> None:
    images = [image(seed, size=8) for seed in range(3)]
    np.testing.assert_array_equal(average(images, (7, 7, 7)), average(images))
    for place in range(3):
        alone = tuple(int(place == each) for each in range(3))
        np.testing.assert_array_equal(average(images, alone), images[place])
    doubled = [images[0], images[0], images[1]]
    np.testing.assert_array_equal(average(images[:2], (2, 1)), average(doubled))


@pytest.mark.parametrize("weights", [(), (1,), (1, 1, 1), (0, 0), (2, -1)])
def test_weights_that_do_not_fit_the_images(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        average(pixels([1, 2]), weights)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean", "mean"),
        ("median", "median"),
        ("4,2,1", "4,2,1"),
        ("1,0,0", "1,0,0"),
        (" 0.5, .25,0.250", "2,1,1"),
        ("0.1,0.2,0.3", "1,2,3"),
        ("0.333,0.333,0.334", "333,333,334"),
        ("3,3,3", "mean"),
        ("1e300,2e300,-0", "1,2,0"),
        ("281474976710654,1,1", "281474976710654,1,1"),
    ],
)
def test_what_is_asked_for_in_its_shortest_form(text: str, expected: str) -> None:
    found = parse_averaging(text, NAMES)
    assert averaging_text(found) == expected
    assert parse_averaging(expected, NAMES) == found


@given(st.lists(st.decimals(0, 100, places=4), min_size=3, max_size=3).filter(any))
def test_weights_keep_their_ratios_exactly(given: list[Decimal]) -> None:
    found = parse_averaging(",".join(map(str, given)), NAMES)
    weights = (1, 1, 1) if found == "mean" else found
    assert [Fraction(weight, sum(weights)) for weight in weights] == [
        Fraction(number) / Fraction(sum(given)) for number in given
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("best", "unknown method 'best'"),
        ("Median", "unknown method 'Median'"),
        ("", "'' is not a number"),
        ("4,2", "2 weights for 3 members"),
        ("4", "1 weight for 3 members"),
        ("4,2,1,1", "4 weights for 3 members"),
        ("4,2,", "'' is not a number"),
        ("4;2;1", "'4;2;1' is not a number"),
        ("4,mean,1", "'mean' is not a number"),
        ("4,-2,1", "'-2' is negative"),
        ("nan,2,1", "'nan' is not finite"),
        ("4,inf,1", "'inf' is not finite"),
        ("0,0.0,0", "all weights are zero"),
        ("1e999999999,1,1", "'1e999999999' is not between"),
        ("1,1e-999999999,1", "'1e-999999999' is not between"),
        ("281474976710655,1,1", "add up to more than 2"),
        ("1,1,0.333333333333333333", "add up to more than 2"),
    ],
)
def test_what_is_no_way_to_average(text: str, problem: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_averaging(text, NAMES)
    assert raised.value.where == "--average" and problem in raised.value.problem
    assert "one,two,three" in raised.value.remedy or "fewer digits" in raised.value.remedy


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
    np.testing.assert_array_equal(combine_scene(members, A), average([one, two]))
    np.testing.assert_array_equal(combine_scene(members, B), two)
    np.testing.assert_array_equal(combine_scene(members, A, Combination((0, 1))), two)


def test_a_member_tells_what_its_manifest_says(tmp_path: Path) -> None:
    member = read_member(write_member(tmp_path, "one", {B: image(1, size=8), A: image(2, size=8)}))
    assert (member.variant, member.target) == ("one", "reflectance")
    assert member.colors == Colors((0.1, 0.2, 0.15))
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
        read_members(tmp_path, ["spade1"])
    assert "spade1" in raised.value.where
    assert "kit predict --ensemble spade1" in raised.value.remedy


def test_a_name_that_nothing_has_lists_what_is_predicted(tmp_path: Path) -> None:
    write_member(tmp_path, "mine", {A: image(1, size=8)})
    with pytest.raises(InputError, match=r"did you mean mine\? known are submission1.*mine"):
        read_members(tmp_path, ["mime"])


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
    with pytest.raises(InputError, match=r"but .* by one"):
        combine_scene(read_members(tmp_path, ["one", "two"]), A)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"variant": "one", "mean_color": [1]}'])
def test_a_broken_manifest(tmp_path: Path, manifest: str) -> None:
    folder = write_member(tmp_path, "one", {A: image(1, size=8)})
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="kit predict --ensemble one --input TEST --overwrite"):
        read_member(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"kit predict --ensemble one --input TEST$"):
        read_member(folder)


def test_no_scene_at_all(tmp_path: Path) -> None:
    write_member(tmp_path, "one", {})
    with pytest.raises(InputError, match="no scene"):
        read_members(tmp_path, ["one"])


HIGHEST = """
import sys
from pathlib import Path
from kit.prediction.members import read_members
from kit.prediction.combination import Combination
from kit.submission.build import build
class Nowhere:
    def write(self, data): pass
members = read_members(Path(sys.argv[1]), ["one", "two", "three"])
names = {f"{scene}.tiff": scene for scene in members[0].scenes}
build(Nowhere(), members, names, combination=Combination("median"), threads=1)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak there")
def test_memory_does_not_grow_with_the_scenes(tmp_path: Path) -> None:
    """A thousand images of 24 KiB of three members, all mapped, would be 70 MiB."""

    def highest(scenes: int) -> int:
        folder = tmp_path / str(scenes)
        for seed, name in enumerate(NAMES):
            member = write_member(folder, name, {"0": image(seed, size=64)})
            for number in range(1, scenes):
                os.link(member / "0.npy", member / f"{number}.npy")
            about = json.loads((member / "manifest.json").read_text())
            about["scenes"] = {str(number): {} for number in range(scenes)}
            (member / "manifest.json").write_text(json.dumps(about))
        command = [sys.executable, "-c", HIGHEST, str(folder)]
        root = Path(kit.__file__).parents[1]
        return int(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)

    few, many = highest(50), highest(1000)
    assert many - few < 8 << 10  # KiB; the names and checksums of the manifest are a tenth of it
