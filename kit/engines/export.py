"""A trained generator to take away: one ONNX file, with the scaling inside.

In: a run. Out: a file that takes radar in dB and returns an optical image in DN, for any number of
tiles of one size, and says so itself; ONNX Runtime predicts with it what eager PyTorch predicts.
Refused by name: boosted trees, which are no network, and files of more than 2 GB.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import kit
from kit.engines.onnx_file import OPSET, onnx_program
from kit.errors import CheckError, InputError, no_such
from kit.models.in_units import InUnits
from kit.models.rewrites.fuse import for_inference
from kit.runs.trained import Trained
from kit.runs.weights import Weights
from kit.scaling import DN_RANGE, SCALING, VH_RANGE, VV_RANGE
from kit.storage.files import AnyPath, output, refuse_existing
from kit.units_record import units_text
from kit.variants.settings import Variant

FORMATS = ("onnx",)
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_OUTPUT = "optical"
_MOST = 2**31 - 2**24  # bytes of weights: the format ends at 2 GiB
# Mean of [0, 1]: a tenth of a DN. Rounding alone explains 1e-6.
_TOLERANCE = 3e-5
_TILES = 3


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, what goes in and comes out, and how it was checked.

    `inputs` and `outputs` say by name what a tensor holds. `mean_difference` and
    `largest_difference` are those of ONNX Runtime's images to eager PyTorch's, as shares of the
    range of the output.
    """

    file: Path
    variant: str
    opset: int
    height: int
    width: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    size: int
    mean_difference: float
    largest_difference: float


