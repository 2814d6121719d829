"""What a training leaves behind, compared."""

from pathlib import Path

from kit.runs.lines import read_from
from kit.runs.tensors import TensorFile
from kit.training.checkpoint import checkpoints

TIMES = ("images_per_s", "validation_s")


def records(run: Path) -> list[dict]:
    return read_from(run / "metrics.jsonl")


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, averaged weights, optimisers and metrics are the same, bit for bit."""
    last, too = (checkpoints(run / "checkpoints")[0] for run in (one, other))
    assert last.name == too.name
    for file in sorted(path.name for path in last.glob("*.safetensors")):
        assert (last / file).read_bytes() == (too / file).read_bytes(), file
    for file in ("last.safetensors", "weights.safetensors"):
        first, second = (TensorFile(run / file, str) for run in (one, other))
        assert first.sha256 == second.sha256, file
    rows, others = (
        [{k: v for k, v in row.items() if k not in TIMES} for row in records(run)]
        for run in (one, other)
    )
    assert rows == others
