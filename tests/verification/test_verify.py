"""kit verify finds every damage in whatever the kit has written."""

import io
import json
import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import kit
from kit.errors import InputError
from kit.screening.screen import screen
from kit.training.checkpoint import checkpoints
from kit.training.heldout import heldout
from kit.verification.artefacts import ARTEFACTS
from kit.verification.verify import Verification, verify
from tests.helpers.predictions import predict_eager
from tests.helpers.sealed import rewrite
from tests.helpers.soak import SOAK, cases
from tests.helpers.tiles import world
from tests.helpers.variants import tiny

FLIPS = range(1000)
"""Bits that `make soak` flips in each file, one after the other."""

ALL = ("work", "runs", "predictions", "engines", "ensembles", "submissions")
OTHERS = ("translated", "converted", "looked", "begun")


def test_what_is_whole_is_whole(here: Path) -> None:
    found = verify(data=True)
    assert found.damaged == () and found.unsealed == ()
    assert found.folders == tuple(map(Path, ALL))
    assert found.checked == {
        "table of scenes": 1,
        "part of the screening": 2,
        "table of pairs": 1,
        "summary": 1,
        "shard of a pack": 1,
        "configuration of a run": 1,
        "metrics of a run": 1,
        "notes of a run": 1,
        "training pairs of a run": 1,
        "weights": 2,
        "checkpoint": len([*Path("runs/p2phd1/checkpoints").glob("step-*/state.json")]),
        "errors of runs": 1,
        "held-out predictions": 1,
        "predictions of a member": 1,
        "last prediction": 1,
        "fitted ensemble": 1,
        "engine": 2,
        "archive": 1,
        "manifest of an archive": 1,
        "log of submissions": 1,
    }


def test_every_kind_of_artefact_is_looked_at(here: Path) -> None:
    found = verify([*ALL, *OTHERS], data=True)
    assert found.damaged == () and found.unsealed == ()
    assert {artefact.name for artefact in ARTEFACTS} <= found.checked.keys()


def _sealed_files() -> list[Path]:
    """Every file below the folders that the kit reads back and that nobody else edits."""
    skipped = {"rejected.csv", "submissions.csv", "train.log", ".lock", ".joined"}
    found = [path for name in (*ALL, *OTHERS) for path in Path(name).rglob("*") if path.is_file()]
    return [
        path
        for path in found
        if path.name not in skipped
        and "samples" not in path.parts
        and path.suffix not in (".png", ".tiff")
    ]


def _kind(path: Path) -> str:
    """The path without what differs between files of one kind: digits and checksums."""
    return re.sub(r"\b[0-9a-f]{8,}\b|\d+", "#", str(path))


def _chosen_files() -> dict[int, Path]:
    """One sealed file of each kind, or all under `make soak`, by their places among all."""
    every = dict(enumerate(sorted(_sealed_files())))
    if SOAK:
        return every
    first = {_kind(path): place for place, path in reversed(every.items())}
    return {place: every[place] for place in sorted(first.values())}


def test_flipped_bits_are_found_in_every_file(here: Path) -> None:
    silent = []
    for place, path in _chosen_files().items():
        whole = path.read_bytes()
        assert whole, path
        for number in cases(f"flips-{place:02d}-{path.suffix[1:]}", FLIPS, few=3):
            # Of files that hold times and rates, no run has the same bytes, or as many.
            bit = int(random.Random(f"{_kind(path)} {number}").random() * 8 * len(whole))
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            if not _verify_around(path).damaged and not _same_content(path, whole, damaged):
                silent.append(f"{path} bit {bit} of {whole[bit // 8 - 40 : bit // 8 + 40]!r}")
            path.write_bytes(whole)
    assert silent == []


def _verify_around(path: Path) -> Verification:
    """Verify the least folder whose files belong together."""
    is_below = path.parts[0] in ("runs", "engines") and len(path.parts) > 2
    top = Path(*path.parts[:2]) if is_below else Path(path.parts[0])
    if "pack" in path.parts:
        return verify([Path("work")], data=True)
    return verify([top])


def _same_content(path: Path, whole: bytes, damaged: bytes) -> bool:
    """Whether a flip left all values as they were: in a space, a last digit, or "<" to "="."""
    try:
        if path.suffix == ".npy":  # whose header says "=" of the order of this machine
            before, after = (np.load(io.BytesIO(each)) for each in (whole, damaged))
            return before.dtype == after.dtype and np.array_equal(before, after)
        if path.suffix == ".jsonl":
            before, after = ([*map(json.loads, text.splitlines())] for text in (whole, damaged))
            for line in before:  # a line whose check has another name is one of a kit without
                line.pop("check", None)
            return all(new.items() >= old.items() for old, new in zip(before, after, strict=True))
        return path.suffix == ".json" and json.loads(whole) == json.loads(damaged)
    except ValueError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "emptied", "zeroed"])
