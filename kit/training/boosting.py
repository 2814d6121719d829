"""Boosted trees, fitted by LightGBM: the one module that imports it.

In: features and a target of pixels. Out: trees as tensors, which nothing but torch is needed for.
`pip install 'sar-to-optical-kit[trees]'` installs it. One thread fits the trees of a channel, so
that the number of threads decides no digit of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.errors import InputError
from kit.variants.settings import Thresholds

Loss = Literal["l1", "mse"]
_OBJECTIVES = {"l1": "regression_l1", "mse": "regression"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How trees are fitted.

    `shrinkage` is the share of each tree that is added, `smallest` the fewest pixels of a leaf.
    With random thresholds a node takes the best feature, each divided at one value drawn at random
    (Geurts et al., "Extremely randomized trees", Machine Learning 63, 2006).
    """

    trees: int
    leaves: int
    shrinkage: float
    smallest: int
    loss: Loss
    thresholds: Thresholds
    seed: int


@dataclass(frozen=True, slots=True)
class Boosted:
    """The trees of a channel: a constant, and the tensors of `kit.models.trees`, [trees, nodes]."""

    base: float
    tensors: dict[str, Tensor]


def version() -> str:
    """The library and its version.

    Raises:
        InputError: it is not installed, or cannot be loaded.
    """
    return f"lightgbm {_lightgbm().__version__}"


def boost(
    features: NDArray[np.float32],
    target: NDArray[np.float32],
    settings: Settings,
    after_tree: Callable[[int], None] = lambda number: None,
) -> Boosted:
    """Fit the trees of a channel.

    Args:
        features: [pixels, features].
        target: [pixels].
        settings: how.
        after_tree: called with the number of trees so far; what it raises ends the fit.

    Raises:
        InputError: the library is not installed, or cannot be loaded.
    """
    lightgbm = _lightgbm()
    base = float(np.median(target) if settings.loss == "l1" else target.mean(dtype=np.float64))
    parameters = _parameters(settings)
    data = lightgbm.Dataset(
        features, target, init_score=np.full(len(target), base), params=parameters
    )
    booster = lightgbm.train(
        parameters,
        data,
        settings.trees,
        callbacks=[lambda environment: after_tree(environment.iteration + 1)],
    )
    # Fewer than were asked for, where nothing is left to divide.
    found = [each["tree_structure"] for each in booster.dump_model()["tree_info"]]
    return Boosted(base, _tensors(found, settings))


def _parameters(settings: Settings) -> dict[str, Any]:
    return {
        "objective": _OBJECTIVES[settings.loss],
        "learning_rate": settings.shrinkage,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.smallest,
        "extra_trees": settings.thresholds == "random",
        "seed": settings.seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "boost_from_average": False,
        "verbose": -1,
    }


def _tensors(trees: list[dict[str, Any]], settings: Settings) -> dict[str, Tensor]:
    """The nodes of trees in the order of `kit.models.trees`, a parent before its children."""
    shape = (settings.trees, 2 * settings.leaves - 1)
    whole = {name: np.zeros(shape, np.int16) for name in ("feature", "left", "right")}
    real = {name: np.zeros(shape, np.float32) for name in ("threshold", "value")}

    def place(tree: int, number: int, node: dict[str, Any]) -> int:
        """Write a node and those below it; returns the next number."""
        if "leaf_value" in node:
            real["value"][tree, number] = node["leaf_value"]
            return number + 1
        whole["feature"][tree, number] = node["split_feature"]
        real["threshold"][tree, number] = _floor(node["threshold"])
        whole["left"][tree, number] = number + 1
        after = whole["right"][tree, number] = place(tree, number + 1, node["left_child"])
        return place(tree, int(after), node["right_child"])

    for tree, root in enumerate(trees):
        place(tree, 0, root)
    return {name: torch.from_numpy(array) for name, array in (whole | real).items()}


def _floor(threshold: float) -> np.float32:
    """The largest float32 that is not above: a float32 is at most one where it is at most both."""
    near = np.float32(threshold)
    return near if near <= threshold else np.nextafter(near, np.float32(-np.inf))


def _lightgbm() -> ModuleType:
    try:
        import lightgbm
    except ImportError:
        raise InputError(
            "lightgbm", "not installed", remedy="pip install 'sar-to-optical-kit[trees]'"
        ) from None
    except OSError as error:  # its wheel does not bring the runtime of OpenMP
        raise InputError(
            "lightgbm",
            f"cannot be loaded ({error})",
            remedy="install the system's OpenMP runtime, such as: apt-get install libgomp1",
        ) from None
    return lightgbm
