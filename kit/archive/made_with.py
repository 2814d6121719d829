"""The versions of everything that the bytes of an archive depend on beside the predictions."""

import os
import platform
import subprocess
import zlib
from pathlib import Path

import numpy as np
import rasterio

import kit

_ROOT = Path(kit.__file__).parents[1]


def made_with(root: Path = _ROOT) -> dict[str, str | None]:
    """The version of the kit, its commit, Python, numpy, GDAL and zlib, by name."""
    return {
        "kit": kit.__version__,
        "commit": commit(root),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gdal": rasterio.__gdal_version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def commit(root: Path = _ROOT) -> str | None:
    """The commit of a clone, followed by "-dirty" if its code differs; None without a clone.

    An installed wheel has no `.git` beside it, even inside another project's clone.
    """
    if not (root / ".git").exists():
        return None
    sha = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "kit", "ext", "pyproject.toml")
    if not sha or changes is None:
        return None
    return f"{sha}-dirty" if changes else sha


def _git(root: Path, *command: str) -> str | None:
    # A hook of another repository sets GIT_DIR; and reading must not write to this one's index.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *command],
            env=clean | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
