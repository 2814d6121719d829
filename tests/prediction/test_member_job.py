"""Killed at any moment and started again until done, a prediction ends as if nothing had happened.

`make soak` kills it 100 times.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kit.prediction.member_job
import kit.prediction.pipeline
from kit.errors import CheckError, OutputError
from kit.runs.weights import load_run, save_weights
from kit.scaling import scale_radar
from kit.tiles.bands import read_bands, read_bands_and_type
from kit.tiles.catalog import catalog
from kit.tiles.names import TileName
from kit.tiles.tiff import write_tile
from tests.helpers.predictions import (
    ODD,
    SCENES,
    assert_same_predictions,
    pictures,
    predict_eager,
    stop_writing,
    write_scenes,
    written_at,
)
from tests.helpers.soak import SOAK
from tests.helpers.tiles import key, radar

KILLS = 100 if SOAK else 6


def command(folder: str, members: str) -> None:
    """`kit predict` in a process that is killed at some moment of it."""
    from kit.cli.main import main

    torch.set_num_threads(1)
    sys.argv = ["kit", "predict", "--ensemble", members, "--input", "many", "--quiet"]
    sys.argv += ["--predictions", folder, "--backend", "eager", "--precision", "float32"]
    main()


def another() -> str:
    """The name of a second run, with weights of its own."""
    found = load_run(Path("runs"), "p2phd1")
    with torch.no_grad():
        for each in found.generator.parameters():
            each.mul_(1.01)
    variant = replace(found.variant, name="other")
    save_weights(Path("runs/other/weights.safetensors"), found.generator, variant, found.facts)
    return variant.name


@pytest.mark.slow
@pytest.mark.multiprocess
def test_any_moment_will_do(trained: Path) -> None:
    write_scenes(Path("many"))
    names = ("p2phd1", another())
    straight = predict_eager("straight", ",".join(names))
    assert straight.scenes == SCENES + ODD and len(straight.nodata) == 7
    assert [item.kind for item in straight.rejected] == ["unreadable"]
    processes = multiprocessing.get_context("forkserver")
    preload = ["tests.prediction.test_member_job", "kit.cli.main", "kit.engines.choose"]
    processes.set_forkserver_preload(preload)
    draw = random.Random(KILLS)
    kills = ends = halves = 0
    before: dict[str, dict[str, int]] = {}
    while kills < KILLS or not ends:
        folder = f"killed{ends}"
        process = processes.Process(target=command, args=(folder, ",".join(names)))
        process.start()
        if kills < KILLS:
            # A number of pictures to die at, for the time that they take is not known.
            there = sum(map(len, before.values()))
            wanted = there + draw.choice([0, 0, *range(1, 30)])
            deadline = time.monotonic() + 60
            while process.is_alive() and time.monotonic() < deadline:
                if sum(len(written_at(folder, name)) for name in names) >= wanted:
                    time.sleep(draw.uniform(0, 0.02))
                    break
                time.sleep(0.001)
        else:
            process.join()
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        after = {name: written_at(folder, name) for name in names}
        for name, made in before.items():
            assert made.items() <= after[name].items()  # what is done is not done again
        if process.exitcode == 0:
            assert_same_predictions("straight", folder, *names)
            ends += 1
            before = {}
        else:
            halves += 0 < sum(map(len, after.values())) < 2 * (SCENES + ODD)
            before = after
    assert halves > KILLS // 3


def cut(monkeypatch: pytest.MonkeyPatch, after: int, folder: str, **settings: Any) -> None:
    """A prediction that ends at its `after`-th picture as a kill does, with notes in its log."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_writing(patch, after, KeyboardInterrupt())
        predict_eager(folder, **settings)


def log(folder: str) -> Path:
    return Path(folder) / "p2phd1" / "done-0.jsonl"


