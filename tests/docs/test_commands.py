"""README and docs as a reader uses them: what they say to type works.

Every line of every `sh` block, and every `python` block, is run in the order of its page, in a
folder where README has been followed to its end, with tiny networks on a small made world. A block
that a test machine cannot run has the comment `<!-- not run: REASON -->` on the line above it.
"""

import json
import os
import pkgutil
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from tests.helpers.netcdf import write_netcdf
from tests.helpers.sources import (
    write_bigearthnet,
    write_pictures,
    write_sen12ms,
    write_sites,
)

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"```(\S*)")
MARK = re.compile(r"<!-- not run: (\S.*) -->")
# Languages of blocks that are run, written to a file that their first line names, and only shown.
RUN, WRITTEN, SHOWN = ("sh", "python"), ("toml", "yaml"), ("text", "{toctree}")
# Commands that run until they are stopped.
SERVERS = ("dask scheduler", "dask worker")
# Options of other programs that a sentence names.
FOREIGN = ("--signal", "--requeue", "--help")

TINY = (
    "width=2", "discriminator_width=2", "batch=4", "crop=32", "epochs=1", "decay_epochs=0",
    "validations=1",
)  # fmt: skip
SETTINGS = " ".join(f"--set {setting}" for setting in TINY)
PLAN = r"""[plan]
hours = 1.0
machine = "of the tests"
pairs = 25
measure = "mae"
folds = 1
all_pairs = false
flips = 1
pack = false
gpus = 0
[[train]]
variant = "p2phd2"
settings = { width = 2, batch = 4, crop = 32, epochs = 1, decay_epochs = 0 }
[[train]]
variant = "nafnet1"
settings = { width = 2, batch = 4, crop = 32, epochs = 1, decay_epochs = 0 }
"""
(SCRIPT,) = entry_points(group="console_scripts", name="kit")
BIN = Path(sys.executable).parent
# The environment is that of the tests, which make must not set up again.
MAKE = f"make --file={ROOT / 'Makefile'} INSTALLED= BIN={BIN}"
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]
# What stands in for a reader's data and hardware, in order.
SUBSTITUTIONS = (
    (r"\bDATA\b", "tiles/train"),
    (r"\bTEST\b", "tiles/test"),
    (r"\bTRUTH\b", "tiles/truth"),
    (r"^dask scheduler", rf"\g<0> --port {PORT} --no-dashboard"),
    (r"tcp://host:8786", f"tcp://127.0.0.1:{PORT}"),
    (r"--nproc-per-node 8", "--nproc-per-node 2"),
    (r"\bkit (train|train-all)\b[^#]*", rf"\g<0> {SETTINGS} "),
    (r"\bkit compile (?!.*--(?:backend|export))", r"\g<0>--backend openvino --precision float32 "),
    # Small tiles, which the servers would reject.
    (r"--layout 202[23]", "--layout plain"),
    (r"\bkit simulate\b", r"\g<0> --size 64"),
    (r"\bkit (package|check) (?!.*--layout)", r"\g<0>--layout plain "),
    (r"\bkit\.package\(", r'\g<0>layout="plain", '),
    (r"^make train-all", f'{MAKE} train-all ARGS="{SETTINGS}"'),
    # With a plan that is there already: what is measured depends on the machine.
    (r"^make demo", f"mkdir -p demo && printf {shlex.quote(PLAN)} > demo/plan.toml && {MAKE} demo "
     'WORLD="--places 32 --dates 1 --test-places 1"'),
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `reason` is why it is not run."""

    page: str
    number: int
    language: str
    text: str
    reason: str | None

    def lines(self) -> Iterator[str]:
        """The commands of a shell block, continued lines joined."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: a mark without a block, or a block without an end.
    """
    found = []
    lines = enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1)
    reason = None
    for number, line in lines:
        if fence := FENCE.match(line.lstrip()):
            content = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                content.append(inner)
            else:
                raise ValueError(f"{page}:{number}: a block without an end")
            found.append(Block(page, number, fence[1], "\n".join(content), reason))
            reason = None
        elif reason:
            raise ValueError(f"{page}:{number}: 'not run' is not above a block")
        elif mark := MARK.match(line):
            reason = mark[1]
    return found


def start(line: str, world: Path) -> subprocess.Popen[str]:
    """Start a line in a shell, in which the environment of these tests is active."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=world,
        env=environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def await_dask(line: str) -> None:
    """Wait for the scheduler or the worker that `line` has started, a minute at most."""
    from distributed import Client

    with Client(f"tcp://127.0.0.1:{PORT}", timeout=60) as client:
        if line.startswith("dask worker"):
            client.wait_for_workers(1, timeout=60)


def run(line: str, world: Path, where: str = "before") -> None:
    """Run a line to its end, which must be a good one."""
    began = time.perf_counter()
    if line.startswith("kit "):
        code, said = run_kit(shlex.split(line, comments=True), world), ""
    else:
        process = start(line, world)
        try:
            said, _ = process.communicate(timeout=600)
        finally:
            stop(process)
        code = process.returncode
    print(f"{time.perf_counter() - began:6.1f} s  {line}")
    assert code == 0, f"{where}: {line}\n{said[-5000:]}"


def run_kit(words: list[str], world: Path) -> int:
    """Run `kit ...` in this process, which has imported torch already; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            SCRIPT.load()()
    return int(end.value.code or 0)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def commands_of(page: str) -> list[Block]:
    """The blocks of a page that are run."""
    return [block for block in blocks_of(page) if block.language in RUN and not block.reason]


def substituted(line: str) -> str:
    """A line with what stands in for the reader's data and hardware."""
    for pattern, there in SUBSTITUTIONS:
        line = re.sub(pattern, there, line)
    return line


def follow(page: str, world: Path) -> None:
    """Run every block of a page that is not marked, and write the files that it shows."""
    servers = []
    try:
        for block in blocks_of(page):
            where = f"{page}:{block.number}"
            if block.language in WRITTEN and (name := re.match(r"# (\S+\.\w+)", block.text)):
                (world / name[1]).parent.mkdir(parents=True, exist_ok=True)
                (world / name[1]).write_text(block.text)
            elif block.language == "python" and not block.reason:
                run(f"python -c {shlex.quote(substituted(block.text))}", world, where)
            elif block.language == "sh" and not block.reason:
                for line in map(substituted, block.lines()):
                    if line.startswith(SERVERS):
                        servers.append(start(line, world))
                        await_dask(line)
                    else:
                        run(line, world, where)
    finally:
        for server in servers:
            stop(server)


@pytest.fixture(scope="session")
def readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a reader has followed README."""
    world = tmp_path_factory.mktemp("docs") / "world"
    world.mkdir()
    run("kit simulate tiles --places 20 --dates 2 --test-places 2 --size 64", world)
    scenes = {path.name.split("_", 2)[2] for path in (world / "tiles" / "test").rglob("*_VV_*")}
    names = [f"images/Sentinel2_{Path(scene).stem}.tiff" for scene in sorted(scenes)]
    (world / "files.json").write_text(json.dumps(names))
    follow("README.md", world)
    return world


@pytest.fixture
def world(readme: Path) -> Iterator[Path]:
    """That folder, put back in place afterwards: predictions know where their tiles are."""
    kept = shutil.copytree(readme, readme.with_name("kept"))
    yield readme
    shutil.rmtree(readme)
    kept.rename(readme)


def of_2023(world: Path) -> None:
    """Put the tiles into `.nc` files, for a reader who has predicted and packaged no TIFFs."""
    for sensor in ("Sentinel1", "Sentinel2"):
        write_netcdf(world / "tiles" / "train", world / "DATA_2023" / f"{sensor}.nc", sensor)
    write_netcdf(world / "tiles" / "test", world / "tiles" / "test.nc", "Sentinel1")
    write_netcdf(world / "tiles" / "truth", world / "tiles" / "truth.nc", "Sentinel2")
    for name in ("predictions", "submissions"):
        shutil.rmtree(world / name)


def of_source(write: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put images of another layout there, for a reader who has nothing else."""

    def prepare(world: Path) -> None:
        for name in ("work", "runs", "predictions", "submissions"):
            shutil.rmtree(world / name, ignore_errors=True)
        write(world)

    return prepare


BEFORE = {
    "docs/how-to/netcdf.md": of_2023,
    "docs/how-to/source-pairs.md": of_source(
        lambda world: write_pictures(world / "PICTURES", 12, 2, 64)
    ),
    "docs/how-to/source-sen12ms.md": of_source(
        lambda world: write_sen12ms(world / "SEN12MS", 2, scenes=range(1, 7))
    ),
    "docs/how-to/source-bigearthnet.md": of_source(
        lambda world: write_bigearthnet(world / "BigEarthNet", 8, 2)
    ),
    "docs/how-to/source-own.md": of_source(lambda world: write_sites(world / "SITES")),
}


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)])
def test_every_command_of_a_page_works(page: str, world: Path) -> None:
    if page != "README.md":
        BEFORE.get(page, lambda world: None)(world)
        follow(page, world)


