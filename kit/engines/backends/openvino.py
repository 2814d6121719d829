"""Intel's OpenVINO: the fastest backend that we know for x86 processors.

`pip install 'sar-to-optical-kit[openvino]'` installs it, and NNCF, which quantises to int8.
"""

import errno
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec
from kit.engines.backends.silence import silenced
from kit.engines.request import Precision
from kit.errors import InputError
from kit.machine.cores import cores
from kit.machine.home import home
from kit.models.infer import Forward
from kit.models.rewrites.equalise import equalised
from kit.models.rewrites.sensitive import sensitive_layers
from kit.plain_text import one_line
from kit.storage.files import unwritable

_MODEL = "model.xml"
_BATCH = "batch"
_RECIPE = "recipe 3"  # of the quantisation; an engine of another recipe is built again
_CONVOLUTIONS = ("Convolution", "ConvolutionBackpropData", "GroupConvolution")
# A quarter of a grey level of eight bits; measured differences lie far below it or above.
_MAX_DIFFERENCE = 1e-3
_COMPARED = 4  # tiles


def require() -> None:
    """Raises InputError where OpenVINO is not installed."""
    if find_spec("openvino") is None:
        raise InputError(
            "openvino", "not installed", remedy="pip install 'sar-to-optical-kit[openvino]'"
        )


def targets() -> Mapping[str, str]:
    """Empty: an engine is for the processor that it is built on."""
    return {}


def version() -> str:
    """The versions of OpenVINO, of NNCF and of the quantisation below."""
    return f"openvino {version_of('openvino')}, nncf {version_of('nncf')}, {_RECIPE}"


def device() -> str:
    """The processor by name: engines are tuned for one."""
    return f"{_core().get_property('CPU', 'FULL_DEVICE_NAME')}, {cores()} cores"


def precisions() -> Sequence[Precision]:
    """int8 is fast on every processor that OpenVINO supports; bfloat16 where it is multiplied."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("int8", "bfloat16", "float32") if "BF16" in able else ("int8", "float32")


def plans() -> Sequence[Plan]:
    """All cores on one tile, one tile a core, and batches of either."""
    each = cores()
    return Plan(1), Plan(4), Plan(each, each), Plan(2 * each, each)


def build(generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
    """Write OpenVINO's intermediate representation, of any batch at the size of `spec`."""
    openvino = _library()
    # Two, because torch makes a constant of a batch of one.
    example = torch.zeros(2, spec.channels, spec.height, spec.width)
    batch = torch.export.Dim(_BATCH, min=1, max=1024)
    if spec.precision == "int8":
        generator = equalised(generator, tiles)
    with silenced():
        program = torch.export.export(generator, (example,), dynamic_shapes=({0: batch},))
        model = openvino.convert_model(program)
    model.reshape([-1, spec.channels, spec.height, spec.width])
    if spec.precision == "int8":
        model = _quantised(model, _names(program, model), sensitive_layers(generator), tiles)
    try:
        openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)
    except RuntimeError as error:  # whatever keeps the file from being written
        raise unwritable(folder / _MODEL, OSError(errno.EIO, one_line(error))) from error


def load(folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]) -> Forward:
    """Compile the representation for the processor, with the plan's number of streams."""
    openvino, core = _library(), _core()
    model = core.read_model(folder / _MODEL)
    part = plan.batch // plan.streams
    model.reshape([part, spec.channels, spec.height, spec.width])
    half = spec.precision == "bfloat16" or (spec.precision == "int8" and "bfloat16" in precisions())
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "NUM_STREAMS": str(plan.streams),
        "INFERENCE_NUM_THREADS": cores(),
    })  # fmt: skip
    queue = openvino.AsyncInferQueue(compiled, plan.streams)

    def run(sar: Tensor) -> Tensor:
        sar = sar.cpu()
        rgb = np.empty((plan.batch, 3, spec.height, spec.width), np.float32)

        def keep(request: Any, start: int) -> None:
            rgb[start : start + part] = request.get_output_tensor().data

        queue.set_callback(keep)
        for start in range(0, plan.batch, part):
            queue.start_async(sar[start : start + part].contiguous().numpy(), start)
        queue.wait_all()
        return torch.from_numpy(rgb)

    return run


