"""Weights under the names that NVlabs' SPADE and NVIDIA's pix2pixHD gave them, in and out.

In: one of our networks and a published state dict (`net_G.pth`, `net_D.pth`, read by the caller).
Out: the network holding those weights, or its weights under the published names; and what the
weights say of the network that they belong to. Weights that are missing, unknown or of another
shape are refused by name. NVlabs' weights are CC BY-NC-SA.
"""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from kit.errors import InputError
from kit.models.discriminator import Discriminator
from kit.models.spade import SpadeGenerator

PUBLISHED = "published weights"
"""What errors name as the place of a state dict; the caller knows its file."""

# Spectral norm as torch wrote it before parametrisations.
_SPECTRAL = {
    ".parametrizations.weight.original": ".weight_orig",
    ".parametrizations.weight.0._u": ".weight_u",
    ".parametrizations.weight.0._v": ".weight_v",
}
# A discriminator's convolutions: their positions in ours, in order of the published layers.
_LAYERS = {"0": 0, "2": 1, "5": 2, "8": 3, "11": 4}
# A generator's first and last convolution; how many times the width the first has outputs.
_ENDS = {
    "spade": ("fc.weight", "conv_img.weight", 16),
    "pix2pixhd": ("model.1.weight", "model.38.weight", 1),
}
# What only a generator with batch norm has, and the variant's word for that norm.
_BATCH_NORM = {
    "spade": ("head_0.norm_0.param_free_norm.running_mean", "sync_batch"),
    "pix2pixhd": ("model.2.weight", "batch"),
}
# Channels that a variant can be given; the settings of an import say which.
_INPUTS = (2, 4, 6, 8)
_SHOWN = 5  # names in an error
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def import_reference_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a published state dict into one of our networks.

    pix2pixHD's discriminators are read in both published forms, with and without feature matching.
    Statistics that torch before 0.4 stored for pix2pixHD's instance norms are left out.

    Raises:
        InputError: names the weights that are missing, unknown or of another shape; the network is
            then as it was.
    """
    own = model.state_dict()
    matching = not any(name.startswith("layer") for name in state)
    names = {key: _published(key, model, matching) for key in own}
    unknown = state.keys() - set(names.values())
    # A batch norm in their place is still refused: pix2pixHD's have weights too. SPADE's have only
    # statistics, and no published SPADE is that old.
    if not isinstance(model, SpadeGenerator):
        unknown = {name for name in unknown if not name.endswith(_STATISTICS)}
    problems = {
        "missing": set(names.values()) - state.keys(),
        "unknown": unknown,
        "of another shape": {
            name
            for key, name in names.items()
            if name in state and state[name].shape != own[key].shape
        },
    }
    found = "; ".join(f"{_listed(which)} {what}" for what, which in problems.items() if which)
    if bent := min(problems["of another shape"], default=""):
        wanted = next(own[key].shape for key, name in names.items() if name == bent)
        found += f" ({bent} is {[*state[bent].shape]}, not {[*wanted]})"
    if found:
        remedy = "use weights of the same model, width, depth, norm and number of channels"
        raise InputError(PUBLISHED, found, remedy=remedy)
    model.load_state_dict({key: state[name] for key, name in names.items()})


def export_reference_weights(model: nn.Module, matching: bool = True) -> dict[str, Tensor]:
    """The weights of one of our networks under the published names; the memory is shared.

    Args:
        model: a generator or a discriminator, as a checkpoint has it: a run's weights have no
            spectral norms any more.
        matching: names pix2pixHD's discriminator as with feature matching, its published default;
            without, as its `--no_ganFeat_loss` does. Others have one form.
    """
    return {_published(key, model, matching): value for key, value in model.state_dict().items()}


def settings_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Which generator a published state dict is of: model, width, depth and norm of a variant.

    SPADE's depth "more" has the weights of "normal", which is returned for both.

    Raises:
        InputError: it is of neither generator, or of channels that no variant has.
    """
    kernels = {name for name, weight in state.items() if weight.dim() == 4}
    model = next((name for name, (*ends, _) in _ENDS.items() if kernels.issuperset(ends)), "")
    if not model:
        problem = f"of neither generator; it holds {_listed(state.keys())}"
        remedy = "give net_G.pth of SPADE, or of pix2pixHD's global generator with 4 halvings"
        raise InputError(PUBLISHED, problem, remedy=remedy)
    first, last, wider = _ENDS[model]
    inputs, outputs = state[first].shape[1], state[last].shape[0]
    if inputs not in _INPUTS or outputs != 3:
        problem = f"of a {model} generator from {inputs} to {outputs} channels"
        remedy = "the kit's networks take VV and VH, 2 more with date, 4 with prior, and give 3"
        raise InputError(PUBLISHED, problem, remedy=remedy)
    name, norm = _BATCH_NORM[model]
    return {
        "model": model,
        "width": state[first].shape[0] // wider,
        "depth": "most" if "up_4.conv_0.bias" in state else "normal",
        "norm": norm if name in state else "instance",
    }


def _published(key: str, model: nn.Module, matching: bool = True) -> str:
    """The published name of our `key`; generators differ in spectral norm alone."""
    for ours, theirs in _SPECTRAL.items():
        key = key.replace(ours, theirs)
    if not isinstance(model, Discriminator):
        return key
    _, scale, position, weight = key.split(".")
    layer = _LAYERS[position]
    if model.kind == "spade":
        normalised = ".0" if 1 <= layer <= 3 else ""
        return f"discriminator_{scale}.model{layer}.0{normalised}.{weight}"
    # pix2pixHD counts its scales from the coarsest.
    coarse_first = 1 - int(scale)
    if matching:
        return f"scale{coarse_first}_layer{layer}.0.{weight}"
    return f"layer{coarse_first}.{position}.{weight}"


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
