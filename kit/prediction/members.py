"""Member predictions, one scene at a time.

In: `predictions/<variant>/`, a folder of uint16 arrays [3, H, W] with a manifest. Out: the images
of several members, and their average. Refused by name: a member that was never predicted, lacks a
scene that another has, or was trained for another target space.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import read_array, read_json
from kit.prediction.averaging import Averaging, average
from kit.variants import ensemble_members


@dataclass(frozen=True, slots=True)
class Member:
    """One variant's predictions, as its manifest describes them.

    `pairs_sha256` is the fingerprint of the pairs that it was trained on, and `engines` are what
    made its predictions; both are unknown, None and empty, to manifests of older kits.
    """

    folder: Path
    variant: str
    weights_sha256: str
    config: dict[str, Any]
    scaling: dict[str, Any]
    target: str
    mean_color: tuple[float, float, float]
    input: Path
    scenes: tuple[str, ...]
    pairs_sha256: str | None
    engines: tuple[dict[str, Any], ...]

    def load(self, scene: str) -> NDArray[np.uint16]:
        """The prediction [3, H, W] for a scene; its values over 65535 are in [0, 1].

        Raises:
            InputError: the file is missing, damaged or holds something else.
        """
        path = self.folder / f"{scene}.npy"
        remedy = f"run: {predict_command(self.variant)}"
        image = read_array(path, remedy)
        if image.dtype != np.uint16 or image.ndim != 3 or image.shape[0] != 3:
            problem = f"holds {image.dtype} {list(image.shape)} in place of uint16 [3, H, W]"
            raise InputError(path, problem, remedy=remedy)
        return image


def read_member(folder: Path) -> Member:
    """The member whose predictions are in `folder`.

    Raises:
        InputError: there is no manifest, or it lacks a field.
    """
    path = folder / "manifest.json"
    remedy = f"run: {predict_command(folder.name)}"
    manifest = read_json(path, remedy)
    try:
        red, green, blue = map(float, manifest["mean_color"])
        return Member(
            folder=folder,
            variant=str(manifest["variant"]),
            weights_sha256=str(manifest["weights_sha256"]),
            config=dict(manifest["config"]),
            scaling=dict(manifest["scaling"]),
            target=str(manifest["target"]),
            mean_color=(red, green, blue),
            input=Path(manifest["input"]),
            scenes=tuple(map(str, manifest["scenes"])),
            pairs_sha256=manifest.get("pairs_sha256"),
            engines=tuple(map(dict, manifest.get("engines", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            path, f"not a manifest of predictions ({error!r})", remedy=remedy
        ) from None


def read_members(predictions: Path, names: Sequence[str]) -> tuple[Member, ...]:
    """The members called `names`, checked to be fit for averaging.

    Raises:
        InputError: one is missing, has other scenes than another, or another target space.
    """
    found = tuple(read_member(predictions / name) for name in names)
    everything = set().union(*(member.scenes for member in found))
    if not everything:
        raise InputError(
            predictions, "no scene is predicted", remedy=f"run: {predict_command(*names)}"
        )
    for member in found:
        if _space(member) != _space(found[0]):
            raise InputError(
                member.folder,
                f"predicts {_space(member)} where {found[0].variant} predicts {_space(found[0])}",
                remedy="average only variants that were trained with the same target",
            )
        if missing := sorted(everything.difference(member.scenes)):
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            problem = f"{member.variant} has no prediction for {missing[0]}{others}"
            raise InputError(member.folder, problem, remedy=f"run: {predict_command(*names)}")
    return found


def select(predictions: Path, ensemble: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The name and the members of an ensemble; without one, of what was predicted last.

    Raises:
        InputError: nothing was predicted yet, or `ensemble` is not a list of distinct variants.
    """
    if ensemble is not None:
        names = ensemble_members(ensemble)
    else:
        path = predictions / "last.json"
        remedy = "run: kit predict, or name the members with --ensemble"
        last = read_json(path, remedy)
        try:
            ensemble, names = str(last["ensemble"]), tuple(map(str, last["members"]))
        except (KeyError, TypeError) as error:
            raise InputError(
                path, f"not what kit predict writes ({error!r})", remedy=remedy
            ) from None
        if not names:
            raise InputError(path, "names no member", remedy=remedy)
    return "-".join(names) if "," in ensemble else ensemble, names


def load_scene(members: Sequence[Member], scene: str) -> tuple[NDArray[np.uint16], ...]:
    """The members' predictions [3, H, W] for one scene, all of one size.

    Raises:
        InputError: a prediction is missing or damaged, or not of the size of the first member's.
    """
    images = tuple(member.load(scene) for member in members)
    for member, image in zip(members, images, strict=True):
        if image.shape != images[0].shape:
            sizes = f"{list(image.shape)} where {members[0].variant} made {list(images[0].shape)}"
            remedy = f"run: {predict_command(member.variant)} --overwrite"
            raise InputError(member.folder / f"{scene}.npy", f"is {sizes}", remedy=remedy)
    return images


def average_scene(
    members: Sequence[Member], scene: str, averaging: Averaging = "mean"
) -> NDArray[np.uint16]:
    """The average [3, H, W] of the members' predictions for one scene; raises as `load_scene`."""
    return average(load_scene(members, scene), averaging)


def digest(image: NDArray[np.uint16]) -> str:
    """SHA-256 of the shape and the values of a prediction, whatever file holds them."""
    found = hashlib.sha256(repr(image.shape).encode())
    found.update(np.ascontiguousarray(image, "<u2").data)
    return found.hexdigest()


def predict_command(*members: str) -> str:
    """The command that makes the predictions of these members."""
    return f"kit predict --ensemble {','.join(members)} --input TEST"


def _space(member: Member) -> str:
    return f"{member.target} of DN {member.scaling.get('dn')}"
