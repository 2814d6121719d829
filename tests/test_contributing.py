"""The recipes of CONTRIBUTING.md: a new row in one table must not break another place.

Each recipe is followed twice: in this process, to see that the new thing arrives everywhere; and in
a copy of the kit, as a contributor would, whose linter, type checker and tests must pass.
"""

import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from kit import metrics
from kit.cli import scores, training, validation
from kit.cli.variants import show_variants
from kit.engines.request import Request
from kit.metrics import Image, Measure, Valid
from kit.models.registry import build_discriminator
from kit.prediction.predict import predict
from kit.runs.records import read_records
from kit.scoring.error_table import write_images
from kit.submission.leaderboard import leaderboard
from kit.submission.package import package
from kit.training.losses import discriminator_loss, generator_loss
from kit.training.train import train
from kit.training.validate import validate
from kit.variants import registry as variants
from tests.helpers.variants import tiny

ROOT = Path(__file__).parents[1]


def test_a_new_variant_and_a_new_ensemble_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(variants.VARIANTS, "mine", replace(variants.SPADE2, name="mine"))
    monkeypatch.setitem(variants.ENSEMBLES, "ours", ("mine", "spade2"))
    show_variants()
    err = capsys.readouterr().err
    assert "mine" in err and "ours" in err
    assert variants.find_variant("mine").name == "mine"
    trained: list[str] = []
    monkeypatch.setattr(
        "kit.training.train_all.train_all", lambda names, **rest: trained.extend(names) or ()
    )
    training.train_all(None, None)
    assert trained == ["spade1", "spade2", "spade3", "p2phd1", "spade4"]  # the paper's alone
    monkeypatch.setitem(variants.SETS, "few", ("mine", "nafnet1"))
    trained.clear()
    training.train_all(["spade2", "few"], None)
    assert trained == ["spade2", "mine", "nafnet1"]
    assert variants.ensemble_members("ours") == ("mine", "spade2")


