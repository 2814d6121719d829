"""Whatever operation of the system fails, nothing of before is lost, and the command goes on.

For each command that writes, its n-th open, write, fsync, rename, mkdir, link or truncation below
the folder ends with ENOSPC and with EIO: a few n here, every n under `make soak`; and a
kill in its place.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.detector import add_band, mark
from tests.helpers.faults import (
    COMMANDS,
    EAGER,
    KILL,
    NEEDED,
    SCORED,
    Commands,
    Ended,
    contents,
    failing_system,
)
from tests.helpers.soak import cases
from tests.helpers.sources import scene, write_image, write_pictures
from tests.helpers.tiles import key, world

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

ERRORS = {errno.ENOSPC: "No space left", errno.EIO: "Input/output error"}
KILLS = 300  # of each command under `make soak`
# Work in progress, from which the same command goes on; the tables of a command go together.
IN_PROGRESS = (
    ".part/",
    ".parts/",
    ".complete",
    ".p2phd1.next",
    "unfinished.json",
    "tiles.jsonl",
    ".earlier",
    "work/screen",
    "checkpoints",
    "heldout",
)
# The times of tiles that the command itself makes.
OF_THEIR_TIMES = "imported-work/screen/"
WEIGHTS = "runs/p2phd1/weights.safetensors"
BEFORE = {
    "pack": ["prepare other --holdout 2"],
    "import": ["export p2phd1 exported", "import exported/net_G.pth --as mine"],
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with failing_system(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture(scope="module")
def base(trained_once: Path, commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of every command, small enough to be copied hundreds of times."""
    root = tmp_path_factory.mktemp("base") / "root"
    shutil.copytree(trained_once, root, ignore=shutil.ignore_patterns("spade*"))
    world(root / "other", places=6, dates=1)
    for place in range(6):
        add_band(root / "other", key(place, 2), "B8", np.full((32, 32), 3000, np.uint16))
        mark(root / "other", key(place, 2), cloud=place)
    write_pictures(root / "pictures", places=3, test=1)
    write_image(root.parent / "scene.tif", scene(0, size=64)[0], corner=(500_000, 9_500_000))
    (root / "scene.tif").symlink_to(root.parent / "scene.tif")
    # Copies share the tiles, of which results hold the times.
    for name in ("data", "test", "truth", "other", "pictures"):
        (root / name).rename(root.parent / name)
        (root / name).symlink_to(root.parent / name)
    (root / "scores").mkdir()
    for line in (
        "pack",
        f"predict --ensemble p2phd1 --input test {' '.join(EAGER)}",
        "package --name mine --layout plain",
        f"score {SCORED}",
    ):
        done = commands.run(root, line.split())
        assert done.code == 0, done.told
    shutil.copytree(root / "map", root / "bundle" / "ref")
    (root / "bundle" / "res").mkdir()
    shutil.copy(root / "submissions" / "mine.zip", root / "bundle" / "res")
    return root


def differences(now: dict[str, bytes], *others: dict[str, bytes]) -> list[str]:
    """Files that are as in none of the others."""
    return [name for name, data in now.items() if all(data != x.get(name) for x in others)]


@dataclass(frozen=True)
class Trial:
    """A command in a folder that is as it was before, again and again."""

    commands: Commands
    arguments: list[str]
    start: Path
    work: Path
    count: int
    before: dict[str, bytes]
    after: dict[str, bytes]

    def run(self, at: int, error: int) -> Ended:
        """Run the command on a new copy, its operation number `at` failing."""
        shutil.rmtree(self.work)
        shutil.copytree(self.start, self.work, symlinks=True)
        return self.commands.run(self.work, self.arguments, at, error)

    def check_nothing_lost(self, case: str) -> None:
        """What was there is what it was, or what it is when the command has succeeded."""
        now = contents(self.work)
        # A run that is trained anew is kept aside until the new one has weights.
        has_new = now.get(WEIGHTS, b"") not in (b"", self.before.get(WEIGHTS))
        now |= {name.replace(".earlier/", ""): data for name, data in now.items()}
        lost = [name for name in self.before if name not in now and name in self.after]
        trained = [str(Path(WEIGHTS).parent)] if has_new else []
        assert not [name for name in lost if not name.startswith(("work/screen", *trained))], case
        strange = differences(now, self.before, self.after)
        in_progress = (*IN_PROGRESS, *trained)
        assert not [name for name in strange if not any(p in name for p in in_progress)], case

    def check_goes_on(self, case: str) -> None:
        """The same command ends as if nothing had happened, and leaves nothing over.

        Where it was killed when everything was there, it may say that it exists.
        """
        was_done = contents(self.work) == self.after
        again = self.commands.run(self.work, self.arguments)
        assert again.code == 0 or (was_done and again.code == 5), case + again.told
        strange = differences(contents(self.work), self.after)
        assert not [name for name in strange if not name.startswith(OF_THEIR_TIMES)], case
        assert not list(self.work.rglob(".*.part")), case


@pytest.fixture
def trial(commands: Commands, base: Path, tmp_path: Path, name: str) -> Trial:
    if name in NEEDED and find_spec(NEEDED[name]) is None:
        pytest.skip(f"needs {NEEDED[name]}")
    start, work = tmp_path / "start", tmp_path / "work"
    shutil.copytree(base, start, symlinks=True)
    for line in BEFORE.get(name, ()):
        assert commands.run(start, line.split()).code == 0
    shutil.copytree(start, work, symlinks=True)
    arguments = COMMANDS[name].split()
    whole = commands.run(work, arguments)
    assert whole.code == 0 and whole.count, whole.told
    return Trial(commands, arguments, start, work, whole.count, contents(start), contents(work))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_nth_operation_fails(trial: Trial, name: str) -> None:
    every = [(n, error) for n in range(1, trial.count + 1) for error in ERRORS]
    for n, error in cases(f"faults-{name}", every, few=1):
        ended = trial.run(n, error)
        case = f"{name}, operation {n} ({ended.failed}) with {ERRORS[error]}: {ended.told}"
        assert ended.code in (0, 5), case
        if ended.code:
            # OpenVINO does not say why.
            told = "cannot be written" if name == "engine" else ERRORS[error]
            assert told in ended.told and "Traceback" not in ended.told, case
        trial.check_nothing_lost(case)
        assert not list(trial.work.rglob(".*.part")), case
        if ended.code:
            trial.check_goes_on(case)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_the_nth_operation(trial: Trial, name: str) -> None:
    every = range(1, trial.count + 1)
    for n in cases(f"kills-{name}", every, few=1, most=KILLS):
        ended = trial.run(n, KILL)
        case = f"{name}, killed before operation {n}: {ended.told}"
        trial.check_nothing_lost(case)
        trial.check_goes_on(case)
