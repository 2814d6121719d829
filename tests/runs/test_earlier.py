"""A run that is trained anew is there until the new one has weights."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kit.runs import earlier
from kit.runs.folder import BEST, CHECKPOINTS, CONFIG, STATE, saved
from kit.storage.files import write_bytes


def write(folder: Path, text: str) -> None:
    for name in (CONFIG, BEST, f"{CHECKPOINTS}/step-00000001/{STATE}", f"samples/{text}.png"):
        write_bytes(folder / name, text.encode())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["folder", "link"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    if request.param == "link":
        (tmp_path / "disk").mkdir()
        (folder / CHECKPOINTS).symlink_to(tmp_path / "disk")
    write(folder, "old")
    return folder


def test_it_comes_back_if_the_new_one_has_saved_nothing(run: Path) -> None:
    before = contents(run)
    earlier.set_aside(run)
    assert not saved(run)
    write_bytes(run / CONFIG, b"new")
    write_bytes(run / "metrics.jsonl", b"new")
    earlier.settle(run)
    assert contents(run) == before
    earlier.settle(run)
    assert contents(run) == before


def test_it_stays_beside_checkpoints_and_goes_with_the_first_weights(run: Path) -> None:
    linked = (run / CHECKPOINTS).is_symlink()
    earlier.set_aside(run)
    write_bytes(run / CHECKPOINTS / "step-00000001" / STATE, b"new")
    earlier.settle(run)
    assert (run / ".earlier" / BEST).read_bytes() == b"old"
    write_bytes(run / BEST, b"new")
    earlier.settle(run)
    assert {*contents(run).values()} == {b"new"}
    assert (run / CHECKPOINTS).is_symlink() == linked
    assert not [path for path in run.rglob(".earlier")]


@pytest.mark.parametrize("method", ["rename", "mkdir", "unlink", "rmdir"])
def test_interrupted_anywhere_it_is_never_lost(
    run: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    whole: Callable[..., object] = getattr(Path, method)
    before = contents(run)
    for n in range(8):
        calls = 0

        def stop(path: Path, *rest: object, last: int = n, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > last:
                raise KeyboardInterrupt
            return whole(path, *rest, **options)

        for step in (earlier.set_aside, earlier.settle):
            with monkeypatch.context() as patched:
                patched.setattr(Path, method, stop)
                with suppress(KeyboardInterrupt):
                    step(run)
        earlier.settle(run)
        assert contents(run) == before


def test_anew_again_the_run_with_weights_is_kept(run: Path) -> None:
    before = contents(run)
    earlier.set_aside(run)
    write_bytes(run / CHECKPOINTS / "step-00000001" / STATE, b"new")
    earlier.set_aside(run)
    earlier.settle(run)
    assert contents(run) == before
