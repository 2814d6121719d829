"""The numerical tests pass on other processors, as far as this one can play them.

torch, oneDNN and MKL each choose their kernels by what the processor can do, add up in another
order in each, and have a switch to choose as if it could do less. OpenVINO is left out: its oneDNN
knows the switch, its own kernels do not, and it refuses the mixture.
"""

import os
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.slow

# The switches of oneDNN and MKL that go with each of torch's levels, from the lowest, but for the
# highest: at that all tests run anyway. Without AVX2 some take minutes.
LEVELS = {
    "default": ("SSE41", "COMPATIBLE", "numerical and not slow"),
    "avx2": ("AVX2", "AVX2", "numerical"),
}


@pytest.mark.parametrize("level", LEVELS)
def test_the_numerical_tests_pass(level: str, pytestconfig: pytest.Config) -> None:
    known = [*LEVELS, "avx512"]
    here = torch.backends.cpu.get_cpu_capability().lower()
    if here not in known or known.index(level) >= known.index(here):
        pytest.skip(f"this processor's level is {here}, at which all tests run")
    onednn, mkl, chosen = LEVELS[level]
    switches = {"ATEN_CPU_CAPABILITY": level, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_CBWR": mkl}
    tests = pytestconfig.rootpath / "tests"
    files = [path for path in tests.rglob("test_*.py") if "mark.numerical" in path.read_text()]
    assert len(files) > 10
    command = [sys.executable, "-m", "pytest", "-q", "-m", chosen, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *map(str, files)],
        cwd=pytestconfig.rootpath,
        env=os.environ | switches,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
