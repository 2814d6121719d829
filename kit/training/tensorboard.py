"""TensorBoard, for who likes to watch curves; an extra.

In: records of metrics. Out: the event files that `tensorboard --logdir runs` shows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.errors import InputError


def board(folder: Path) -> Callable[[dict[str, Any]], None]:
    """What writes a record of `metrics.jsonl` to `folder/tensorboard`.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard", "TensorBoard is not installed",
            remedy="pip install 'sar-to-optical-kit[tensorboard]'",
        ) from None  # fmt: skip
    writer: Any = None

    def write(record: dict[str, Any]) -> None:
        nonlocal writer
        # Curves that a kill left too long are cut where this run goes on.
        writer = writer or SummaryWriter(str(folder / "tensorboard"), purge_step=record["step"])
        for name, value in record.items():
            if isinstance(value, float):
                writer.add_scalar(name, value, record["step"])
        writer.flush()

    return write
