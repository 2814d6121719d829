"""torch-tensorrt's own converters take every network in every precision, as one whole engine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CONVERTERS = ROOT / "build" / "converters"
NETWORKS = "pix2pixhd", "spade", "nafnet", "unet"

pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx extra is not installed")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.multiprocess,
    pytest.mark.xdist_group("converters"),
    pytest.mark.skipif(
        not (CONVERTERS / "torch_tensorrt").exists(),
        reason="torch-tensorrt-rtx is not in build/converters: make build/converters",
    ),
]


@pytest.fixture(scope="module")
def built() -> list[dict[str, Any]]:
    """What came of each, in a process of its own: it takes torch's processor for a card."""
    script = "tests.helpers.converters"
    done = subprocess.run(
        [sys.executable, "-m", script, str(CONVERTERS), *NETWORKS],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_engine_of_each_precision_is_built(name: str, built: list[dict[str, Any]]) -> None:
    mine = [each for each in built if each["network"] == name]
    assert [each["precision"] for each in mine] == ["float32", "float16", "bfloat16"]
    for each in mine:
        # The weights alone are some hundred thousand bytes at this width.
        assert "failed" not in each and each["bytes"] > 300_000, each


def test_what_tensorrt_refuses_is_told_with_its_reason(built: list[dict[str, Any]]) -> None:
    (refused,) = (each for each in built if each["network"] == "refused")
    assert "Error Code" in refused["failed"] and "deconv" in refused["failed"], refused