@pytest.mark.parametrize("damage", ["torn", "empty", "zeros", "gone", "line gone"])
def test_a_damaged_log_costs_at_most_its_scenes(
    trained: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    write_scenes(Path("many"), scenes=8, odd=0)
    predict_eager("straight")
    cut(monkeypatch, 5, "cut")
    path = log("cut")
    text = path.read_bytes()
    assert text.count(b"\n") >= 6
    lines = text.splitlines(keepends=True)
    whole = {"torn": lines[:-1], "line gone": lines[2:]}.get(damage, [])
    left = text[:-9] if damage == "torn" else b"".join(whole)
    path.write_bytes(bytes(len(text)) if damage == "zeros" else left)
    if damage == "gone":
        path.unlink()
    kept = written_at("cut")
    known = kept.keys() & {f"{json.loads(line).get('scene')}.npy" for line in whole}
    assert len(known) >= 3 or not whole
    assert predict_eager("cut").skipped == len(known)
    # The engine's line may be among the lost: its pictures are then made again, and it is named.
    assert_same_predictions("straight", "cut")
    if damage == "torn":
        assert kept.items() <= written_at("cut").items()


def test_a_finished_prediction_is_left_alone(trained: Path) -> None:
    write_scenes(Path("many"), scenes=6, odd=2)
    first = predict_eager()
    made = written_at("predictions")
    second = predict_eager()
    assert (second.done, second.skipped, second.nodata) == (0, first.done, first.nodata)
    assert written_at("predictions") == made


def test_overwriting_after_a_kill_begins_anew(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(Path("many"), scenes=8, odd=1)
    predict_eager("straight")
    cut(monkeypatch, 4, "cut")
    first = written_at("cut")
    result = predict_eager("cut", overwrite=True)
    assert result.skipped == 0
    assert not first.items() & written_at("cut").items()
    assert_same_predictions("straight", "cut")
    before = written_at("cut")
    cut(monkeypatch, 4, "cut", overwrite=True)
    assert written_at("cut") == before
    result = predict_eager("cut")
    assert result.skipped == 4
    assert_same_predictions("straight", "cut")


def test_a_tile_that_changes_after_a_kill_is_drawn_anew(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(Path("many"), scenes=8, odd=0)
    cut(monkeypatch, 6, "cut")
    done = sorted(written_at("cut"))[0].removesuffix(".npy")
    (scene,) = (s for s in catalog(Path("many")).of("Sentinel1") if str(s.key) == done)
    sar = np.full((32, 32), -7, np.float32)
    sar[:4] = np.nan
    sar[5] = -8
    write_tile(Path("many/sent1"), TileName("Sentinel1", "VV", scene.key), sar)
    assert predict_eager("cut").nodata[done] >= 0.125
    predict_eager("straight")
    assert_same_predictions("straight", "cut")


@pytest.mark.slow
def test_scenes_of_several_sizes_come_out_as_alone(trained: Path) -> None:
    sizes = [32, 24, 40, 32, 24, 32, 40, 40, 32, 24, 24]
    for place, size in enumerate(sizes):
        radar(Path("many"), key(place), size=size)
    predict_eager("mixed")
    for place, size in enumerate(sizes):
        folder = Path(f"alone{place}")
        radar(folder, key(place), size=size)
        predict_eager(f"out{place}", data=str(folder))
        (alone,) = pictures(f"out{place}").items()
        assert pictures("mixed")[alone[0]] == alone[1]
        assert np.load(f"mixed/p2phd1/{alone[0]}").shape == (3, size, size)


def test_a_picture_that_vanishes_before_the_end_is_counted(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(Path("many"), scenes=4, odd=0)
    finish = kit.prediction.member_job.MemberJob.finish

    def vanish(self: kit.prediction.member_job.MemberJob) -> None:
        next(self.folder.glob("*.npy")).unlink()
        finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(kit.prediction.member_job.MemberJob, "finish", vanish)
        with pytest.raises(CheckError, match=r"1 of 4 scenes are missing(.|\n)*predict again"):
            predict_eager()
    result = predict_eager()
    assert (result.done, result.skipped) == (1, 3)


def test_a_tile_that_only_one_member_could_read_is_told(trained: Path) -> None:
    """The size and the time of the file are those of before, so what is drawn stays."""
    write_scenes(Path("many"), scenes=4, odd=0)
    predict_eager()
    path = Path("many/sent1") / f"Sentinel1_VV_{key(2)}.tiff"
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = predict_eager(ensemble=f"p2phd1,{another()}")
    assert (result.scenes, result.done, result.skipped) == (3, 3, 4)
    names = [item.name for item in result.rejected]
    assert sorted(names) == sorted([f"Sentinel1 {key(2)}", f"Sentinel1 {key(90)}"])
    told = json.loads(Path("predictions/last.json").read_text())["rejected"]
    assert {item["name"] for item in told} == set(names)


def test_a_full_disk_stops_it_and_nothing_is_half_written(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(Path("many"), scenes=8, odd=0)
    predict_eager("straight")

    with monkeypatch.context() as patch:
        stop_writing(patch, 0, OutputError("0.npy: cannot be written (No space left on device)"))
        with pytest.raises(OutputError, match="No space") as caught:
            predict_eager("full")
    assert caught.value.exit_code == 5 and not written_at("full")
    predict_eager("full")
    assert_same_predictions("straight", "full")


MEMORY = """
import resource, sys
from pathlib import Path
from kit.prediction.predict import predict
from kit.engines.request import Request
data, out = sys.argv[1:]
predict("p2phd1", Path(data), runs=Path("runs"), predictions=Path(out), request=Request("eager", "float32"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""  # noqa: E501


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scenes(trained: Path) -> None:
    """400 scenes of 96x96 are 28 MiB of radar, 42 MiB of drawn pictures, 21 MiB of written ones."""
    peaks = []
    for scenes in (40, 400):
        data = Path(f"of{scenes}")
        radar(data, key(0), size=96)
        bands = [
            (band, data / "sent1" / f"Sentinel1_{band}_{key(0)}.tiff") for band in ("VV", "VH")
        ]
        for place in range(1, scenes):
            for band, path in bands:
                os.link(path, path.with_name(str(TileName("Sentinel1", band, key(place)))))
        if not peaks:
            # Trying the engine is not part of what is compared.
            predict_eager("warm", data=str(data))
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(data), f"out{scenes}"],
            env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
        assert len(written_at(f"out{scenes}")) == scenes
    assert peaks[1] - peaks[0] < 16


def test_what_is_read_once_serves_all_members(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(Path("many"), scenes=6, odd=0)
    read: list[Any] = []

    def counted(sensor: Any, paths: Any) -> Any:
        read.append(paths)
        return read_bands_and_type(sensor, paths, 3)

    monkeypatch.setattr(kit.prediction.pipeline, "read_scene_and_type", counted)
    predict_eager(ensemble=f"p2phd1,{another()}")
    assert len(read) == len(set(read)) == 7
    assert scale_radar(read_bands("Sentinel1", read[1])).shape == (2, 32, 32)