def export_generator(
    weights: Weights,
    form: str,
    path: AnyPath,
    size: tuple[int, int],
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the generator of `weights` to `path`, in float32.

    Args:
        weights: of a network, or of the prior.
        form: one of `FORMATS`.
        path: the file.
        size: height and width of the tiles that it takes.
        overwrite: replace a file that exists.

    Raises:
        InputError: there is no such format, a package is not installed, or the model cannot be
            exported.
        CheckError: ONNX Runtime predicts something else with it; nothing is written.
        BusyError: the file exists.
        OutputError: it cannot be written.
    """
    path = Path(path)
    _check(weights, form)
    refuse_existing(path, "give --overwrite, or another file", overwrite or path.is_dir())
    variant = weights.variant
    inputs, outputs = _meanings(variant, size)
    if weights.units:
        other = units_text(weights.units)
        inputs["radar"] += f". dB and DN are those of tiles that kit prepare made of {other}"
    with output(path) as part:
        _program(weights, size, inputs, outputs).save(part, external_data=False)
        apart = _compared(weights, part, size)
        made = part.stat().st_size
    return Exported(
        path, variant.name, OPSET, *size, inputs, outputs, made, float(apart.mean()),
        float(apart.max()),
    )  # fmt: skip


def _check(weights: Weights, form: str) -> None:
    if form not in FORMATS:
        raise no_such("format", form, FORMATS)
    variant = weights.variant
    if variant.model == "trees":
        problem = "is boosted trees, which are no network that ONNX could hold"
        raise InputError(variant.name, problem, remedy="predict with them by kit predict")
    if missing := [module for module in _NEEDED if find_spec(module) is None]:
        problem = f"not installed: {', '.join(missing)}"
        raise InputError(form, problem, remedy="pip install 'sar-to-optical-kit[onnx]'")
    if sum(tensor.nbytes for tensor in weights.generator.state_dict().values()) > _MOST:
        problem = "has more than 2 GB of weights, which one ONNX file cannot hold"
        raise InputError(variant.name, problem, remedy="train it with a smaller width")


def _meanings(variant: Variant, size: tuple[int, int]) -> tuple[dict[str, str], dict[str, str]]:
    """What the tensors hold that go in, and the one that comes out, by name."""
    height, width = size
    tiles = f"[batch, 3, {height}, {width}] float32"
    dates = variant.radar_dates
    mean = f", the mean power of up to {dates} dates" if dates > 1 else ""
    known = {
        "radar": (
            f"[batch, 2, {height}, {width}] float32: VV and VH in dB{mean}. Scaled inside, over "
            f"{VV_RANGE[0]:g} to {VV_RANGE[1]:g} and {VH_RANGE[0]:g} to {VH_RANGE[1]:g} dB. "
            "NaN, infinite, 0 and less than -90 are nodata"
        )
    }
    unit = (
        f"B4, B3, B2 in DN, {DN_RANGE[0]:g} to {DN_RANGE[1]:g}, not rounded"
        if variant.target == "reflectance"
        else "B4, B3, B2 in 0 to 1, each between the extremes of its own image"
    )
    if variant.date:
        known["day"] = "[batch] float32: the radar's day of the year, 1 on the 1st of January"
    if variant.prior:
        known["prior"] = f"{tiles}: {unit}, of the place at other dates; NaN where there is none"
    return known, {_OUTPUT: f"{tiles}: {unit}"}


def _program(
    weights: Weights, size: tuple[int, int], inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> Any:
    variant = weights.variant
    name = f"{variant.name}: the generator"
    rewritten = for_inference(weights.generator, name, variant.input_channels)
    network = InUnits(rewritten, variant).eval()
    shapes = {"radar": (2, *size), "day": (), "prior": (3, *size)}
    examples = {name: torch.zeros(2, *shapes[name]) for name in inputs}
    program = onnx_program(network, examples, _OUTPUT)
    model = program.model
    model.producer_name, model.producer_version = kit.__name__, kit.__version__
    model.doc_string = "\n".join(f"{n}: {text}" for n, text in {**inputs, **outputs}.items())
    about = {
        "variant": variant.name,
        "weights_sha256": weights.sha256,
        "scaling": json.dumps(SCALING),
        **inputs,
        **outputs,
    }
    model.metadata_props.update(about)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.doc_string = {**inputs, **outputs}[value.name]
    return program


def _compared(weights: Weights, path: Path, size: tuple[int, int]) -> NDArray[np.float64]:
    """How far ONNX Runtime's images of made scenes lie from eager PyTorch's, as shares.

    Raises:
        CheckError: further than rounding explains.
    """
    variant = weights.variant
    radar, days, prior = _scenes(size)
    given: dict[str, Any] = {"dates": days} if variant.date else {}
    given |= {"priors": prior} if variant.prior else {}
    # As float32 says: on a card torch rounds what it convolves to TF32.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = Trained(weights).predict(radar, **given)
    low, high = DN_RANGE if variant.target == "reflectance" else (0.0, 1.0)
    everything = {
        "radar": radar,
        "day": np.array([day.timetuple().tm_yday for day in days], np.float32),
        "prior": prior * np.float32(high - low) + np.float32(low),
    }
    predicted = (_predict(path, everything) - low) / (high - low)
    apart: NDArray[np.float64] = np.abs(predicted - expected).astype(np.float64)
    if not apart.mean() <= _TOLERANCE:
        raise CheckError(
            f"{variant.name}: the images of ONNX Runtime differ from those of PyTorch, by "
            f"{apart.mean():.1e} of their range\n  nothing is written; report this as a bug"
        )
    return apart


def _predict(path: Path, everything: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {each.name: everything[each.name] for each in session.get_inputs()}
    predicted: NDArray[np.float32] = session.run([_OUTPUT], given)[0]
    return predicted


def _scenes(
    size: tuple[int, int],
) -> tuple[NDArray[np.float32], list[date], NDArray[np.float32]]:
    """Speckled ramps in dB with a corner of nodata, their dates, and priors in [0, 1]."""
    random = np.random.default_rng(0)
    height, width = size
    ramp = np.linspace(-30, 2, height * width, dtype=np.float32).reshape(height, width)
    speckle = 10 * np.log10(random.gamma(4, 1 / 4, (_TILES, 2, height, width)))
    radar = (ramp + speckle).astype(np.float32)
    radar[0, 0, : max(1, height // 4), : max(1, width // 4)] = np.nan
    days = [date(2021, 1, 1) + timedelta(days=120 * number) for number in range(_TILES)]
    return radar, days, random.random((_TILES, 3, height, width), dtype=np.float32)
