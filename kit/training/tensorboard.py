"""Training curves for TensorBoard, an extra.

In: records of metrics. Out: the event files that `tensorboard --logdir runs` shows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.folder import TENSORBOARD


def tensorboard_writer(folder: Path) -> Callable[[dict[str, Any]], None]:
    """A function that writes a record of `metrics.jsonl` to `folder/tensorboard`.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        remedy = "pip install 'sar-to-optical-kit[tensorboard]'"
        raise InputError("--tensorboard", "TensorBoard is not installed", remedy=remedy) from None
    writer: Any = None

    def write(record: dict[str, Any]) -> None:
        nonlocal writer
        # Points of steps that a kill undid are hidden from where this run resumes.
        writer = writer or SummaryWriter(str(folder / TENSORBOARD), purge_step=record["step"])
        for name, value in record.items():
            if isinstance(value, float):
                writer.add_scalar(name, value, record["step"])
        writer.flush()

    return write
