"""Building, installing and the Makefile: what a newcomer's first minute depends on."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import kit
from kit.machine import native
from kit.screening import counts

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HAS_COMPILER = shutil.which(os.environ.get("CXX") or "c++") is not None
HAS_NVCC = shutil.which(os.environ.get("CUDACXX") or "nvcc") is not None
needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not on the path")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on the path")

BUILD = "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1])"
BACKEND = """
import sys; sys.path.insert(0, sys.argv[1])
from kit.screening import counts; print(counts.__file__, counts.backend()[0])
"""


def build_wheel(folder: Path, **environment: str) -> Path:
    """Build a wheel offline, from a copy of what the build reads."""
    pytest.importorskip("scikit_build_core")
    source = folder / "source"
    for name in ("kit", "ext"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, folder],
        cwd=source, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def backend_inside(wheel: Path) -> str:
    """The cloud backend that the kit inside a wheel settles on."""
    folder = wheel.parent / "unpacked"
    zipfile.ZipFile(wheel).extractall(folder)
    # -S leaves out site-packages, and with it the import hook of an editable install of the kit;
    # the path then brings the dependencies back.
    path = os.pathsep.join(entry for entry in sys.path if entry.endswith("site-packages"))
    result = subprocess.run(
        [sys.executable, "-S", "-c", BACKEND, folder],
        cwd=folder, env=os.environ | {"PYTHONPATH": path, counts.VARIABLE: ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    module, name = result.stdout.split()
    assert Path(module).is_relative_to(folder)
    return name


@pytest.mark.slow
@needs_cmake
@pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")
def test_wheel_carries_the_core_and_serves_every_python(tmp_path) -> None:
    wheel = build_wheel(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert "kit/py.typed" in names  # else type checkers pass over the annotations
    assert wheel.name.startswith(f"sar_to_optical_kit-{kit.__version__}-py3-none-")
    assert not wheel.name.endswith("-any.whl")
    assert {"kit/libkit_core.so", "kit/libkit_norms.so"} <= set(names)
    assert ("kit/libkit_cuda.so" in names) == HAS_NVCC
    assert any(name.endswith("/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"kit", "sar_to_optical_kit"}
    assert backend_inside(wheel) == "native"


@pytest.mark.slow
@needs_cmake
@pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")
def test_a_broken_nvcc_costs_the_cuda_core_alone(tmp_path) -> None:
    wheel = build_wheel(tmp_path, CUDACXX="/bin/false")
    libraries = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert sorted(libraries) == ["kit/libkit_core.so", "kit/libkit_norms.so"]


@pytest.mark.slow
@needs_cmake
def test_wheel_without_a_compiler_is_pure_python(tmp_path) -> None:
    wheel = build_wheel(tmp_path, CC="/bin/false", CXX="/bin/false")
    assert wheel.name == f"sar_to_optical_kit-{kit.__version__}-py3-none-any.whl"
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert backend_inside(wheel) == "reference"


def test_installed_kit_is_this_one_with_its_core() -> None:
    try:
        version = importlib.metadata.version(PYPROJECT["project"]["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the kit is not installed in this environment")
    assert version == kit.__version__
    # A core that fails to compile would otherwise only turn its tests into skips.
    for name, expected in (("kit_core", HAS_COMPILER), ("kit_cuda", HAS_COMPILER and HAS_NVCC)):
        library, why = native.load(name)
        assert library is not None or not expected, why


def test_build_needs_no_torch() -> None:
    assert not [line for line in PYPROJECT["build-system"]["requires"] if "torch" in line]


@needs_make
def test_bare_make_lists_its_targets() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "test", "check", "clean"):
        assert f"make {target} " in listed


@needs_make
def test_make_setup_refuses_an_old_python(tmp_path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "kit/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    old = tmp_path / "python3.10"
    pretend = "import sys; sys.version_info = (3, 10, 14); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    made = subprocess.run(
        ["make", "setup", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode != 0
    assert "needs Python 3.11 or newer" in made.stderr
    assert not (tmp_path / ".venv").exists()
