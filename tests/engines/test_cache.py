"""The folder of engines: complete entries alone, each built once, none used unverified."""

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kit.engines.cache
from kit.engines.accuracy import REFERENCE, Accuracy
from kit.engines.backend import Plan
from kit.engines.cache import Entry, amend, checked, find, obtain, rated
from kit.errors import OutputError
from kit.storage import half_written
from kit.storage.half_written import new_part

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


@pytest.mark.slow
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
    assert "not readable" in told[0] and "the engine is built again" in told[0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, MemoryError])
def test_an_interrupted_build_leaves_nothing_and_is_started_again(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def broken(folder: Path) -> dict[str, Any]:
        make(folder)
        raise kind

    with pytest.raises(kind):
        get(tmp_path, broken)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    # What a process leaves that is killed at once is not taken for an engine either.
    (new_part(tmp_path) / "stray").touch()
    found = get(tmp_path)
    assert not (found.folder / "stray").exists()


def test_what_a_kill_left_goes_when_the_engine_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = get(tmp_path)
    left = [new_part(folder) for folder in (tmp_path, entry.folder)]
    monkeypatch.setattr(half_written, "_is_alive", lambda process: False)
    assert get(tmp_path, how=None) == entry
    assert not any(part.exists() for part in left)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").touch()
    with pytest.raises(OutputError, match="engines") as caught:
        get(tmp_path / "engines")
    assert caught.value.exit_code == 5


def test_what_is_found_out_later_is_kept_and_guarded(tmp_path: Path) -> None:
    asked: list[Path] = []

    def find_out(entry: Entry) -> dict[str, Any]:
        asked.append(entry.folder)
        return {"rate": entry.facts["build_s"] + 1.5}

    for _ in range(2):
        entry = get(tmp_path)
        amend(entry, lambda facts: "rate" not in facts, find_out, print)
        assert entry.facts == {"build_s": 1, "rate": 2.5}
    assert len(asked) == 1
    about = entry.folder / "engine.json"
    about.write_text(about.read_text().replace("2.5", "9.5"))
    told: list[str] = []
    assert find(tmp_path, "spade2", KEY, told.append) is None
    assert (
        "engine.json: damaged: it does not match its own checksum; the engine is built again"
        in told[0]
    )


def test_each_machine_has_rates_of_its_own(tmp_path: Path) -> None:
    for machine, rate in (("one core", 1.0), ("64 cores", 30.0)):
        entry = get(tmp_path)
        found = rated(entry, machine, lambda _, rate=rate: (Plan(4), rate), print)
        assert found == (Plan(4), rate)
    entry = get(tmp_path)
    again = rated(entry, "one core", lambda _: pytest.fail("is measured again"), print)
    assert again == (Plan(4), 1.0)


def test_engines_that_are_shared_and_cannot_be_written_to_are_used(tmp_path: Path) -> None:
    folder = get(tmp_path).folder
    place = folder.with_name(f".{folder.name}")
    shutil.rmtree(place)
    place.touch()
    for _ in range(2):
        told: list[str] = []
        assert rated(get(tmp_path), "here", lambda _: (Plan(2), 7.0), told.append)[1] == 7
        assert len(told) == 1 and place.name in told[0] and "is not kept" in told[0]


LABELLED = Accuracy(16, "16 tiles of the hold-out", 0.001, 0.02, 0.05, 0.0501, 0.002)
BOUND = Accuracy(2, "2 tiles of the input", 0.001, 0.02, None, None, 0.02)
UNKNOWN = replace(BOUND, change=None)


@pytest.mark.parametrize(
    ("before", "pairs", "has_truth", "again"),
    [
        (LABELLED, "a", True, False),
        (LABELLED, "b", True, True),
        (LABELLED, "", True, False),  # the table is gone
        (LABELLED, "b", False, False),  # the pairs are of another size now
        (UNKNOWN, "a", True, True),
        (UNKNOWN, "b", True, True),
        (BOUND, "b", True, True),
        (BOUND, "b", False, False),
        (REFERENCE, "b", True, False),
    ],
)
def test_an_engine_is_compared_again_where_other_truths_are_at_hand(
    tmp_path: Path, before: Accuracy, pairs: str, has_truth: bool, again: bool
) -> None:
    first = checked(get(tmp_path), "a", lambda: True, lambda _: before, print)
    assert first == before
    now = replace(LABELLED, change=0.5)
    found = checked(get(tmp_path), pairs, lambda: has_truth, lambda _: now, print)
    assert found == (now if again else before)
    if again:
        check = checked(get(tmp_path), pairs, lambda: True, lambda _: pytest.fail("again"), print)
        assert check == now


def test_an_engine_that_version_0_1_0_built_is_found(tmp_path: Path) -> None:
    """The folder's name, the files and the text are those that version 0.1.0 wrote."""
    key = {
        "weights_sha256": "5f" * 32,
        "backend": "openvino",
        "version": "openvino 2026.4.1, nncf 3.4.0, recipe 2",
        "device": "a processor, 2 cores",
        "precision": "int8",
        "size": [256, 256],
    }
    plan = {"batch": 4, "streams": 1}
    gate = {
        "tiles": 16,
        "source": "16 tiles of the hold-out",
        "mean": 0.001,
        "largest": 0.02,
        "mae_eager": 0.05,
        "mae": 0.0501,
        "change": 0.002,
    }
    record = {
        "key": key,
        "files": {"model.xml": "94c25a321e838bf56f1b433c54ba72908bf22d6ed40d01857fe8cac5b34a1773"},
        "made": {"build_s": 12.5, "plan": plan, "rate": 31.5, "gate": gate},
        "check": "7997448d0a4b7552cdba62052869562b8e275b4b23fc6a4cff11f79e0e8b0294",
    }
    folder = tmp_path / "spade2-openvino-int8-256x256-2da1de55adfe"
    folder.mkdir()
    (folder / "model.xml").write_text("<net/>\n")
    (folder / "engine.json").write_text(json.dumps(record, indent=2))
    reported: list[str] = []
    entry = find(tmp_path, "spade2-openvino-int8-256x256", key, reported.append)
    assert entry is not None and entry.folder == folder and not reported
    # On which cores and tiles it was measured is not known: without tiles, what was found holds.
    here = Plan(2), 7.0
    for _ in range(2):
        assert rated(entry, "here", lambda _: here, reported.append) == here
    accuracy = checked(entry, "", lambda: True, lambda _: pytest.fail("again"), reported.append)
    assert accuracy == Accuracy(**gate)
    better = replace(accuracy, change=0.001)
    found = checked(entry, "digest", lambda: True, lambda _: better, reported.append)
    assert found == better and not reported
