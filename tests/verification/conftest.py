"""A folder with one artefact of every kind that the kit reads back."""

import os
import shutil
from pathlib import Path

import pytest

import kit.translation.translate as translation
from kit.engines.cache import obtain
from kit.fitting.fit import fit
from kit.pairs.pack import pack
from kit.runs.notes import add_note
from kit.screening import ukis
from kit.screening.detector import Detector
from kit.screening.screen import screen
from kit.simulation.progress import Progress
from kit.sources.find import find_tiles
from kit.storage.files import write_bytes
from kit.submission.package import package
from kit.training.validate import validate
from kit.translation.translate import translate
from tests.helpers.detector import Fake
from tests.helpers.predictions import predict_eager
from tests.helpers.sources import scene, write_image, write_pictures


@pytest.fixture(scope="session")
def written(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder: those that commands share in it, and `looked`, `converted`, `begun`, and more."""
    root = tmp_path_factory.mktemp("written")
    before = Path.cwd()
    for name in ("data", "test", "work", "runs/p2phd1"):
        shutil.copytree(trained_once / name, root / name)
    os.chdir(root)
    try:
        with pytest.MonkeyPatch.context() as patched:
            _write_all(patched)
    finally:
        os.chdir(before)
    return root


def _write_all(patched: pytest.MonkeyPatch) -> None:
    pack(Path("work"))
    add_note(Path("runs/p2phd1"), "the one to beat")
    predict_eager(data="test")
    fit(["p2phd1"], measure="mae", name="best")
    validate(["p2phd1"])
    package(ensemble="p2phd1", layout="plain")
    obtain(Path("engines"), "p2phd1", {"of": "nothing"}, _build, lambda _: None)
    write_image(Path("scene.tif"), scene(0, size=48)[0], corner=(500_000, 9_500_000))
    patched.setattr(translation, "_assemble", lambda *_: 0.0)
    translate("scene.tif", "translated/out.tif", "p2phd1", size=32)
    find_tiles(write_pictures(Path("pictures"), places=2, test=1), Path("converted"))
    detector = Fake()
    patched.setattr(ukis, "version", lambda: detector.version)
    patched.setattr(ukis, "classes", detector.classes)
    screen("data", "looked", detector=Detector(on="all"))
    Progress(Path("begun"), {"places": 2}, 2).add([1, 1, 6])


def _build(folder: Path) -> dict[str, object]:
    write_bytes(folder / "engine.bin", bytes(range(256)))
    return {"rate": 1.0}


@pytest.fixture
def here(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, as the current one; what a test changes in it has to be put back."""
    monkeypatch.chdir(written)
    return written