def test_cut_and_zeroed_files_are_found(here: Path, how: str) -> None:
    for path in _chosen_files().values():
        whole = path.read_bytes()
        middle = len(whole) // 2
        damaged = {"cut": whole[:middle], "emptied": b"", "zeroed": bytes(len(whole))}[how]
        path.write_bytes(damaged)
        # Lines of metrics that a kill cut short are not damage.
        if path.suffix != ".jsonl" or how == "zeroed":
            assert _verify_around(path).damaged, path
        path.write_bytes(whole)


def test_swapped_files_are_found(here: Path) -> None:
    best, last = (Path("runs/p2phd1") / f"{name}.safetensors" for name in ("weights", "last"))
    one, two = sorted(Path("predictions/p2phd1").glob("*.npy"))
    above, below = sorted(Path("translated/out.tif.parts").glob("*/strip.npy"))
    for first, second in ((best, last), (one, two), (above, below)):
        _swap(first, second)
        assert _verify_around(first).damaged, first
        _swap(first, second)
    assert not verify().damaged


def _swap(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _of_runs_and_members(first: str, second: str) -> list[tuple[Path, Path]]:
    """What two runs and their predictions have of each kind of file and folder: the two of each."""
    runs, predictions = Path("runs"), Path("predictions")
    both = [[where / name for name in (first, second)] for where in (runs, predictions)]
    for name in ("config.json", "pairs.json", "checkpoints", "heldout", "heldout/manifest.json"):
        both.append([runs / run / name for run in (first, second)])
    for name in ("weights.safetensors", "last.safetensors", "metrics.jsonl", "notes.jsonl"):
        both.append([runs / run / name for run in (first, second)])
    newest = [checkpoints(runs / run / "checkpoints")[0] for run in (first, second)]
    both += [newest, [path / "state.json" for path in newest]]
    both.append([predictions / run / "manifest.json" for run in (first, second)])
    return [(one, other) for one, other in both]


@pytest.mark.slow
def test_what_has_changed_places_between_runs_and_members_is_found(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seal says that a file is whole: whose it is, it has to say too."""
    for name in ("test", "work", "runs"):
        shutil.copytree(here / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    kit.train(tiny("p2phd1", "name=twin", "seed=3"), note="of another seed")
    heldout(Path("runs"), "twin", Path("work"))
    predict_eager(ensemble="p2phd1,twin", data="test")
    assert not verify().damaged
    silent = []
    for one, other in _of_runs_and_members("p2phd1", "twin"):
        _exchange(one, other)
        for path in (one, other):
            top = Path(*path.parts[:2])
            if not verify([top]).damaged:
                silent.append(str(path))
        _exchange(one, other)
    assert silent == [] and not verify().damaged


def _exchange(one: Path, other: Path) -> None:
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)


def test_a_run_that_has_lost_what_it_was_trained_on_is_found(here: Path) -> None:
    path = Path("runs/p2phd1/pairs.json")
    aside = path.rename("aside")
    (damage,) = verify(["runs"]).damaged
    assert damage.path == str(path) and "type the command" in damage.remedy
    config = Path("runs/p2phd1/config.json")
    whole = config.read_bytes()
    record = json.loads(whole)
    config.write_text(json.dumps({key: record[key] for key in ("variant", "pairs_sha256")}))
    assert not verify(["runs"]).damaged  # of a kit before 0.3.0
    config.write_bytes(whole)
    aside.rename(path)


def test_missing_files_are_found_and_the_command_that_mends_is_named(here: Path) -> None:
    for path, command in (
        (next(Path("predictions/p2phd1").glob("*.npy")), "kit predict --ensemble p2phd1"),
        (next(Path("work/pack").glob("*.npy")), "kit pack"),
        (next(Path("engines").glob("*/engine.bin")), "built again"),
        (next(Path("runs/p2phd1/checkpoints").glob("*/generator.safetensors")), "train"),
    ):
        aside = path.rename(path.with_name("aside"))
        (damage,) = verify().damaged
        assert path.name in damage.path and command in damage.remedy
        aside.rename(path)


def test_tiles_are_compared_with_what_was_screened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=2, dates=1)
    screen("data", "work")
    path = next(Path("data").rglob("Sentinel2_B4*.tiff"))
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(whole[:200])
    assert not verify(["work"]).damaged
    (damage,) = verify(["work"], data=True).damaged
    assert "cannot be read any more" in damage.problem and "kit prepare" in damage.remedy
    path.unlink()
    (damage,) = verify(["work"], data=True).damaged
    assert f"{path.name} is gone" in damage.problem
    path.write_bytes(whole)
    (damage,) = verify(["work"], data=True).damaged
    assert "written again" in damage.problem
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not verify(["work"], data=True).damaged


def test_a_summary_of_other_pairs_is_found(here: Path) -> None:
    path = Path("work/summary.json")
    whole = path.read_bytes()
    rewrite(path, {"pairs_sha256": "0" * 64})
    (damage,) = verify(["work"]).damaged
    assert "not the summary of pairs.parquet" in damage.problem
    path.write_bytes(whole)


def test_folders_that_are_not_there_or_not_the_kit_s(here: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        verify([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="holds nothing that the kit wrote"):
        verify([tmp_path])
