"""The same archive again, or exactly what stands in the way."""

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kit.archive.made_with
import kit.archive.writer
import kit.prediction.members
from kit.errors import BusyError, InputError
from kit.pairs.table import Pair, fingerprint, write_pairs
from kit.storage.files import sha256
from kit.storage.image_file import read_image
from kit.submission.package import Package, package
from kit.submission.reproduce import Part, Reproduction, reproduce
from kit.tiles.names import SceneKey
from tests.helpers.archives import A, B, image, write_member
from tests.helpers.sealed import rewrite

ENGINE = {"name": "torch eager", "version": "2", "device": "CPU", "precision": "float32"}


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """An archive of two members and two scenes, with their weights and tiles."""
    monkeypatch.chdir(tmp_path)
    return packaged_members()


def packaged_members(size: int = 256, **settings: Any) -> Package:
    Path("test tiles").mkdir()
    for number, variant in enumerate(("one", "two")):
        path = Path("runs") / variant / "weights.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(variant.encode())
        member(variant, number, size=size)
    folders = {"predictions": Path("predictions"), "submissions": Path("submissions")}
    return package(**folders, ensemble="one,two", **settings)


def member(
    variant: str, seed: int, scenes: tuple[str, ...] = (A, B), size: int = 256, **changes: Any
) -> None:
    images = {scene: image(10 * seed + n, size) for n, scene in enumerate(scenes)}
    facts = {
        "weights_sha256": sha256(Path("runs") / variant / "weights.safetensors"),
        "engines": [ENGINE],
        "input": str(Path("test tiles").resolve()),
    }
    write_member(Path("predictions"), variant, images, **(facts | changes))


def again(manifest: Path, **settings: Any) -> Reproduction:
    return reproduce(manifest, predictions=Path("predictions"), runs=Path("runs"), **settings)


def part(result: Reproduction, word: str) -> Part:
    (found,) = [part for part in result.parts if word in part.name]
    return found


def everything() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def test_the_same_parts_give_the_same_bytes(packaged: Package) -> None:
    before = everything()
    steps: list[tuple[int, int]] = []
    result = again(packaged.manifest, advance=lambda *step: steps.append(step))
    assert result.same and result.found == packaged.sha256
    assert (result.entries, result.versions, result.out) == ((), {}, None)
    states = ["same", *["same", "same", "there", "gone"] * 2]
    assert [part.state for part in result.parts] == states
    assert steps == [(1, 2), (2, 2)]
    assert everything() == before
    assert json.loads(json.dumps(result.as_dict(), default=str))["same"] is True


@pytest.mark.parametrize(
    "settings",
    [{"stretch": "anchors"}, {"layout": "2023"}, {"ensemble": "one,two", "average": "4,1"}],
)
def test_every_kind_of_archive_is_built_again(packaged: Package, settings: dict[str, str]) -> None:
    other = package(
        predictions=Path("predictions"), submissions=Path("submissions"), name="other", **settings
    )
    assert other.sha256 != packaged.sha256
    assert again(other.manifest).same


def test_members_are_averaged_as_the_manifest_says(packaged: Package) -> None:
    shutil.copytree("runs/one", "runs/three")
    member("three", 2)
    folders = {"predictions": Path("predictions"), "submissions": Path("submissions")}
    median = package(**folders, ensemble="one,two,three", average="median").manifest
    mean = package(**folders, ensemble="one,two,three").manifest
    assert again(median).same and again(mean).same
    rewrite(mean, without=("average",))  # as the kits wrote it that knew the mean alone
    assert again(mean).same
    rewrite(mean, {"average": "median"})
    result = again(mean)
    assert not result.same and len(result.entries) == 2
    rewrite(mean, {"average": "trimmed"})
    with pytest.raises(InputError, match="unknown method 'trimmed'"):
        again(mean)


