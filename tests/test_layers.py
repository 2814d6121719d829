"""The order of the house: a module imports only from those before it, so no cycle can arise."""

import ast
import subprocess
import sys
from pathlib import Path

import kit

ROOT = Path(kit.__file__).parent

ORDER = (
    "kit", "kit.errors", "kit.chunks", "kit.ncfile", "kit.ziprecords", "kit.files",
    "kit.netcdf", "kit.tiles", "kit.console", "kit.device", "kit.landcover", "kit.simulate",
    "kit.catalog", "kit.core", "kit.cloudrule", "kit.clouds", "kit.nodata", "kit.reader",
    "kit.measure", "kit.parts", "kit.cluster", "kit.screen", "kit.sheet", "kit.histogram",
    "kit.calibrate", "kit.borderline", "kit.pairs", "kit.prepare", "kit.shards", "kit.pack",
    "kit.metrics", "kit.scaling", "kit.source", "kit.dataset", "kit.variants", "kit.models.norms",
    "kit.models.convolution", "kit.models.padding", "kit.models.precision", "kit.models.spade",
    "kit.models.pix2pixhd", "kit.models.discriminator", "kit.models", "kit.models.published",
    "kit.models.folding", "kit.models.inference", "kit.models.subpixel", "kit.models.half",
    "kit.models.delicate", "kit.losses", "kit.weights", "kit.wish", "kit.engines.backend",
    "kit.engines.quiet", "kit.engines.eager", "kit.engines.openvino", "kit.engines.inductor",
    "kit.engines.nvidia",
    "kit.engines.tensorrt", "kit.engines.tensorrt_rtx", "kit.engines", "kit.engines.gate",
    "kit.engines.cache", "kit.engines.samples", "kit.engines.engine", "kit.engines.choose",
    "kit.validate", "kit.group", "kit.interrupt", "kit.average", "kit.adam",
    "kit.run", "kit.checkpoint", "kit.judge", "kit.pace", "kit.step", "kit.train", "kit.board",
    "kit.train_all", "kit.status",
    "kit.pipeline", "kit.job", "kit.predict", "kit.compile", "kit.ensemble",
    "kit.anchors", "kit.archive", "kit.provenance", "kit.truth", "kit.perscene",
    "kit.zipwriter", "kit.layout", "kit.check", "kit.score", "kit.mapping", "kit.gallery",
    "kit.codabench", "kit.package", "kit.leaderboard", "kit.reproduce", "kit.doctor",
    "kit.show", "kit.options", "kit.cli_train", "kit.cli_upload", "kit.cli", "kit.__main__",
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
    code = "import sys, kit.cli, kit.score, kit.check, kit.codabench, kit.package; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
