"""The rooms of the house: which folder may import which, no circle, no long chain."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import kit

pytestmark = pytest.mark.xdist_group("layers")

ROOT = Path(kit.__file__).parent

# What each folder of kit/ may import beside itself and the files of kit/ itself, which are "". The
# first four are what everything stands on, and may be imported by all others.
GROUND = {"", "storage", "machine", "variants"}
RULES: dict[str, set[str]] = {
    "": set(),
    "storage": set(),
    "machine": {"storage"},
    "variants": {"storage"},
    "tiles": set(),
    "figures": set(),
    "simulation": {"tiles"},
    "models": set(),
    "screening": {"tiles", "figures"},
    "sources": {"tiles"},
    "pairs": {"sources", "screening", "tiles"},
    "inputs": {"pairs", "tiles"},
    "runs": {"inputs", "models", "pairs", "screening", "sources", "tiles"},
    "training": {"runs", "inputs", "pairs", "models", "figures", "tiles"},
    "engines": {"runs", "inputs", "pairs", "models", "sources", "tiles"},
    "prediction": {"engines", "runs", "inputs", "models", "pairs", "sources", "tiles"},
    "translation": {"prediction", "engines", "runs", "inputs", "models", "sources", "tiles"},
    "fitting": {"prediction", "training", "runs", "pairs"},
    "archive": {"prediction", "tiles"},
    "scoring": {"archive", "prediction", "pairs", "screening", "tiles", "figures"},
    "showing": {
        "scoring",
        "sources",
        "prediction",
        "runs",
        "inputs",
        "pairs",
        "models",
        "screening",
        "tiles",
        "figures",
    },
    "submission": {"scoring", "archive", "prediction", "runs", "pairs", "tiles"},
    "comparison": {
        "fitting",
        "training",
        "prediction",
        "submission",
        "scoring",
        "archive",
        "runs",
    },
    "verification": {
        "translation",
        "submission",
        "training",
        "engines",
        "archive",
        "prediction",
        "runs",
        "pairs",
        "screening",
        "sources",
        "tiles",
    },
    "reporting": {
        "submission",
        "archive",
        "training",
        "prediction",
        "runs",
        "pairs",
        "screening",
        "tiles",
        "figures",
    },
    "planning": {
        "archive",
        "fitting",
        "training",
        "prediction",
        "runs",
        "inputs",
        "models",
        "pairs",
        "screening",
        "sources",
        "tiles",
    },
    "cli": {"*"},
}
LONGEST_CHAIN = 14


def name_of(path: Path) -> str:
    parts = ("kit", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, set[str]]:
    """Each module, and the modules that it imports anywhere in its code.

    The names of the package itself are imported when they are used, so it counts for none.
    """
    paths = {name_of(path): path for path in ROOT.rglob("*.py")}
    return {n: set() if n == "kit" else _imports(path, paths) for n, path in paths.items()}


def _imports(path: Path, known: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in inner}
    return {name for name in found if name in known}


def room(module: str) -> str:
    """The folder of kit/ that a module lies in; "" for a file of kit/ itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else ""


def test_every_folder_has_its_rule() -> None:
    assert {room(name) for name in modules()} == set(RULES)


def test_folders_import_what_their_rule_admits() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in modules().items()
        for other in others
        if room(other) not in _admitted(room(name)) and name != "kit.__main__"
    ]
    assert not wrong


def _admitted(folder: str) -> set[str]:
    """The folders that the modules of one may import."""
    if "*" in RULES[folder]:
        return {*RULES}
    ground = {""} if folder in GROUND else GROUND
    return {folder} | RULES[folder] | ground


def test_nothing_imports_the_command_line() -> None:
    for name, others in modules().items():
        if room(name) != "cli" and name != "kit.__main__":
            assert not {other for other in others if room(other) == "cli"}, name


def test_imports_make_no_circle_and_no_long_chain() -> None:
    depth: dict[str, int] = {}

    def visit(name: str, above: tuple[str, ...]) -> int:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in depth:
            depth[name] = 1 + max((visit(o, (*above, name)) for o in modules()[name]), default=0)
        return depth[name]

    longest = max(visit(name, ()) for name in modules())
    assert longest <= LONGEST_CHAIN


def test_packages_are_empty() -> None:
    inits = [path for path in ROOT.rglob("__init__.py") if path.parent != ROOT]
    assert inits and all(path.read_bytes() == b"" for path in inits)


def test_nothing_is_pickled() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        # Published weights come as torch.save wrote them; tensors alone are read from those.
        loads = re.findall(r"torch\.load\(.*", text)
        safe = path.stem == "import_weights" and all("weights_only=True" in each for each in loads)
        assert safe or not loads, path
        text = text.replace("from pickle import UnpicklingError\n", "")
        assert not re.search(r"(import|from) (pickle|dill|joblib|shelve)\b", text), path
        assert "allow_pickle=True" not in text, path


def test_files_stay_comfortable() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {path: n for path, n in lengths.items() if n > 350} == {}


def test_what_takes_long_to_import_is_imported_where_it_is_used() -> None:
    """Of `kit --help`, and of a shell that completes a command, it would take most of the time."""
    imports = {
        "kit": ("kit.",),
        "kit.cli.main": ("torch", "pyarrow", "rasterio"),
        # A scorer refuses a wrong archive in less time than torch takes to import.
        "kit.scoring.score, kit.archive.check, kit.scoring.codabench, kit.submission.package": (
            "torch",
        ),
        "kit.prediction.predict": ("torch._dynamo",),  # torch's compiler, which takes a second
    }
    code = ["import sys"]
    for modules, without in imports.items():
        code += [
            f"import {modules}",
            f"found = [n for n in sys.modules if n.startswith({without})]",
        ]
        code += [f"if found: sys.exit('{modules} imports ' + found[0])"]
    command = [sys.executable, "-c", "\n".join(code)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
