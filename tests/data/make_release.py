"""Make `kit-VERSION.tar.xz`: what this version of the kit writes of a small world.

Run at each release, with the released code checked out and installed, and commit the archive that
appears beside this file; `tests/reliability/test_earlier_versions.py` reads it ever after:

    python tests/data/make_release.py

The tiles are not in the archive, as the test makes them again: work has a pack. The run of p2phd1
has a discriminator and was interrupted amid its second epoch. Of the run of spade4 only the
configuration and the metrics are kept: weights of SPADE are too large for a repository.
"""

import argparse
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import kit  # noqa: E402
from kit.engines.request import Request  # noqa: E402
from kit.pairs.pack import pack  # noqa: E402
from kit.storage.files import RUNS, SUBMISSIONS, WORK  # noqa: E402
from kit.submission.server_score import log  # noqa: E402
from kit.variants.settings import Variant  # noqa: E402
from tests.helpers.tiles import key, optical, radar, world  # noqa: E402

SETTINGS = {
    "width": 1, "discriminator_width": 1, "batch": 2, "crop": 32, "epochs": 1, "decay_epochs": 1,
    "gan": 1.0, "l1": 100.0, "lr": 0.002, "discriminator_lr": 0.002, "precision": "float32",
}  # fmt: skip
KEPT = ("work", "runs", "engines", "predictions", "submissions")


def main() -> None:
    """Make the world in a folder of a name that says nothing of the machine, and pack it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/data/multiearth"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True)
    os.chdir(folder)
    make()
    target = ROOT / "tests" / "data" / f"kit-{kit.__version__}.tar.xz"
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name in KEPT:
            archive.add(name, filter=_anonymous)
    os.chdir(ROOT)
    shutil.rmtree(folder)


def make() -> None:
    """Every artefact of a run from tiles to the log of submissions, in the current folder."""
    world(Path("data"), places=8, dates=1)
    for place in (40, 41):
        radar(Path("test"), key(place))
        optical(Path("truth"), key(place, 1))
    kit.prepare("data", holdout=1)
    pack(WORK)
    _interrupted(kit.variant("spade4", **SETTINGS))
    for path in (RUNS / "spade4").iterdir():
        if path.name not in ("config.json", "pairs.json", "metrics.jsonl"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _interrupted(kit.variant("p2phd1", **SETTINGS))
    kit.predict("p2phd1", "test", request=Request("openvino", "float32"))
    kit.package(layout="plain", name="p2phd1", truth="truth")
    log(SUBMISSIONS, "p2phd1", 0.03)


def _interrupted(variant: Variant) -> None:
    def watch(record: dict[str, object]) -> None:
        if "holdout_mae" in record:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        kit.train(variant, watch=watch)
    except KeyboardInterrupt:
        return
    raise AssertionError(f"{variant.name} was not interrupted")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(entry.name).name.startswith("."):  # locks, and what is half written
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
