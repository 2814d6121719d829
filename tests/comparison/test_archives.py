"""Submissions are compared scene by scene, as they are scored."""

from pathlib import Path

import numpy as np
import pytest

from kit.comparison.compare import compare
from kit.errors import InputError
from kit.pairs.clear import Clear
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.scoring.score import score
from kit.submission.package import package
from kit.submission.server_score import log
from tests.helpers.archives import digital_numbers, image, write_member, write_truth

KEYS = [f"{10 + i}.00_20.00_2020_06_0{1 + i}" for i in range(4)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archives one, two and few, of which the last lacks a scene, and a truth."""
    monkeypatch.chdir(tmp_path)
    for number, key in enumerate(KEYS):
        write_truth(Path("truth"), key, digital_numbers(number, 32))
    made = {"one": KEYS, "two": KEYS, "few": KEYS[1:]}
    for number, (name, keys) in enumerate(made.items()):
        images = {key: image(10 * number + row, 32) for row, key in enumerate(keys)}
        target = "minmax" if name == "few" else "reflectance"
        write_member(Path("predictions"), name, images, target=target)
        package(ensemble=name, name=name, layout="plain")
    return tmp_path


def test_the_means_are_the_scores_of_the_archives(world: Path) -> None:
    rows = [score(f"submissions/{name}.zip", "truth").own for name in ("one", "two")]
    for measure in ("mae", "psnr", "mse", "official_2022", "official_2023", "stretched_psnr"):
        found = compare("one", "submissions/two.zip", truth="truth", measure=measure)
        assert found.scores == pytest.approx([row.get(measure) for row in rows])
        assert (len(found.differences), found.places, found.only) == (4, 4, (0, 0))


def test_the_measure_is_that_of_the_layout_and_scenes_of_one_alone_are_counted(world: Path) -> None:
    found = compare("one", "few.zip", truth="truth", measure="official_2022")
    assert (len(found.differences), found.only) == (3, (1, 0))
    assert compare("one", "two", truth="truth").measure == "mae"  # that of plain
    problem = r"few\.zip: is in the space minmax, .*their mae cannot be compared\n.*official_2022"
    with pytest.raises(InputError, match=problem):
        compare("one", "few", truth="truth")


def test_units_are_judged_by_all_scenes_as_in_a_score(world: Path) -> None:
    random = np.random.default_rng(0)
    dark = random.integers(60, 230, (3, 32, 32), dtype=np.uint16)
    write_truth(Path("truth"), KEYS[0], dark)
    assert score("submissions/one.zip", "truth").doubts == ()
    assert compare("one", "two", truth="truth").notes == (Clear().text,)
    for key in KEYS:  # now all of them may be of 8 bits
        write_truth(Path("truth"), key, dark)
    with pytest.raises(InputError, match=r"truths: .*\n.*--any-units"):
        compare("one", "two", truth="truth")
    assert compare("one", "two", truth="truth", units="any").notes == (Clear().text,)


def test_an_affine_brings_an_archive_to_the_space_of_the_server(world: Path) -> None:
    about = Fitted("greedy", 0.03, (0.02, 0.04), {}, 9, "p", {"one": "w"})
    made = Combination((1,), Affine(((65_536, 65_536, 0),) * 3), "anchors")
    fitted = Ensemble("best", ("one",), made, "official_2022", "reflectance", about)
    write_ensemble(Path("ensembles"), fitted)
    package(ensemble="best", layout="plain")
    problem = r"best\.zip: is in the space minmax, one\.zip in reflectance"
    with pytest.raises(InputError, match=problem):
        compare("one", "best", truth="truth", measure="mae")
    assert compare("one", "best", truth="truth", measure="official_2022").scores[1] > 0
    assert compare("few", "best", truth="truth", measure="mae").scores[0] > 0


def test_what_cannot_be_compared_is_named(world: Path) -> None:
    write_truth(Path("elsewhere"), "1.00_2.00_2020_06_01", digital_numbers(1, 32))
    with pytest.raises(InputError, match="elsewhere: holds other places"):
        compare("one", "two", truth="elsewhere")
    other = {"30.00_20.00_2020_06_01": image(1, 32)}
    write_member(Path("predictions"), "far", other)
    package(ensemble="far", name="far", layout="plain")
    write_truth(Path("truth"), *other, digital_numbers(9, 32))
    with pytest.raises(InputError, match=r"no scene is common: one has 4, .* far has 1, 30\.00"):
        compare("one", "far", truth="truth")
    Path("submissions/two.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"two\.zip"):
        compare("one", "two", truth="truth")


def test_scenes_without_a_truth_and_grounds_of_training_are_told(world: Path) -> None:
    seen = {KEYS[0]: image(1, 32), KEYS[1]: image(2, 32)}
    write_member(Path("predictions"), "seen", seen, trained_on=[KEYS[0]])
    package(ensemble="seen", name="seen", layout="plain")
    for path in Path("truth").glob(f"*{KEYS[1]}*"):
        path.unlink()
    notes = compare("one", "seen", truth="truth").notes
    assert notes[0].startswith("seen of seen was trained on the ground of 1 of these scenes")
    assert notes[1:3] == tuple(
        f"1 scenes of {name} have no truth, {KEYS[1]} first" for name in ("one", "seen")
    )
    assert notes[3:] == (Clear().text,)


def test_archives_of_one_name_are_told_apart(world: Path) -> None:
    (world / "old").mkdir()
    Path("old/one.zip").write_bytes(Path("submissions/one.zip").read_bytes())
    found = compare("old/one.zip", "one", truth="truth")
    assert (found.first, found.second) == ("old/one.zip", "submissions/one.zip")
    log(Path("submissions"), "one", note="the first try")
    found = compare("old/one.zip", "one", truth="truth")
    assert found.kept_notes == {"submissions/one.zip": ("the first try",)}
    assert [each.gain for each in found.differences] == [0] * 4