@cache
def _library() -> Any:
    """The package; it looks for a home folder, which a user without a name may lack."""
    home()
    import openvino

    return openvino


@cache
def _core() -> Any:
    openvino = _library()

    return openvino.Core()


def _names(program: torch.export.ExportedProgram, model: Any) -> dict[str, str]:
    """For each convolution of a generator, by module, its name in the model made of it."""
    modules = [
        list(node.meta["nn_module_stack"].values())[-1][0]
        for node in program.graph.nodes
        if str(node.target).startswith("aten.conv")
    ]
    names = [
        operation.get_friendly_name()
        for operation in model.get_ops()
        if operation.get_type_name() in _CONVOLUTIONS
    ]
    # Their names are convolution, convolution_1, and so on, in the order of execution.
    names.sort(key=lambda name: int(name.partition("/")[0].partition("_")[2] or 0))
    return dict(zip(modules, names, strict=True))


def _quantised(
    model: Any, names: Mapping[str, str], sensitive: Sequence[set[str]], tiles: Tensor
) -> Any:
    """`model` with the inputs and weights of convolutions in eight bits, by NNCF.

    `sensitive` are sets of convolutions to leave as they are, each with all of those before it. The
    first set with which the images differ by `_MAX_DIFFERENCE` at most is used, or else the last.
    """
    radars = [tile[None].numpy() for tile in tiles]
    first, *more = ({names[module] for module in spared} for spared in sensitive)
    quantised = all_but_first = _quantised_but(model, sorted(first), radars)
    compared = radars[:_COMPARED]
    expected = _images(model, compared) if more else []
    for spared in more:
        if _mean_difference(expected, _images(quantised, compared)) <= _MAX_DIFFERENCE:
            break
        quantised = _restored(all_but_first, model, spared - first)
    return quantised


def _restored(quantised: Any, model: Any, names: set[str]) -> Any:
    """A copy of `quantised` in which the convolutions of these names are as in `model`."""
    copied = quantised.clone()
    original = {operation.get_friendly_name(): operation for operation in model.get_ops()}
    for operation in copied.get_ops():
        if (name := operation.get_friendly_name()) in names:
            rounded = operation.input_value(0).get_node()
            operation.input(0).replace_source_output(rounded.input_value(0))
            operation.input(1).replace_source_output(original[name].input_value(1))
    return copied


def _quantised_but(model: Any, spared: list[str], radars: list[NDArray[np.float32]]) -> Any:
    """`model` with all of its convolutions but `spared` in eight bits, and nothing else."""
    # NNCF would quantise these too: sums, products, and the statistics of instance norms.
    others = {operation.get_type_name() for operation in model.get_ops()}
    others -= {*_CONVOLUTIONS, "Parameter", "Result", "Constant"}
    with silenced():
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        # Ranges that include every outlier would leave few steps to all other values. Biases that
        # NNCF corrects by these few tiles made images of trained SPADE and U-Net differ by more.
        parameters = nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
            disable_bias_correction=True,
        )
        return nncf.quantize(
            model,
            nncf.Dataset(radars),
            # Activations are not symmetric after a leaky ReLU.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(radars),
            ignored_scope=nncf.IgnoredScope(names=spared, types=sorted(others)),
            advanced_parameters=parameters,
        )


def _images(model: Any, radars: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """What a model predicts in float32, where it is not in eight bits."""
    compiled = _core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled(radar)[0] for radar in radars]


def _mean_difference(images: list[NDArray[np.float32]], others: list[NDArray[np.float32]]) -> float:
    """The mean difference of images in [-1, 1], as a share of their range."""
    pairs = zip(images, others, strict=True)
    return float(np.mean([np.abs(one - other) for one, other in pairs])) / 2
