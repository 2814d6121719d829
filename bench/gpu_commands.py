"""What needs processes of its own on a card: the tests that ask for one, and the commands.

Each function is a section of bench/gpu_check.py.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_steps import Facts, Sizes


def tests(sizes: Sizes) -> Facts:
    """The tests that need a CUDA device: counting clouds, engines."""
    import rasterio  # noqa: F401  # with which all tests are collected

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests"],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    return {"exit code": done.returncode, "last lines": lines[-12:]}


def commands(sizes: Sizes) -> Facts:
    """From simulated tiles to an archive by the commands, and the seconds that each takes."""
    import rasterio  # noqa: F401  # which reads tiles; without it the section is skipped

    facts: Facts = {}
    settings = " ".join(f"--set {each}" for each in sizes.narrow)
    with tempfile.TemporaryDirectory() as folder:
        for line in (
            f"simulate world --places 12 --test-places 4 --size {sizes.side}",
            "prepare world/train --holdout 2",
            f"train p2phd1 {settings} --set epochs=2 --set decay_epochs=0",
            "predict --ensemble p2phd1 --input world/test",
            "package --layout plain",
        ):
            started = time.monotonic()
            command = [sys.executable, "-m", "kit", *line.split()]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            facts[line] = round(time.monotonic() - started, 2)
            if done.returncode:
                return facts | {"failed": done.stderr.strip().splitlines()[-3:]}
    return facts
