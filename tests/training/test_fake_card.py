"""What a training step does on a card, traced without one: it waits once, and starts little."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
# As measured with torch 2.13 at a width of 4; a twentieth more is allowed for what torch changes.
OPERATIONS = {"spade2": 2123, "spade1": 3352, "p2phd1": 923}
COMPILER = shutil.which("c++") or shutil.which("g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.multiprocess,
    pytest.mark.xdist_group("fake card"),
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"),
    pytest.mark.skipif(torch.version.cuda is not None, reason="torch has a CUDA of its own"),
]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    guard = tmp_path_factory.mktemp("guard") / "guard.so"
    library = Path(torch.__file__).parent
    source = ROOT / "tests" / "helpers" / "cuda" / "guard.cpp"
    subprocess.run(
        [
            COMPILER, "-std=c++20", "-O0", "-shared", "-fPIC", str(source), "-o", str(guard),
            f"-I{library / 'include'}", f"-L{library / 'lib'}", "-ltorch_cpu", "-lc10",
            f"-Wl,-rpath,{library / 'lib'}",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.fake_card", *OPERATIONS],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"LD_PRELOAD": str(guard)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["variant"]: line for line in lines}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_waits_for_the_losses_of_the_step_before_alone(traced, name: str) -> None:
    assert traced[name]["waits"] == ["an event"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_starts_no_more_operations_than_it_did(traced, name: str) -> None:
    print(name, traced[name]["operations"])
    assert traced[name]["operations"] <= 1.05 * OPERATIONS[name]
