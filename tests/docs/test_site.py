"""The site of the documentation: it builds, every link leads somewhere, every page is reached."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kit

pytest.importorskip("sphinx", reason="needs the extra docs")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# The environment is that of the tests, which make must not set up again.
MAKE = ("make", f"--directory={ROOT}", "INSTALLED=", f"BIN={BIN}")


@pytest.mark.slow
def test_make_docs_builds_a_site_that_has_every_command(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run([*MAKE, "docs", f"SITE={site}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    shown = subprocess.run([BIN / "kit", "--help"], capture_output=True, text=True, check=True)
    commands = [
        line.split()[0] for line in shown.stdout.partition("Commands:")[2].split("\n")[1:-1]
    ]
    assert (
        len(commands) > 15 and [name for name in commands if f'id="kit-{name}"' not in page] == []
    )


@pytest.mark.slow
def test_links_to_nothing_and_a_page_that_nobody_reaches_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "tests/test_layers.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "docs" / "alone.md").write_text("# Alone\n")
    with (tmp_path / "README.md").open("a") as file:
        file.write("\n[one](docs/nothing.md) [two](docs/benchmarks.md#no-such) [three](NOTHING)\n")
    build = [BIN / "sphinx-build", "--fail-on-warning", "--keep-going", "--quiet"]
    folders = [tmp_path / "docs", tmp_path / "site"]
    done = subprocess.run([*build, *folders], capture_output=True, text=True)
    assert done.returncode == 1
    for words in ("alone.md: WARNING", "'nothing.md'", "'no-such'", "'NOTHING'"):
        assert words in done.stderr, words


def test_the_readme_is_short_and_says_its_limits_first() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert any("has been run on a GPU" in line for line in lines[:20])


def test_the_architecture_has_a_line_for_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.name for path in Path(kit.__file__).parent.iterdir() if any(path.glob("*.py"))]
    assert [room for room in rooms if f"`kit/{room}/`" not in text] == []
