"""Member predictions -> their average, one scene at a time.

In: `predictions/<variant>/`, a folder of uint16 arrays [3, H, W] with a manifest. Out: the exact
mean, median or weighted mean of several members' images. Refused by name: a member that was never
predicted, lacks a scene that another has, or was trained for another target space; weights that
are none, or not one for each member.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import read_array, read_json
from kit.variants import members as parse_members

Averaging = Literal["mean", "median"] | tuple[int, ...]
"""How images become one: by mean, by median, or with these weights, whole numbers."""

# 65535 times the sum of the weights, and half of that sum, fit into 32 and into 64 bits.
_SMALL_WEIGHTS, _MOST_WEIGHTS = 1 << 16, 1 << 48
_WIDEST = 400  # powers of ten; floats have 324


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
            raise InputError(path, problem, remedy)
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
        raise InputError(path, f"not a manifest of predictions ({error!r})", remedy) from None


def read_members(predictions: Path, names: Sequence[str]) -> tuple[Member, ...]:
    """The members called `names`, checked to be fit for averaging.

    Raises:
        InputError: one is missing, has other scenes than another, or another target space.
    """
    found = tuple(read_member(predictions / name) for name in names)
    everything = set().union(*(member.scenes for member in found))
    if not everything:
        raise InputError(predictions, "no scene is predicted", f"run: {predict_command(*names)}")
    for member in found:
        if _space(member) != _space(found[0]):
            raise InputError(
                member.folder,
                f"predicts {_space(member)} where {found[0].variant} predicts {_space(found[0])}",
                "average only variants that were trained with the same target",
            )
        if missing := sorted(everything.difference(member.scenes)):
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            problem = f"{member.variant} has no prediction for {missing[0]}{others}"
            raise InputError(member.folder, problem, f"run: {predict_command(*names)}")
    return found


def select(predictions: Path, ensemble: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The name and the members of an ensemble; without one, of what was predicted last.

    Raises:
        InputError: nothing was predicted yet, or `ensemble` is not a list of distinct variants.
    """
    if ensemble is not None:
        names = parse_members(ensemble)
    else:
        path = predictions / "last.json"
        remedy = "run: kit predict, or name the members with --ensemble"
        last = read_json(path, remedy)
        try:
            ensemble, names = str(last["ensemble"]), tuple(map(str, last["members"]))
        except (KeyError, TypeError) as error:
            raise InputError(path, f"not what kit predict writes ({error!r})", remedy) from None
        if not names:
            raise InputError(path, "names no member", remedy)
    return "-".join(names) if "," in ensemble else ensemble, names


def parse_averaging(text: str, variants: Sequence[str]) -> Averaging:
    """What `--average` asks for; weights become whole numbers without a common divisor.

    Args:
        text: "mean", "median", or a weight for each variant, "4,2,1"; only their ratios count, and
            those are exact: "0.1,0.3" is (1, 3). Equal weights are the mean.
        variants: the members of the ensemble, in its order.

    Raises:
        InputError: it is none of these, or a weight is negative or not finite, or all are zero, or
            the whole numbers add up to more than 2**48.
    """
    if text == "median":
        return "median"
    if text == "mean":
        return "mean"
    remedy = f"give mean, median, or a weight for each of {','.join(variants)}"
    if text.isalpha():
        raise InputError("--average", f"{text[:40]!r} is no way to average", remedy)
    given = [_weight(part, remedy) for part in text.split(",")]
    if len(given) != len(variants):
        problem = f"{_count(len(given), 'weight')} for {_count(len(variants), 'member')}"
        raise InputError("--average", problem, remedy)
    if not any(given):
        raise InputError("--average", "all weights are zero", remedy)
    scale = math.lcm(*(weight.denominator for weight in given))
    whole = [int(weight * scale) for weight in given]
    divisor = math.gcd(*whole)
    weights = tuple(weight // divisor for weight in whole)
    if sum(weights) > _MOST_WEIGHTS:
        problem = "the weights, as whole numbers, add up to more than 2**48"
        raise InputError("--average", problem, "give fewer digits")
    return "mean" if set(weights) == {1} else weights


def averaging_text(averaging: Averaging) -> str:
    """The text that `parse_averaging` reads as this."""
    return averaging if isinstance(averaging, str) else ",".join(map(str, averaging))


def average(
    images: Sequence[NDArray[np.uint16]], averaging: Averaging = "mean"
) -> NDArray[np.uint16]:
    """The exact mean, median or weighted mean of images [3, H, W], halves rounded up.

    Args:
        images: of one size.
        averaging: as `parse_averaging` returns it. The median of an even number of images is the
            mean of the middle two.

    Raises:
        ValueError: no image is given, their shapes differ, or there are not as many weights, or
            these add up to nothing or to more than 2**48.
    """
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"cannot average images of shapes {[image.shape for image in images]}")
    if averaging == "median":
        return _median(images)
    weights = (1,) * len(images) if averaging == "mean" else averaging
    whole = sum(weights)
    if not 0 < whole <= _MOST_WEIGHTS or min(weights) < 0:
        raise ValueError(f"cannot average with weights {weights}")
    # In integers, so that no machine's floating point decides a last digit of the archive.
    wide = np.uint32 if whole <= _SMALL_WEIGHTS else np.uint64
    total = np.zeros(images[0].shape, wide)
    for image, weight in zip(images, weights, strict=True):
        total += image if weight == 1 else image * wide(weight)
    return ((total + whole // 2) // whole).astype(np.uint16)


def _median(images: Sequence[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    # Sorted image by image: numpy's sort along so short an axis takes 35 times as long for three.
    ranked: list[NDArray[np.uint16]] = []
    for image in images:
        highest = image
        for place, other in enumerate(ranked):
            ranked[place], highest = np.minimum(other, highest), np.maximum(other, highest)
        ranked.append(highest)
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    middle: NDArray[np.uint16] = high - (high - low) // 2
    return middle


def _weight(text: str, remedy: str) -> Fraction:
    """A weight exactly as it is written."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        problem = "is not a number"
    else:
        if not number.is_finite():
            problem = "is not finite"
        elif number < 0:
            problem = "is negative"
        elif abs(number.adjusted()) > _WIDEST:
            # As a whole number it would have as many digits, and take its time.
            problem = f"is not between 1e-{_WIDEST} and 1e{_WIDEST}"
        else:
            return Fraction(number)
    raise InputError("--average", f"{text[:40]!r} {problem}", remedy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


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
            raise InputError(member.folder / f"{scene}.npy", f"is {sizes}", remedy)
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