def test_scenes_that_were_predicted_since_and_lists_that_are_gone_do_not_matter(
    packaged: Package,
) -> None:
    names = Path("files.json")
    names.write_text(json.dumps([f"CH3/x_{A}_{i}.tiff" for i in (3, 1, 2)]))
    listed = package(
        predictions=Path("predictions"), submissions=Path("submissions"),
        ensemble="one,two", name="listed", expected=names,
    )  # fmt: skip
    names.unlink()
    for number, variant in enumerate(("one", "two")):
        member(variant, number, (A, B, "-54.00_-3.00_2020_01_01"))
    assert again(packaged.manifest).same
    assert again(listed.manifest).same


def test_an_archive_that_is_gone_comes_back(packaged: Package, tmp_path: Path) -> None:
    packaged.archive.unlink()
    result = again(packaged.manifest, out=packaged.archive)
    assert result.same and result.out == packaged.archive
    assert sha256(packaged.archive) == packaged.sha256
    assert result.parts[0].state == "gone"


def test_nothing_is_overwritten(packaged: Package) -> None:
    before = everything()
    for path in (packaged.archive, packaged.manifest):
        with pytest.raises(BusyError, match="--out"):
            again(packaged.manifest, out=path)
    assert everything() == before


def test_an_archive_that_was_exchanged_is_said(packaged: Package) -> None:
    packaged.archive.write_bytes(b"another")
    result = again(packaged.manifest)
    assert result.same
    assert result.parts[0].state == "changed"


def test_a_member_that_changed_is_named_with_its_images(packaged: Package) -> None:
    path = Path("predictions/two") / f"{B}.npy"
    pixels = np.load(path)
    pixels[0, 0, 0] += 2
    np.save(path, pixels)
    result = again(packaged.manifest)
    assert not result.same and result.found is not None
    assert result.entries == (f"CH3/Sentinel2_{B}.tiff",)
    assert part(result, "predictions of one").state == "same"
    changed = part(result, "predictions of two")
    assert (changed.state, changed.problem) == ("changed", "other values by the same weights")
    tiles = Path("test tiles").resolve()
    assert changed.remedy == f"run: kit predict --ensemble two --input '{tiles}' --overwrite"


def test_the_pairs_that_a_member_was_trained_on(packaged: Package) -> None:
    table = Path("work") / "pairs.parquet"
    assert part(again(packaged.manifest), "pairs of one").problem == "pairs.parquet: no such table"
    scene, radar, optical = (
        SceneKey.parse(A),
        (Path("VV"), Path("VH")),
        map(Path, ("B4", "B3", "B2")),
    )
    shown = Pair(scene, scene, radar, (*optical,), 8, 8, 0, 0, 0, dataset1=True, dataset2=True)
    pairs = (shown,)
    write_pairs(table, pairs)
    found = part(again(packaged.manifest), "pairs of one")
    assert (found.state, found.remedy) == ("there", "") and "does not say" in found.problem
    for checksum, state in ((fingerprint(pairs), "same"), ("others", "changed")):
        member("one", 0, pairs_sha256=checksum)
        manifest = package(
            predictions=Path("predictions"), submissions=Path(state), ensemble="one"
        ).manifest
        result = again(manifest)
        assert part(result, "pairs of one").state == state
        assert result.same


def test_why_a_member_changed(packaged: Package) -> None:
    member("one", 7, engines=[ENGINE | {"device": "H100"}])
    member("two", 8, weights_sha256="others")
    Path("runs/two/weights.safetensors").write_bytes(b"others")
    result = again(packaged.manifest)
    assert "another machine" in part(result, "predictions of one").problem
    other = part(result, "predictions of two")
    assert other.problem == "made by other weights"
    assert "restore runs/two/weights.safetensors, then run: kit predict" in other.remedy
    assert part(result, "runs/two").state == "changed"
    assert len(result.entries) == 2


def test_predictions_that_are_gone_are_told_how_to_make(packaged: Package) -> None:
    for path in Path("predictions/two").iterdir():
        path.unlink()
    result = again(packaged.manifest)
    assert not result.same and result.found is None and result.entries == ()
    assert part(result, "predictions of one").state == "same"
    gone = part(result, "predictions of two")
    assert gone.state == "gone"
    tiles = Path("test tiles").resolve()
    assert gone.remedy == f"run: kit predict --ensemble two --input '{tiles}'"
    Path("test tiles").rmdir()
    Path("runs/two/weights.safetensors").unlink()
    result = again(packaged.manifest)
    expected = f"restore runs/two/weights.safetensors and {tiles}, then run"
    assert expected in part(result, "predictions of two").remedy
    assert [part.state for part in result.parts[-2:]] == ["gone", "gone"]


