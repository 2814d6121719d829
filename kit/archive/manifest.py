"""Where an archive comes from: the manifest beside it.

In: what was packaged. Out: `<name>.json`, enough to build the same bytes again. Refused by name: a
manifest that is not one.
"""

import hashlib
import os
import platform
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import kit
from kit.archive.reader import name_danger
from kit.errors import InputError
from kit.files import read_json
from kit.prediction.averaging import Averaging, parse_averaging
from kit.prediction.members import Member

_ROOT = Path(kit.__file__).parents[1]
_AGAIN = "make it again: kit package --overwrite"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest says of one member; None for what the kit that wrote it did not know."""

    variant: str
    weights_sha256: str
    pairs_sha256: str | None
    predictions_sha256: str
    engines: tuple[dict[str, Any], ...]
    input: Path


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a manifest says of its archive; `scenes` and `entries` are by the name of an image.

    `entries` are the SHA-256 of the images as TIFFs.
    """

    archive: Path
    sha256: str
    averaging: Averaging
    stretch: str
    members: tuple[Origin, ...]
    scenes: dict[str, str]
    entries: dict[str, str]
    made_with: dict[str, str | None]


def read_provenance(path: Path) -> Provenance:
    """Read a manifest that `kit package` wrote.

    Raises:
        InputError: the file is missing, not a manifest, or of a kit that wrote less into it.
    """
    manifest = read_json(path, "give the .json beside an archive of kit package")
    try:
        if "entries" not in manifest:
            raise InputError(path, "does not list the images of its archive", remedy=_AGAIN)
        if problem := next(filter(None, map(name_danger, manifest["entries"])), ""):
            raise ValueError(f"a name {problem}")
        if not manifest["members"] or not manifest["entries"]:
            raise ValueError("no member, or no image")
        return Provenance(
            archive=path.with_suffix(".zip"),
            sha256=str(manifest["sha256"]),
            averaging=read_averaging(
                path, manifest, [member["variant"] for member in manifest["members"]]
            ),
            stretch=str(manifest["stretch"]),
            members=tuple(
                Origin(
                    variant=_plain(member["variant"]),
                    weights_sha256=str(member["weights_sha256"]),
                    pairs_sha256=member["pairs_sha256"],
                    predictions_sha256=str(member["predictions_sha256"]),
                    engines=tuple(map(dict, member["engines"])),
                    input=Path(member["input"]),
                )
                for member in manifest["members"]
            ),
            scenes={name: _plain(image["scene"]) for name, image in manifest["entries"].items()},
            entries={name: str(image["sha256"]) for name, image in manifest["entries"].items()},
            made_with=dict(manifest["made_with"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"not a manifest of an archive ({error!r})", remedy=_AGAIN) from None


def read_averaging(path: Path, manifest: Mapping[str, Any], variants: Sequence[str]) -> Averaging:
    """How an archive's members were averaged, from the manifest at `path`.

    Raises:
        InputError: this kit knows no such way, or it is one for another number of members.
        AttributeError: the manifest holds no text there.
    """
    try:
        # Kits whose manifests do not say took the mean.
        return parse_averaging(manifest.get("average", "mean"), variants)
    except InputError as error:
        raise InputError(path, f"its average: {error.problem}", remedy=_AGAIN) from None


def _plain(name: object) -> str:
    """A part of a path that leads nowhere else."""
    if not isinstance(name, str) or "/" in name or name_danger(name):
        raise ValueError(f"{name!r} is not a plain name")
    return name


def describe(member: Member, predictions_sha256: str) -> dict[str, Any]:
    """A member as the manifest tells it."""
    fields = ("variant", "weights_sha256", "pairs_sha256", "config", "scaling", "mean_color")
    return {field: getattr(member, field) for field in fields} | {
        "input": str(member.input),
        "engines": list(member.engines),
        "predictions_sha256": predictions_sha256,
    }


def predictions_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for many predictions, from that of each scene."""
    lines = (f"{scene} {digest}\n" for scene, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def made_with(root: Path = _ROOT) -> dict[str, str | None]:
    """All that the bytes of an archive may depend on beside the predictions, by its version."""
    return {
        "kit": kit.__version__,
        "commit": commit(root),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gdal": rasterio.__gdal_version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def commit(root: Path = _ROOT) -> str | None:
    """The commit of a clone, with "-dirty" behind it if its code differs; None without a clone.

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
    # A hook of another repository sets GIT_DIR; and looking must not write to this one's index.
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
