"""A set of predictions goes when the next one is complete, whatever ends the command before."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kit.errors import OutputError
from kit.prediction.members import read_members
from kit.prediction.next_set import next_folder
from kit.runs.weights import load_run, save_weights
from tests.helpers.predictions import (
    assert_same_predictions,
    predict_eager,
    stop_writing,
    write_scenes,
)
from tests.helpers.tiles import key, radar

SET = Path("set/p2phd1")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def fill(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A disk that is full after some images."""
    stop_writing(monkeypatch, after, OutputError("cannot be written (No space left on device)"))


def changed_tile() -> None:
    radar(Path("many"), key(0), size=40)


def another_scene() -> None:
    radar(Path("many"), key(50), size=32)


def nothing() -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "options"),
    [(nothing, {"overwrite": True}), (changed_tile, {}), (another_scene, {})],
)
def test_a_full_disk_leaves_the_set_that_is_there(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[], None],
    options: dict[str, bool],
) -> None:
    write_scenes(Path("many"), scenes=6, odd=1)
    predict_eager("set")
    before = contents(SET)
    change()
    with monkeypatch.context() as patched:
        fill(patched, 4 if options else 0)
        with pytest.raises(OutputError):
            predict_eager("set", **options)
    assert contents(SET) == before
    assert read_members(Path("set"), ["p2phd1"])[0].scenes
    # Without --overwrite, as the line that an interruption ends with has it.
    result = predict_eager("set")
    assert result.skipped == (4 if options else len(before) - (1 + (change is changed_tile)))
    assert not next_folder(SET).exists()
    predict_eager("straight")
    assert_same_predictions("straight", "set")


def other_weights() -> None:
    found = load_run(Path("runs"), "p2phd1")
    with torch.no_grad():
        for each in found.generator.parameters():
            each.mul_(1.01)
    path = Path("runs/p2phd1/weights.safetensors")
    save_weights(path, found.generator, found.variant, found.facts)


def damaged_manifest() -> None:
    (next_folder(SET) / "manifest.json").write_text("damaged")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "begun_before"), [(nothing, 2), (other_weights, 0), (damaged_manifest, 4)]
)
def test_what_was_begun_goes_on_with_the_same_weights_alone(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[], None],
    begun_before: int,
) -> None:
    write_scenes(Path("many"), scenes=4, odd=0)
    predict_eager("set")
    with monkeypatch.context() as patched:
        fill(patched, 2)
        with pytest.raises(OutputError):
            predict_eager("set", overwrite=True)
    change()
    assert predict_eager("set", overwrite=change is other_weights).skipped == begun_before
    assert not next_folder(SET).exists()
    predict_eager("straight")
    assert_same_predictions("straight", "set")


def test_a_link_to_another_disk_stays_one(trained: Path) -> None:
    write_scenes(Path("many"), scenes=3, odd=0)
    Path("set").mkdir()
    Path("elsewhere/real").mkdir(parents=True)
    SET.symlink_to(Path("elsewhere/real").resolve())
    predict_eager("set")
    predict_eager("set", overwrite=True)
    assert SET.is_symlink() and len(contents(SET)) == 4
    assert [path.name for path in Path("elsewhere").iterdir()] == ["real"]


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM])
def test_a_file_system_without_links_gets_copies(
    trained: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def none(*rest: object) -> None:
        raise OSError(error, "no links")

    monkeypatch.setattr("os.link", none)
    write_scenes(Path("many"), scenes=3, odd=0)
    predict_eager("set")
    another_scene()
    assert predict_eager("set").skipped == 3
    predict_eager("straight")
    assert_same_predictions("straight", "set")