@pytest.mark.slow
def test_a_new_measure_reaches_training_validation_scores_log_and_leaderboard(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def largest(image: Image, truth: Image, valid: Valid | None = None) -> float:
        return float(np.abs(image - truth).max())

    monkeypatch.setitem(metrics.MEASURES, "largest", Measure("the largest error", largest))
    run = train(tiny("p2phd1", "name=mine", "decay_epochs=0"))
    assert any(record.get("holdout_largest", 0) > 0 for record in read_records(run.folder))
    rows = validate(["mine"])
    scored = [row for row in rows if not math.isnan(row.scores.mae)]
    assert all(0 < row.scores.others["largest"] <= 1 for row in scored)
    validation._show_validation(rows, "largest", Path("runs"))
    predict("mine", "test", request=Request("eager", "float32"))
    report = package(layout="plain", truth="truth").scores
    assert report and 0 < report.as_dict()["largest"] <= 1
    scores.show_report(report, explain=True)
    write_images(Path("images.parquet"), report.images)
    assert "largest" in pq.read_table("images.parquet").column_names
    standings = leaderboard(Path("submissions"))
    assert standings.rows[0].local["largest"] == report.as_dict()["largest"]
    assert [each.measure for each in standings.agreements].count("largest") == 1
    err = capsys.readouterr().err
    assert err.count("largest") >= 3 and "the largest error" in err


def test_a_new_model_with_a_gan_loss_gets_the_discriminator_of_pix2pixhd() -> None:
    object.__setattr__(new := replace(variants.SPADE1, width=2), "model", "mine")
    maps = build_discriminator(new)(torch.zeros(1, 2, 32, 32), torch.zeros(1, 3, 32, 32))
    expected = generator_loss("pix2pixhd", maps)
    assert generator_loss("mine", maps) == expected  # type: ignore[arg-type]
    assert torch.isfinite(discriminator_loss("mine", maps, maps))  # type: ignore[arg-type]


LINEAR = '''"""A generator of one convolution: what every other model must beat."""

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """RGB as a function of the radar of the same pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 3, 1)

    def forward(self, sar: Tensor) -> Tensor:
        """RGB [B, 3, H, W] of radar [B, 2, H, W], both in [-1, 1]."""
        return torch.tanh(self.convolution(sar))
'''
MEASURE = '''def largest(image: Image, truth: Image, valid: Valid | None = None) -> float:
    """Largest error of a channel of any pixel."""
    return float(np.abs(_difference(image, truth)).max())


'''
COMMAND = '''@app.command(epilog="Example: kit seconds 3")
def seconds(
    count: Annotated[int, typer.Argument(metavar="N", help="How many.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how long N seconds are."""
    console.start(json, quiet)({"seconds": count})


'''
# Files, a text that they hold once, and what a recipe writes in front of it.
RECIPES = (
    # a variant and an ensemble
    ("kit/variants/registry.py", "VARIANTS = {",
     'CLEAR2 = replace(SPADE2, name="clear2", dataset=2)\n\n'),
    ("kit/variants/registry.py", "\n    )\n}  # fmt", ", CLEAR2"),
    ("kit/variants/registry.py", '    "submission1": ("', '    "recipe": ("clear2", "p2phd1"),\n'),
    # a model
    ("kit/variants/settings.py", '"spade", "pix', '"linear", '),
    ("kit/models/registry.py", "from kit.models.naf", "from kit.models.linear import Linear\n"),
    ("kit/models/registry.py", "MODELS: dict",
     "def _linear(variant: Variant) -> nn.Module:\n    return Linear()\n\n\n"),
    ("kit/models/registry.py", '"pix2pixhd": _', '"linear": _linear, '),
    # a measure
    ("kit/metrics.py", "MEASURES = {", MEASURE),
    ("kit/metrics.py", '    "psnr": M', '    "largest": Measure("largest error", largest),\n'),
    # an engine
    ("kit/engines/registry.py", "eager, inductor", "double, "),
    ("kit/engines/registry.py", '    "eager": eager', '    "double": double,\n'),
    # a layout
    ("kit/archive/layout.py", '        Layout(\n            name="plain"',
     '        Layout(name="2024", root="s2", size=128, mapping="any", measure="mae"),\n'),
    # a command
    ("kit/cli/variants.py", "def show_variants", COMMAND),
)  # fmt: skip
TESTS = (
    "variants/test_registry.py", "test_metrics.py", "test_layers.py", "models/test_registry.py",
    "archive/test_layout.py", "engines/backends/test_inductor.py", "submission/test_log.py",
    "submission/test_leaderboard.py", "scoring/test_images.py", "cli/test_submission.py",
    "cli/test_main.py::test_variants_and_doctor",
    "cli/test_main.py::test_every_command_has_help_with_an_example",
)  # fmt: skip
# Without the import hook of an editable install, the copy is what is imported.
RUN = """
import sys; sys.path.insert(0, "."); import pytest
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in type(each).__module__]
sys.exit(pytest.main(["-q", "-m", "not slow", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_whoever_follows_every_recipe_finds_all_checks_green(tmp_path: Path) -> None:
    copied = ("kit", "tests", "bench", "docs", "ext", "pyproject.toml", "README.md", "Makefile")
    for name in copied:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    if (ROOT / ".mypy_cache").exists():  # saves a minute
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    for name, anchor, text in RECIPES:
        before = (tmp_path / name).read_text()
        assert before.count(anchor) == 1, f"{name} holds {before.count(anchor)} times: {anchor}"
        (tmp_path / name).write_text(before.replace(anchor, text + anchor))
    (tmp_path / "kit/models/linear.py").write_text(LINEAR)
    backends = tmp_path / "kit/engines/backends"
    (backends / "double.py").write_text((backends / "eager.py").read_text())
    tests = [f"tests/{name}" for name in TESTS]
    for command in (
        [sys.executable, "-m", "ruff", "format", "kit"],
        [sys.executable, "-m", "ruff", "check", "kit"],
        [sys.executable, "-m", "mypy", "kit"],
        [sys.executable, "-c", RUN, f"--basetemp={tmp_path / 'temporary'}", *tests],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
