"""`predictions/<variant>/manifest.json`: what a member's predictions were made of, and by what.

In: the folder of a member's predictions. Out: its manifest, and the other way round. Refused by
name: a file that is missing, damaged or no such manifest.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kit.colors import Colors, read_colors
from kit.errors import InputError
from kit.storage.seal import read_record, write_record

MANIFEST = "manifest.json"
_FORMAT = 3  # 2 knew of no views
SCENE_VALUES = (
    "nodata",
    "values",
    "float16",
    "radar_sha256",
    "input_sha256",
    "radar_dates",
    "prior_dates",
    "sha256",
)
"""What is known of a scene once it is predicted: the share of its pixels without data, its counts
by `kit.tiles.values`, whether its files hold floats of 16 bits, left out where they do not; the
digests of its radar, of all that the network was given, and of the prediction; of how many dates
the radar and the prior were. What follows from the variant is left out: the digest of the radar
where the network was given nothing else, and the dates of what it was not given."""


@dataclass(slots=True)
class Manifest:
    """The fields of the file, in its order."""

    variant: str
    """Name of the variant; that of the folder too."""
    weights_sha256: str
    """SHA-256 of the weights file."""
    pairs_sha256: str | None
    """Fingerprint of the pairs that the weights were trained on; None if it is not known."""
    config: dict[str, Any]
    """The variant, as `kit.variants.record.to_record` returns it."""
    scaling: dict[str, Any]
    """The ranges of dB and DN, `scaling.SCALING`."""
    target: str
    """The space of the predictions, a value of `Variant.target`."""
    colors: Colors
    """Of the training targets, in the file by the names of `Colors.as_facts`."""
    input: str
    """The folder of the radar tiles."""
    engines: list[dict[str, Any]] | None
    """`Engine.describe` of each that predicted a scene; None if the file does not say."""
    rejected: list[dict[str, str]]
    """For each scene that was left out `scene`, and the fields of a `Rejection`."""
    scenes: dict[str, dict[str, Any]]
    """For each scene `tiles`, [bytes, ns] of each band's file and of those of other dates that its
    input is made of, `changed`, the latest of their ctimes in ns, and `SCENE_VALUES`; `nodata` is
    None where nothing is predicted yet; `changed`, `values` and the digests are missing where an
    older kit predicted."""
    trained_on: list[str] | None
    """Those of the scenes whose ground was trained on; None if the run does not say."""
    flips: int = 1
    """How many views of a scene are averaged, see `kit.models.flips`."""


def radar_digest(scene: Mapping[str, Any]) -> str | None:
    """The digest of the radar of a scene, by its entry; None where an older kit predicted it."""
    found = scene.get("radar_sha256", scene.get("input_sha256"))
    return None if found is None else str(found)


def manifest_path(folder: Path) -> Path:
    """The manifest of the predictions in `folder`, whether it exists or not."""
    return folder / MANIFEST


def predicted(predictions: Path) -> list[str]:
    """The members that have predictions, sorted."""
    return sorted(path.parent.name for path in predictions.glob(f"[!.]*/{MANIFEST}"))


def read_manifest(folder: Path, remedy: str) -> Manifest:
    """The manifest of the predictions in `folder`.

    Raises:
        InputError: it is missing or damaged, or lacks a field; with this remedy.
    """
    path = manifest_path(folder)
    found = read_record(path, _FORMAT, remedy)
    try:
        engines = found.get("engines")
        return Manifest(
            variant=str(found["variant"]),
            weights_sha256=str(found["weights_sha256"]),
            pairs_sha256=found.get("pairs_sha256"),
            config=dict(found["config"]),
            scaling=dict(found["scaling"]),
            target=str(found["target"]),
            colors=read_colors(found),
            input=str(found["input"]),
            engines=None if engines is None else [dict(engine) for engine in engines],
            rejected=list(found.get("rejected", ())),
            scenes={str(scene): dict(entry) for scene, entry in found["scenes"].items()},
            trained_on=None if found.get("trained_on") is None else [*found["trained_on"]],
            flips=int(found.get("flips", 1)),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"not a manifest of predictions ({error!r})"
        raise InputError(path, problem, remedy=remedy) from None


def difference(old: Manifest, new: Manifest) -> str:
    """Why images of one manifest cannot be used for the other; "" if they can."""
    if old.weights_sha256 != new.weights_sha256:
        return "holds predictions by other weights"
    if old.flips != new.flips:
        return f"holds predictions with --flips {old.flips}"
    return f"holds predictions of {old.input}" if _is_of_another_folder(old, new) else ""


def _is_of_another_folder(old: Manifest, new: Manifest) -> bool:
    """Whether the tiles lay elsewhere, and are not the same ones before their folder was moved."""
    if old.input == new.input:
        return False
    return os.path.exists(old.input) or any(
        entry.get("tiles") != new.scenes.get(scene, {}).get("tiles")
        for scene, entry in old.scenes.items()
    )


def known_engines(manifest: Manifest) -> list[dict[str, Any]]:
    """The engines of the predictions; one called unknown where an older kit did not record them."""
    if manifest.engines is None:
        return [{"name": "unknown"}] if manifest.scenes else []
    return manifest.engines


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the predictions in `folder`.

    Raises:
        OutputError: it cannot be written.
    """
    found: dict[str, Any] = {}
    for field in fields(manifest):
        value = getattr(manifest, field.name)
        found |= value.as_facts() if isinstance(value, Colors) else {field.name: value}
    write_record(manifest_path(folder), _FORMAT, found)
