"""A network -> an ONNX file, for batches of any length; its types are those of the network.

torch's exporter needs the packages onnx and onnxscript, which the extras `onnx` and `tensorrt-rtx`
bring.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kit.engines.backends.silence import silenced

OPSET = 18
"""Of all operators: ONNX Runtime knows it since 1.14, of early 2023."""


def onnx_program(
    network: nn.Module, inputs: Mapping[str, Tensor], output: str, most: int = 1024
) -> Any:
    """What torch's exporter makes of a network; its `save` writes the file.

    Args:
        network: takes the first input, and the others, if there are any, as `*beside`.
        inputs: names, and examples of two or more tiles: torch makes a constant of one.
        output: the name of what the network returns.
        most: tiles in a batch while it is traced; the file itself sets no limit.
    """
    shape = {0: torch.export.Dim("batch", min=1, max=most)}
    beside = tuple(shape for _ in range(len(inputs) - 1))
    with silenced():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(shape, beside) if beside else (shape,),
            input_names=[*inputs],
            output_names=[output],
            verbose=False,
        )
    assert program is not None
    return program
