"""Engines on disk: whole or not at all, made once, never trusted unseen."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import kit.engines.cache
from kit.engines.cache import amend, find, obtain
from kit.errors import OutputError

KEY = {"weights_sha256": "a", "size": [32, 32]}


def make(folder: Path) -> dict[str, Any]:
    (folder / "model").write_text("engine")
    (folder / "sub").mkdir()
    (folder / "sub" / "part").write_text("more")
    return {"build_s": 1}


def get(cache: Path, how: Any = make, told: list[str] | None = None) -> Any:
    return obtain(cache, "spade2", KEY, how, (told if told is not None else []).append)


def test_what_was_made_is_found(tmp_path: Path) -> None:
    first = get(tmp_path)
    assert (first.folder / "sub" / "part").read_text() == "more"
    assert get(tmp_path, how=None) == first
    assert find(tmp_path, "spade2", KEY | {"size": [64, 64]}, print) is None


def test_two_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    made: list[Path] = []
    told: list[str] = []

    def slowly(folder: Path) -> dict[str, Any]:
        made.append(folder)
        deadline = time.monotonic() + 20
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        return make(folder)

    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(get(tmp_path, slowly, told))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and found[0] == found[1]
    assert len(told) == 1 and told[0].startswith("waiting: ")


def test_one_that_vanishes_while_it_is_looked_at_is_made_again(tmp_path: Path, monkeypatch) -> None:
    get(tmp_path)

    def vanished(path: Path) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    told: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(kit.engines.cache, "sha256", vanished)
        assert find(tmp_path, "spade2", KEY, told.append) is None
    assert "not readable" in told[0] and "it is built again" in told[0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, MemoryError])
def test_an_interrupted_build_leaves_nothing_and_is_begun_anew(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def broken(folder: Path) -> dict[str, Any]:
        make(folder)
        raise kind

    with pytest.raises(kind):
        get(tmp_path, broken)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    # What a process leaves that is killed at once is not taken for an engine either.
    (folder,) = tmp_path.iterdir()
    (folder / "part").mkdir()
    (folder / "part" / "stray").touch()
    found = get(tmp_path)
    assert not (found.folder / "stray").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").touch()
    with pytest.raises(OutputError, match="engines") as caught:
        get(tmp_path / "engines")
    assert caught.value.exit_code == 5


def test_what_is_found_out_later_is_kept_and_guarded(tmp_path: Path) -> None:
    asked: list[Path] = []

    def find_out(folder: Path) -> dict[str, Any]:
        asked.append(folder)
        return {"rate": 2.5}

    for _ in range(2):
        entry = get(tmp_path)
        amend(entry, "rate", find_out, print)
        assert entry.about == {"build_s": 1, "rate": 2.5}
    assert len(asked) == 1
    about = entry.folder / "engine.json"
    about.write_text(about.read_text().replace("2.5", "9.5"))
    told: list[str] = []
    assert find(tmp_path, "spade2", KEY, told.append) is None
    assert "engine.json: damaged; it is built again" in told[0]
