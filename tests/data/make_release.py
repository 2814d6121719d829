"""Make `kit-VERSION.tar.xz`: what this version of the kit writes of a small world.

Run at each release, with the released code checked out and installed, and commit the archive that
appears beside this file; `tests/reliability/test_earlier_versions.py` reads it ever after:

    python tests/data/make_release.py

The tiles are not in the archive, as the test makes them again: work has a pack. The run of p2phd1
has a discriminator and was interrupted amid its second epoch. Of the run of spade4 only the
configuration and the metrics are kept: weights of SPADE are too large for a repository. `fitting`
has a run that more pairs were held out of, and an ensemble that was fitted on these; `looked` the
tables of a screening with a detector, `converted` the tiles of a folder of pictures, and
`optical.tif.parts` a translation that was stopped.
"""

import argparse
import os
import shutil
import signal
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import kit  # noqa: E402
from kit.engines.request import Request  # noqa: E402
from kit.pairs.pack import pack  # noqa: E402
from kit.screening import ukis  # noqa: E402
from kit.screening.detector import Detector  # noqa: E402
from kit.storage.files import RUNS, SUBMISSIONS, WORK  # noqa: E402
from kit.submission.server_score import log  # noqa: E402
from kit.variants.settings import Variant  # noqa: E402
from tests.helpers.detector import Fake  # noqa: E402
from tests.helpers.sources import scene, write_image, write_pictures  # noqa: E402
from tests.helpers.tiles import key, optical, radar, world  # noqa: E402

EAGER = Request("eager", "float32")
SETTINGS = {
    "width": 1, "discriminator_width": 1, "batch": 2, "crop": 32, "epochs": 1, "decay_epochs": 1,
    "gan": 1.0, "l1": 100.0, "lr": 0.002, "discriminator_lr": 0.002, "precision": "float32",
}  # fmt: skip
NOTE = "the one to beat"
FITTING = Path("fitting")
KEPT = (
    "work", "runs", "engines", "predictions", "submissions",
    "fitting", "looked", "converted", "optical.tif.parts",
)  # fmt: skip


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
    _fit()
    _screen_with_a_detector()
    kit.prepare(write_pictures(Path("pictures"), places=4, test=1), "converted", holdout=1)
    _translate_a_part()


def _fit() -> None:
    """Of a run that has enough held out; what a prediction does not need of it is not kept."""
    world(Path("more"), places=20, dates=1)
    at = {"work": FITTING / "work", "runs": FITTING / "runs"}
    kit.prepare("more", at["work"], holdout=4)
    kit.train(kit.variant("p2phd1", **SETTINGS), note=NOTE, **at)
    kit.validate(**at)
    kit.fit(["p2phd1"], measure="mae", name="fitted", ensembles=FITTING / "ensembles", **at)
    for name in ("checkpoints", "samples"):
        shutil.rmtree(at["runs"] / "p2phd1" / name)
    (at["runs"] / "p2phd1" / "last.safetensors").unlink()


def _screen_with_a_detector() -> None:
    """By one that needs no network, and has not seen a cloud."""
    fake, before = Fake(), (ukis.version, ukis.classes)
    ukis.version, ukis.classes = (lambda: fake.version), fake.classes
    try:
        kit.screen("data", "looked", detector=Detector(on="all"))
    finally:
        ukis.version, ukis.classes = before


def _translate_a_part() -> None:
    """Stopped after the first row of windows."""

    def stop(done: int, total: int, words: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    write_image(Path("scene.tif"), scene(0, size=64)[0], corner=(500_000, 9_500_000))
    with suppress(KeyboardInterrupt):
        kit.translate("scene.tif", "optical.tif", "p2phd1", size=32, request=EAGER, advance=stop)


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
