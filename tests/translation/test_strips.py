"""A strip is what was written in its place, or it is made again."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.errors import BusyError, InputError
from kit.translation.strips import Strips, check_strip

JOB = {"radar": [["scene.tif", 7, 9]], "flips": 1}
COUNT = 3
SHAPE = (3, 8, 40)


def strip(number: int) -> NDArray[np.uint16]:
    return np.random.default_rng(number).integers(1, 2**16, SHAPE, np.uint16)


def begun(job: dict = JOB) -> Strips:
    return Strips(Path("out.tif"), COUNT, job)


def path(number: int) -> Path:
    return Path(f"out.tif.parts/{number:05d}/strip.npy")


def make_missing(strips: Strips) -> tuple[list[int], list[str]]:
    """Make the strips that are missing; returns their numbers, and the lines about them."""
    told: list[str] = []
    made = []
    for number in strips.claims(told.append):
        strips.write(number, strip(number))
        made.append(number)
    return made, told


@pytest.fixture(autouse=True)
def strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Strips]:
    """All strips of a translation that was stopped."""
    monkeypatch.chdir(tmp_path)
    found = begun()
    with found.joined(overwrite=False):
        assert make_missing(found) == ([*range(COUNT)], [])
        yield found


def overwrite(at: Path) -> None:
    whole = bytearray(at.read_bytes())
    whole[300:1300] = bytes(1000)
    at.write_bytes(whole)


def save(change: Callable[[NDArray[np.uint16]], NDArray]) -> Callable[[Path], None]:
    return lambda at: np.save(at, change(np.load(at)))


def neighbour(at: Path) -> Path:
    return path((int(at.parent.name) + 1) % COUNT)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "overwritten": (overwrite, "does not match its checksum"),
    "cut": (lambda at: at.write_bytes(at.read_bytes()[:900]), "not readable as an array"),
    "one band": (save(lambda found: found[:1]), "does not match its checksum"),
    "narrower": (save(lambda found: found[..., :-9]), "does not match its checksum"),
    "signed": (save(lambda found: found.view(np.int16)), "does not match its checksum"),
    "another": (lambda at: shutil.copy(neighbour(at), at), "does not match its checksum"),
    "another, with its record": (
        lambda at: shutil.copytree(neighbour(at).parent, at.parent, dirs_exist_ok=True),
        "is the strip 0000",
    ),
    "no record": (lambda at: at.with_name("strip.json").unlink(), "no such file"),
    "damaged record": (lambda at: overwrite_text(at.with_name("strip.json")), "its own checksum"),
}


def overwrite_text(at: Path) -> None:
    at.write_text(at.read_text().replace('"strip": "0', '"strip": "1'))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("number", range(COUNT))
def test_a_damaged_strip_is_named_and_made_again(strips: Strips, number: int, damage: str) -> None:
    hurt, problem = DAMAGES[damage]
    hurt(path(number))
    with pytest.raises(InputError, match=problem) as refused:
        check_strip(path(number))
    assert "kit translate" in refused.value.remedy
    with pytest.raises(InputError, match=problem):
        strips.read(number)
    made, (line,) = make_missing(begun())
    assert made == [number]
    assert f"{number:05d}/strip." in line and problem in line and line.endswith("made again")
    for each in range(COUNT):
        np.testing.assert_array_equal(strips.read(each), strip(each))
        check_strip(path(each))


def test_a_damaged_strip_is_not_counted_as_done_while_it_is_made(strips: Strips) -> None:
    for number in range(COUNT):
        overwrite(path(number))
    with closing(strips.claims(lambda _: None)) as claims:
        assert [(next(claims), strips.done()) for _ in range(COUNT)] == [(0, 2), (1, 1), (2, 0)]


def test_a_strip_of_another_translation_is_made_again(strips: Strips, tmp_path: Path) -> None:
    shutil.copytree("out.tif.parts/00001", tmp_path / "kept")
    other = begun(JOB | {"flips": 4})
    with pytest.raises(BusyError, match="not finished, with other flips"), other.joined(False):
        pass
    shutil.rmtree("out.tif.parts")
    with other.joined(overwrite=False):
        make_missing(other)
        shutil.copytree(tmp_path / "kept", "out.tif.parts/00001", dirs_exist_ok=True)
        with pytest.raises(InputError, match="is a strip of another translation"):
            check_strip(path(1))
        made, (line,) = make_missing(other)
        assert made == [1] and "of another translation" in line


def test_a_translation_that_does_not_say_what_it_is_of_is_damaged(strips: Strips) -> None:
    job = Path("out.tif.parts/translation.json")
    job.write_text(job.read_text().replace('"flips": 1', '"flips": 4'))
    with (
        pytest.raises(InputError, match=r"translation\.json: damaged.*\n.*--overwrite"),
        begun().joined(overwrite=False),
    ):
        pass
    check_strip(path(0))
