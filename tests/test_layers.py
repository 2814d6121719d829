"""The order of the house: a module imports only from those before it, so no cycle can arise."""

import ast
import subprocess
import sys
from pathlib import Path

import kit

ROOT = Path(kit.__file__).parent

ORDER = (
    "kit.archive", "kit.cli", "kit.engines", "kit.engines.backends", "kit.figures",
    "kit.models", "kit.models.layers", "kit.models.rewrites", "kit.pairs", "kit.prediction",
    "kit.runs", "kit.scoring", "kit.screening", "kit.simulation", "kit.submission", "kit.tiles",
    "kit.training", "kit", "kit.errors", "kit.tiles.hdf5_chunks", "kit.tiles.netcdf_file",
    "kit.archive.records", "kit.files", "kit.tiles.netcdf", "kit.tiles.tiff", "kit.cli.console",
    "kit.device", "kit.simulation.landcover", "kit.simulation.simulate", "kit.tiles.catalog",
    "kit.native", "kit.screening.rule", "kit.screening.counts", "kit.screening.nodata",
    "kit.tiles.reader", "kit.screening.measure", "kit.screening.store",
    "kit.screening.executor", "kit.screening.screen", "kit.figures.grid",
    "kit.figures.histogram", "kit.screening.sensitivity", "kit.screening.sheet",
    "kit.pairs.table", "kit.pairs.prepare", "kit.pairs.shards", "kit.pairs.pack", "kit.metrics",
    "kit.scaling", "kit.pairs.source", "kit.pairs.dataset", "kit.variants",
    "kit.models.layers.instance_norm", "kit.models.layers.convolution",
    "kit.models.layers.padding", "kit.models.layers.autocast", "kit.models.spade",
    "kit.models.pix2pixhd", "kit.models.discriminator", "kit.models.registry",
    "kit.models.published", "kit.models.rewrites.spectral_norm", "kit.models.rewrites.fuse",
    "kit.models.rewrites.subpixel", "kit.models.rewrites.half", "kit.models.rewrites.sensitive",
    "kit.training.losses", "kit.runs.weights", "kit.engines.request", "kit.engines.backend",
    "kit.engines.backends.quiet", "kit.engines.backends.eager", "kit.engines.backends.openvino",
    "kit.engines.backends.inductor", "kit.engines.backends.nvidia",
    "kit.engines.backends.tensorrt", "kit.engines.backends.tensorrt_rtx",
    "kit.engines.registry", "kit.engines.accuracy", "kit.engines.cache",
    "kit.engines.calibration", "kit.engines.engine", "kit.engines.choose",
    "kit.training.validate", "kit.distributed", "kit.training.signals", "kit.training.ema",
    "kit.training.adam", "kit.runs.folder", "kit.training.checkpoint", "kit.training.validator",
    "kit.training.eta", "kit.training.step", "kit.training.train", "kit.training.tensorboard",
    "kit.training.train_all", "kit.runs.status", "kit.prediction.pipeline",
    "kit.prediction.member_job", "kit.prediction.predict", "kit.engines.compile",
    "kit.prediction.members", "kit.prediction.anchors", "kit.archive.reader",
    "kit.archive.manifest", "kit.scoring.truth", "kit.scoring.images", "kit.archive.writer",
    "kit.archive.layout", "kit.archive.check", "kit.scoring.score", "kit.archive.mapping",
    "kit.scoring.sheet", "kit.scoring.codabench", "kit.submission.package",
    "kit.submission.leaderboard", "kit.submission.reproduce", "kit.cli.doctor", "kit.cli.show",
    "kit.cli.options", "kit.cli.training", "kit.cli.submission", "kit.cli.main", "kit.__main__",
)  # fmt: skip


def name_of(path: Path) -> str:
    parts = ("kit", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in ORDER else node.module for name in inner}
    return {name for name in found if name.split(".")[0] == "kit"}


def modules() -> dict[str, set[str]]:
    return {name_of(path): imports_of(path) for path in ROOT.rglob("*.py")}


def test_every_module_has_its_place() -> None:
    assert sorted(modules()) == sorted(ORDER)


def test_imports_point_backwards() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in modules().items()
        for other in others
        if ORDER.index(other) >= ORDER.index(name)
    ]
    assert not wrong


def test_nothing_is_pickled() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text and "torch.load" not in text, path


def test_files_stay_comfortable() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_scoring_does_without_torch() -> None:
    """Which alone takes seconds to import; a scorer refuses a wrong archive in less."""
    code = "import sys, kit.cli.main, kit.scoring.score, kit.archive.check, "
    code += "kit.scoring.codabench, kit.submission.package; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
