"""Two processes predict what one predicts, each its share, and stop, fail and go on together."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import InputError
from kit.machine.distributed import ProcessGroup
from kit.prediction.scenes import _check_same_scenes
from kit.tiles.catalog import catalog
from tests.helpers.predictions import (
    ODD,
    SCENES,
    assert_same_predictions,
    predict_eager,
    write_scenes,
    written_at,
)
from tests.helpers.tiles import key

pytestmark = pytest.mark.multiprocess

# kit, which says who drew what, and can be told to stumble.
KIT = """
import os, signal, sys
from pathlib import Path
import kit.prediction.member_job, kit.prediction.writer
rank = os.environ.get("RANK", "0")
write = kit.prediction.writer._write
count = 0

def noted(folder, name, image, before):
    global count
    count += 1
    if os.environ.get("DIE") == f"{rank} {count}":
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, name, image, before)
    with open(f"drew-{rank}", "a") as file:
        print(name, file=file)

if os.environ.get("NAN") == rank:
    nan = float("nan")
    kit.prediction.batches.Batches._infer = lambda batches, engine, planes: planes[:, [0] * 3] * nan

finish = kit.prediction.member_job.MemberJob.finish

def lost(job):
    if os.environ.get("LOSE"):
        Path(os.environ["LOSE"]).unlink()
    finish(job)

kit.prediction.writer._write = noted
kit.prediction.member_job.MemberJob.finish = lost

from kit.cli.main import main
main()
"""


@pytest.fixture
def straight(trained: Path) -> Iterator[Path]:
    """The folder in which one process has predicted all."""
    write_scenes(Path("many"))
    Path("kit_noted.py").write_text(KIT)
    predict_eager("straight")
    yield trained


def torchrun(
    folder: str, *options: str, processes: int = 2, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(processes), "kit_noted.py", "predict", "--ensemble", "p2phd1",
        "--input", "many", "--predictions", folder, "--backend", "eager", "--precision", "float32",
        *options,
    ]  # fmt: skip
    environment |= {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


def drew(rank: int) -> list[str]:
    path = Path(f"drew-{rank}")
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
def test_two_processes_give_the_pictures_of_one(straight: Path) -> None:
    done = torchrun("two", "--json")
    assert done.returncode == 0, done.stderr
    assert_same_predictions("straight", "two")
    scenes = [scene.key for scene in catalog(Path("many")).of("Sentinel1")]
    assert scenes.index(key(90)) % 2 == 1  # in the share of the second
    shares = [drew(0), drew(1)]
    total = SCENES + ODD
    assert sorted(shares[0] + shares[1]) == sorted(written_at("two"))
    for rank, share in enumerate(shares):
        mine = {f"{scene}.npy" for scene in scenes[rank::2] if scene != key(90)}
        assert set(share) == mine
    result: dict[str, Any] = json.loads(done.stdout)  # one of the two talks
    assert (result["scenes"], result["done"], result["skipped"]) == (total, total, 0)
    assert [item["name"] for item in result["rejected"]] == [f"Sentinel1 {key(90)}"]
    assert done.stderr.count("next: kit package") == 1
    assert "Warning" not in done.stderr.replace("OMP_NUM_THREADS", "")


@pytest.mark.slow
def test_a_process_that_dies_is_made_good_by_any_number_of_others(straight: Path) -> None:
    done = torchrun("two", DIE="1 7")
    assert done.returncode != 0 and "SIGKILL" in done.stderr
    before = written_at("two")
    assert len(drew(1)) <= 7
    shares = [set(drew(0)), set(drew(1))]
    assert not shares[0] & shares[1]
    for rank in (0, 1, 2):
        Path(f"drew-{rank}").unlink(missing_ok=True)
    done = torchrun("two", processes=3, DIE="0 4")
    assert done.returncode != 0
    assert before.items() <= written_at("two").items()
    before = written_at("two")
    missing = SCENES + ODD - len(before)
    # What was missing was shared anew, and not left to whom it belonged before.
    assert all(len(drew(rank)) <= (SCENES + ODD) / 3 + 1 for rank in (0, 1, 2))
    result = predict_eager("two")
    assert (result.done, result.skipped) == (missing, len(before))
    assert before.items() <= written_at("two").items()
    assert_same_predictions("straight", "two")


@pytest.mark.slow
def test_what_is_missing_is_shared_evenly(straight: Path) -> None:
    shutil.copytree("straight", "two")
    scenes = [scene.key for scene in catalog(Path("many")).of("Sentinel1")]
    lost = 0
    for scene in scenes[::2]:  # the share of the first of two
        path = Path(f"two/p2phd1/{scene}.npy")
        lost += path.exists()
        path.unlink(missing_ok=True)
    assert torchrun("two").returncode == 0
    assert len(drew(0)) + len(drew(1)) == lost
    assert abs(len(drew(0)) - len(drew(1))) <= 2
    assert_same_predictions("straight", "two")


@pytest.mark.slow
def test_a_picture_that_is_lost_before_the_merge_is_counted(straight: Path) -> None:
    name = sorted(written_at("straight"))[3]
    done = torchrun("two", LOSE=f"two/p2phd1/{name}")
    assert done.returncode != 0
    assert f"1 of {SCENES + ODD} scenes are missing, {name.removesuffix('.npy')}" in done.stderr
    assert codes(done) == {4}
    result = predict_eager("two")
    assert result.done == 1
    assert_same_predictions("straight", "two")


@pytest.mark.slow
def test_what_stops_one_stops_all_with_its_code(straight: Path) -> None:
    done = torchrun("two", NAN="1")
    assert done.returncode != 0 and codes(done) == {4}
    assert "not finite" in done.stderr
    assert "another rank failed (exit code 4); see its message" in done.stderr
    assert not drew(1)
    missing = SCENES + ODD - len(written_at("two"))
    assert predict_eager("two").done == missing
    assert_same_predictions("straight", "two")


def codes(done: subprocess.CompletedProcess[str]) -> set[int]:
    """The exit codes that torchrun's report names, but for those that it ended itself."""
    found = {
        int(line.split(":")[1].split()[0])
        for line in done.stderr.splitlines()
        if line.strip().startswith("exitcode")
    }
    return found - {-signal.SIGTERM}


def test_other_tiles_than_the_firsts_are_refused() -> None:
    class Second(ProcessGroup):
        def broadcast(self, values: Any) -> list[int]:
            return [value + 1 for value in values]

    with pytest.raises(
        InputError, match=r"tiles: holds other scenes on this machine(.|\n)*same tiles"
    ):
        _check_same_scenes(Second(1, 2), Path("tiles"), {})
    _check_same_scenes(ProcessGroup(), Path("tiles"), {})