def test_no_block_is_left_out() -> None:
    """What is neither run, nor written to a file, nor marked, is no command."""
    for page in PAGES:
        for block in blocks_of(page):
            where = f"{page}:{block.number}"
            assert block.language in (*RUN, *WRITTEN, *SHOWN), f"{where}: name the language"
            assert block.language in RUN or block.reason is None, f"{where}: nothing to run"
            if block.language in SHOWN and "[OPTIONS]" not in block.text:
                commands = [line for line in block.text.splitlines() if _is_command(line)]
                assert not commands, f"{where}: a command in a block that is not run: {commands}"


def code_in_sentences(page: str) -> list[str]:
    """What stands between backticks outside of blocks."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def test_commands_in_a_sentence_exist_with_their_options() -> None:
    known = options_of_commands()
    every = set().union(*known.values(), FOREIGN)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = []
    for page in PAGES:
        for text in code_in_sentences(page):
            program, *words = text.split()
            if program == "kit" and words and words[0] != "COMMAND":
                given = {word.partition("=")[0] for word in words if word.startswith("--")}
                right = words[0] in known and given <= known[words[0]] | {"--help"}
            elif program == "make" and words:
                right = words[0] in targets
            else:
                right = not program.startswith("--") or program in every
            if not right:
                wrong.append(f"{page}: {text}")
    assert not wrong


def test_files_and_python_names_in_a_sentence_exist() -> None:
    """Those of the changelog are of their time."""
    wrong = []
    for page in set(PAGES) - {"CHANGELOG.md"}:
        for text in code_in_sentences(page):
            if re.match(r"(kit|docs|tests|ext|bench)/[^<]*$", text):
                right = (ROOT / text).exists()
            elif re.fullmatch(r"kit(\.\w+)+(\(\))?", text):
                right = _resolves(text.removesuffix("()"))
            else:
                right = True
            if not right:
                wrong.append(f"{page}: {text}")
    assert not wrong


def options_of_commands() -> dict[str, set[str]]:
    """Every command of `kit` and the options it takes."""
    group = typer.main.get_command(SCRIPT.load().__globals__["app"])
    commands = group.commands | {"--version": group}
    return {
        name: {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, command in commands.items()
    }


def _is_command(line: str) -> bool:
    program = line.removeprefix("$ ").split(" ")[0]
    return program in ("kit", "make", "torchrun", "pip", "dask", "srun", "sbatch")


def _resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
