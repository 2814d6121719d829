"""A command that fails leaves the artefacts of before as they were, whatever makes it fail."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from kit.cli.main import app, main
from tests.helpers.faults import (
    COMMANDS,
    EAGER,
    OF_OTHERS,
    SCORED,
    SETTINGS,
    WRITE_NOTHING,
    contents,
)
from tests.helpers.tiles import world

pytestmark = pytest.mark.xdist_group("failures")

Break = Callable[[], object]
PREDICT = f"predict --ensemble p2phd1 {' '.join(EAGER)}"
PACKAGE = "package --name mine --layout"
TRAIN = "train p2phd1 --overwrite"
BROKEN = "other/*/*.tiff"


def nothing() -> None:
    """The command itself is wrong."""


def remove(folder: str) -> Break:
    return lambda: shutil.rmtree(folder)


def cut(pattern: str) -> Break:
    def cut_all() -> None:
        for path in Path().glob(pattern):
            path.write_bytes(path.read_bytes()[:100])

    return cut_all


def list_others() -> None:
    Path("files.json").write_text('["translation/-50.00_-3.00_2020_01_01.tiff"]')


def prepare_and_cut() -> None:
    assert kit("prepare other") == 0
    cut(BROKEN)()


FAILURES: dict[str, tuple[Break, str]] = {
    "screen: no such folder": (nothing, "screen nowhere"),
    "screen: no tile is readable": (cut(BROKEN), "screen other --sheet s.png"),
    "prepare: no such folder": (nothing, "prepare nowhere"),
    "prepare: no optical scene": (remove("other/sent2"), "prepare other"),
    "prepare: no radar scene": (remove("other/sent1"), "prepare other"),
    "prepare: no tile is readable": (cut(BROKEN), "prepare other"),
    "prepare: an option": (nothing, "prepare other --threshold 7"),
    "pack: a tile is damaged": (prepare_and_cut, "pack"),
    "pack: a damaged table": (cut("work/pairs.parquet"), "pack"),
    "train: other settings": (nothing, "train p2phd1 --set width=4"),
    "train: no memory": (nothing, f"{TRAIN} --set width=9000000"),
    "train: a damaged table": (cut("work/pairs.parquet"), TRAIN),
    "train: a damaged pack": (cut("work/pack/*.npy"), f"{TRAIN} {' '.join(SETTINGS)}"),
    "train: no such variant": (nothing, "train spade9 --overwrite"),
    "predict: no tiles": (nothing, f"{PREDICT} --input nowhere --overwrite"),
    "predict: other tiles": (nothing, f"{PREDICT} --input other"),
    "predict: no tile is readable": (cut(BROKEN), f"{PREDICT} --input other --overwrite"),
    "predict: damaged weights": (
        cut("runs/p2phd1/weights.safetensors"),
        f"{PREDICT} --input other --overwrite",
    ),
    "compile: not trained": (nothing, "compile spade1"),
    "package: exists": (nothing, f"{PACKAGE} plain"),
    "package: rejected by the server": (nothing, f"{PACKAGE} 2022 --overwrite"),
    "package: other names": (list_others, f"{PACKAGE} 2022 --overwrite --expected files.json"),
    "package: a damaged image": (cut("predictions/p2phd1/*.npy"), f"{PACKAGE} plain --overwrite"),
    "score: no truth": (nothing, "score submissions/mine.zip nowhere --sheet s.png"),
    "score: damaged truths": (cut("truth/sent2/*.tiff"), f"score {SCORED}"),
    "score: a damaged archive": (cut("submissions/mine.zip"), f"score {SCORED}"),
    "log: no such archive": (nothing, "log other --leaderboard 0.05"),
    "reproduce: exists": (nothing, "reproduce submissions/mine.json --out s.png"),
    "simulate: exists": (nothing, "simulate data --places 1"),
    "export: exists": (nothing, "export p2phd1 exported"),
    "import: no weights": (nothing, "import s.png --as p2phd1 --overwrite"),
}


def kit(line: str) -> int:
    """Run a command in this process; its exit code."""
    sys.argv = ["kit", *line.split(), "--quiet"]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


@pytest.fixture(scope="module")
def base(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with results of every command."""
    root = tmp_path_factory.mktemp("base") / "root"
    shutil.copytree(trained_once, root, ignore=shutil.ignore_patterns("spade*"))
    before, arguments = Path.cwd(), sys.argv
    os.chdir(root)
    world(root / "other", places=6, dates=1)
    for line in (
        "pack",
        f"{PREDICT} --input test",
        f"{PACKAGE} plain",
        f"score {SCORED}",
        "export p2phd1 exported",
    ):
        assert kit(line) == 0, line
    yield root
    os.chdir(before)
    sys.argv = arguments


def test_every_command_that_writes_is_among_those_that_are_made_to_fail() -> None:
    tried = {line.split()[0] for line in COMMANDS.values()}
    assert not tried & (WRITE_NOTHING | OF_OTHERS)
    assert tried | WRITE_NOTHING | OF_OTHERS == {*get_command(app).commands}  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_nothing_of_before_is_touched(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    break_something, line = FAILURES[failure]
    shutil.copytree(base, tmp_path / "root")
    monkeypatch.chdir(tmp_path / "root")
    break_something()
    before = contents(Path())
    assert kit(line) in (2, 3, 4, 5)
    now = contents(Path())
    assert [name for name, data in before.items() if now.get(name) != data] == []
    added = {name for name in now.keys() - before.keys() if not name.startswith("work/screen/")}
    assert added <= {"work/failed.csv"}