def test_each_image_is_read_once(packaged: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path, *rest: Any) -> Any:
        read.append(path)
        return read_image(path, *rest)

    monkeypatch.setattr(kit.prediction.members, "read_image", counted)
    assert again(packaged.manifest).same
    assert len(read) == len(set(read)) == 4


def test_each_member_with_a_damaged_image_is_named(packaged: Package) -> None:
    for variant, scene in (("one", A), ("two", B)):
        (Path("predictions") / variant / f"{scene}.npy").write_bytes(b"")
    result = again(packaged.manifest)
    for variant, scene in (("one", A), ("two", B)):
        assert scene in part(result, f"predictions of {variant}").problem
    assert not [part for part in result.parts if part.name == "images"]


@pytest.mark.parametrize("data", [None, b"", b"\x93NUMPY\1\0"])
def test_one_damaged_prediction(packaged: Package, data: bytes | None) -> None:
    path = Path("predictions/one") / f"{A}.npy"
    path.write_bytes(data) if data is not None else path.unlink()
    out = Path("again.zip")
    result = again(packaged.manifest, out=out)
    assert (result.found, result.out) == (None, None)
    assert A in part(result, "predictions of one").problem
    assert not out.exists()


def test_members_of_other_sizes(packaged: Package) -> None:
    write_member(Path("predictions"), "two", {A: image(1, 8), B: image(2, 8)})
    result = again(packaged.manifest, out=Path("again.zip"))
    assert result.found is None and not Path("again.zip").exists()
    assert "but [3, 256, 256] by one" in part(result, "images").problem


def test_another_version_that_changes_the_bytes_is_named(
    packaged: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.archive.made_with.zlib, "ZLIB_RUNTIME_VERSION", "99")
    monkeypatch.setattr(kit.archive.writer, "_STRATEGY", 0)
    result = again(packaged.manifest)
    assert not result.same and result.entries == ()
    assert result.versions["zlib"][1] == "99"


def test_the_manifest_of_an_older_kit(packaged: Package) -> None:
    rewrite(packaged.manifest, without=("entries",))
    with pytest.raises(InputError, match="does not list the images"):
        again(packaged.manifest)
    with pytest.raises(InputError, match="no such file"):
        again(Path("none.json"))


ODD = (None, 0, -1.5, "", "x", "../x", "a\0b", "\ud800", [], {}, [[]], {"a": {}}, True, "9" * 300)


def tampered(manifest: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """The manifest with another value or another name somewhere in it."""
    node: Any = manifest
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if manifest is node:
            keys = ["members", "entries", "average", "stretch", "sha256", "made_with"]
        parent, key = node, source.choice(list(keys))
        node = node[key]
        if source.random() < 0.3:
            break
    if isinstance(parent, dict) and source.random() < 0.3:
        parent[source.choice([text for text in ODD if isinstance(text, str)])] = parent.pop(key)
    else:
        parent[key] = source.choice(ODD)
    return manifest


@pytest.mark.slow
def test_a_manifest_that_was_tampered_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in it: a refusal, or an outcome that claims nothing wrong."""
    monkeypatch.chdir(tmp_path)
    made = packaged_members(size=8, layout="plain")
    whole = json.loads(made.manifest.read_text())
    outcomes: list[bool] = []
    for seed in range(60):
        changed = tampered(copy.deepcopy(whole), random.Random(seed))
        made.manifest.write_text(json.dumps(changed))
        rewrite(made.manifest)
        try:
            result = again(made.manifest)
        except InputError as error:
            assert "does not match" not in str(error), seed  # the seal is whole: it is read
            continue
        named = changed.get("sha256")
        assert not result.same or result.found == named == made.sha256, seed
        outcomes.append(result.same)
    assert outcomes.count(True) >= 5 and outcomes.count(False) >= 5
