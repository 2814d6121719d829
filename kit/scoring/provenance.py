"""What an archive was made from, as far as it is still there: members' predictions, radar tiles."""

from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.archive.manifest import Manifest, MemberRecord, find_manifest, predictions_digest
from kit.errors import InputError
from kit.prediction.members import Member, find_member
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.scenes import Scene


@dataclass(frozen=True, slots=True)
class Provenance:
    """The manifest of an archive, and those of its members whose predictions are unchanged.

    `absent` are the other members: their predictions are missing, incomplete or made otherwise.
    """

    manifest: Manifest
    members: tuple[Member, ...]
    absent: tuple[str, ...]

    def radar_scenes(self) -> dict[SceneKey, Scene]:
        """The radar scenes in the folders that the members were predicted from."""
        found: dict[SceneKey, Scene] = {}
        for folder in {member.input for member in self.members}:
            with suppress(InputError):  # it is gone, or empty by now
                found |= {scene.key: scene for scene in catalog(folder).of("Sentinel1")}
        return found


def find_provenance(archive: Path, images: Iterable[str], predictions: Path | None) -> Provenance:
    """Look for what an archive was made from.

    Args:
        archive: the zip.
        images: the names of its images.
        predictions: the folder of predictions; None to look for no member.

    Raises:
        InputError: the manifest beside the archive, or one of a member's predictions, is damaged.
    """
    manifest = find_manifest(archive)
    scenes = {str(manifest.scene(image)) for image in images}
    averaged = set(manifest.scenes.values())
    found = {
        record.variant: _unchanged(predictions, record, scenes, averaged)
        for record in manifest.members
    }
    return Provenance(
        manifest=manifest,
        members=tuple(member for member in found.values() if member),
        absent=tuple(sorted(variant for variant, member in found.items() if not member)),
    )


def _unchanged(
    predictions: Path | None, record: MemberRecord, scenes: Set[str], averaged: Set[str]
) -> Member | None:
    """The member, if its predictions of some scenes are there, and are those in the archive."""
    member = find_member(predictions / record.variant) if predictions else None
    if member is None or member.weights_sha256 != record.weights_sha256:
        return None
    if member.flips != record.flips:
        return None
    # Of other tiles by the same names they are others. Older kits recorded fewer digests.
    digests = {scene: member.scenes.get(scene, {}).get("sha256") for scene in averaged}
    known = {scene: str(sha256) for scene, sha256 in digests.items() if sha256}
    recorded = record.predictions_sha256 if len(known) == len(averaged) else None
    if recorded not in (None, predictions_digest(known)):
        return None
    return member if all(member.has(scene) for scene in scenes) else None
