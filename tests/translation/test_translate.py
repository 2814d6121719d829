"""A scene of any size: its grid, no seam, the same as single tiles, whatever ends the command."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rasterio.transform import from_origin

import kit.translation.translate as module
from kit.engines.request import Request
from kit.errors import BusyError, InputError, OutputError
from kit.models.infer import infer
from kit.prediction.predict import predict
from kit.runs.weights import load_run, read_run, save_weights
from kit.scaling import DN_RANGE, UINT16_MAX, quantize, scale_radar
from kit.storage.lock import lock
from kit.translation import doubts, result, strips
from kit.translation.radar_raster import open_radar
from kit.translation.translate import Translation, translate
from kit.translation.windows import Windows
from kit.variants.registry import find_variant
from tests.helpers.folders import copy_of
from tests.helpers.generators import NETWORKS, trained_like
from tests.helpers.memory import least_peak
from tests.helpers.tiles import key, radar, read_tile

EAGER = Request("eager", "float32")
ORIGINAL = "write float32, if you have the original"
GRID = {"crs": "EPSG:32621", "transform": from_origin(500_000, 9_500_000, 10, 10)}
HEIGHT, WIDTH = 90, 120


def ground(height: int = HEIGHT, width: int = WIDTH, speckle: float = 1) -> NDArray[np.float32]:
    """VV and VH of gentle hills with speckle, in dB."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 40
    hills = 4 * np.sin(2 * y + x) + 3 * np.cos(x - y)
    noise = rng.normal(0, speckle, (2, height, width))
    return (np.stack([hills - 12, hills - 19]) + noise).astype(np.float32)


def write(path: Path, pixels: NDArray[np.generic], **profile) -> Path:
    count, height, width = pixels.shape
    names = profile.pop("names", ())
    profile = GRID | profile
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width,
        dtype=pixels.dtype.name, **profile,
    ) as file:  # fmt: skip
        file.write(pixels)
        if names:
            file.descriptions = names
    return path


@pytest.fixture(scope="session")
def runs_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("translation")
    for network in ("spade", "pix2pixhd"):
        variant, settings = NETWORKS[network]
        chosen = find_variant(variant, (*settings, "width=4", "spectral_norm=torch"))
        facts = {"mean_color": [0.2, 0.3, 0.1]}
        path = root / "runs" / variant / "weights.safetensors"
        path.parent.mkdir(parents=True)
        save_weights(path, trained_like(network), chosen, facts)
    return root


@pytest.fixture
def trained(runs_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with runs/ of spade2 and p2phd1, as the current one."""
    with copy_of(runs_once, tmp_path / "trained") as root:
        yield root


@pytest.fixture
def scene(trained: Path) -> Path:
    return write(Path("scene.tif"), ground(), names=("VV", "VH"))


def run(scene: Path = Path("scene.tif"), variant: str = "spade2", **settings) -> Translation:
    settings = {"size": 32, "overlap": 8, "request": EAGER, "out": "out.tif"} | settings
    return translate(scene, settings.pop("out"), variant, **settings)


def read(path: str = "out.tif") -> NDArray[np.uint16]:
    with rasterio.open(path) as file:
        pixels: NDArray[np.uint16] = file.read()
    return pixels


@pytest.mark.slow
def test_the_file_lies_where_the_scene_lies(scene: Path) -> None:
    told: list[tuple[int, int]] = []
    result = run(advance=lambda done, total, words="": told.append((done, total)))
    assert told[-1] == (result.windows, result.windows) == (result.done, 4 * 5)
    with rasterio.open("out.tif") as file:
        assert (file.crs, file.transform) == (GRID["crs"], GRID["transform"])
        assert (file.height, file.width, file.count) == (HEIGHT, WIDTH, 3)
        assert file.dtypes == ("uint16",) * 3 and file.nodata == 0
        assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert file.descriptions == ("B4", "B3", "B2")
        about = file.tags(ns="IMAGE_STRUCTURE")
        assert (about["LAYOUT"], about["PREDICTOR"]) == ("COG", "2")
        assert file.tags()["unit"] == "DN, reflectance * 10000"
        assert file.tags()["predicted_by"] == "spade2 (eager, float32)"
    assert not Path("out.tif.parts").exists()


@pytest.mark.slow
def test_a_large_file_has_overviews(trained: Path) -> None:
    write(Path("scene.tif"), np.repeat(np.repeat(ground(64, 80), 10, 1), 10, 2))
    run(size=256, overlap=0, variant="p2phd1")
    with rasterio.open("out.tif") as file:
        assert file.overviews(1) == [2]


def test_away_from_borders_it_is_what_single_tiles_are(scene: Path) -> None:
    run("scene.tif", "spade2,p2phd1", size=32, overlap=8)
    found = read()
    low, high = DN_RANGE
    # A window that starts where the second of a row and a column does.
    top, left = round((HEIGHT - 32) / 3), round((WIDTH - 32) / 4)
    tile = scale_radar(ground()[:, top : top + 32, left : left + 32])
    images = [
        quantize(infer(load_run(Path("runs"), name).generator, tile[None])[0]).astype(np.uint32)
        for name in ("spade2", "p2phd1")
    ]
    mean = (images[0] + images[1] + 1) // 2
    expected = np.rint(mean * (high - low) / UINT16_MAX + low)
    inner = np.s_[:, 13:-13, 10:-10]
    assert np.abs(found[:, top : top + 32, left : left + 32][inner] - expected[inner]).max() <= 1


def test_a_scene_of_one_tile_is_the_prediction_of_that_tile(trained: Path) -> None:
    radar(Path("test"), key(40))
    predict("spade2", "test", request=EAGER)
    sar = [read_tile(Path(f"test/sent1/Sentinel1_{band}_{key(40)}.tiff")) for band in ("VV", "VH")]
    write(Path("scene.tif"), np.stack(sar))
    run()
    stored = np.load(f"predictions/spade2/{key(40)}.npy")
    expected = np.rint(stored * (DN_RANGE[1] / UINT16_MAX)).clip(1)
    np.testing.assert_array_equal(read(), expected)


def seen_whole(windows: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Images of a smooth ground whose tone follows the mean of the window, as of instance norms."""
    tone = windows.mean(axis=(1, 2, 3), keepdims=True)
    return np.rint(40_000 + 500 * (windows[:, :1] + 2 * tone).repeat(3, 1)).astype(np.uint16)


def jumps(overlap: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float, float]:
    """The mean jump across the borders of windows, and mean and deviation of those elsewhere."""
    monkeypatch.setattr(module.Members, "predict", lambda _, windows: seen_whole(windows))
    run(overlap=overlap, out=f"{overlap}.tif")
    along = np.abs(np.diff(read(f"{overlap}.tif").astype(float), axis=2)).mean(axis=(0, 1))
    starts = Windows(128, 32, overlap).starts
    borders = sorted({s - 1 for s in starts[1:]} | {s + 31 for s in starts[:-1]})
    elsewhere = np.delete(along, borders)
    return float(along[borders].mean()), float(elsewhere.mean()), float(elsewhere.std())


def test_no_seam(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across the borders of windows, values jump as they do anywhere else."""
    write(Path("scene.tif"), ground(96, 128, speckle=0.1), names=("VV", "VH"))
    at_borders, elsewhere, deviation = jumps(8, monkeypatch)
    assert at_borders <= elsewhere + deviation
    at_borders, elsewhere, deviation = jumps(0, monkeypatch)
    assert at_borders > elsewhere + 3 * deviation  # what the measure says of a seam


def test_pixels_without_radar_are_nodata_and_no_others(trained: Path) -> None:
    sar = ground()
    sar[:, :40, :50] = -9999
    sar[0, 80, 100] = np.nan
    write(Path("scene.tif"), sar, nodata=-9999)
    result = run()
    empty = np.zeros((HEIGHT, WIDTH), bool)
    empty[:40, :50] = empty[80, 100] = True
    found = read()
    np.testing.assert_array_equal((found == 0).all(axis=0), empty)
    assert (found > 0).all(axis=0).sum() == (~empty).sum()
    assert result.nodata == empty.mean()


@pytest.mark.slow
def test_windows_that_are_turned_are_square(scene: Path, monkeypatch) -> None:
    """A scene that is lower than a window is wide has windows of its height."""
    monkeypatch.setattr(module, "unreached", lambda: "the driver is too old")
    told: list[str] = []
    result = run(size=100, overlap=None, flips=8, report=told.append)
    assert (result.size, result.overlap, result.windows) == (90, 22, 2)
    assert told[0] == "the driver is too old"
    assert "windows are 90x90, so that they can be turned by a quarter" in told
    run(size=90, overlap=22, flips=8, out="same.tif")
    np.testing.assert_array_equal(read(), read("same.tif"))


@pytest.mark.slow
def test_two_files_and_bands_in_any_order(scene: Path) -> None:
    run()
    sar = ground()
    write(Path("vv.tif"), sar[:1])
    write(Path("vh.tif"), sar[1:])
    run(Path("vv.tif"), vh="vh.tif", out="two.tif")
    more = np.stack([sar[1], sar[1] * 0 + 38, sar[0]])
    write(Path("three.tif"), more, names=("VH_dB", "angle", "Sigma0_VV"))
    run(Path("three.tif"), out="three-out.tif")
    write(Path("swapped.tif"), sar[::-1])
    run(Path("swapped.tif"), bands=("VH", "VV"), out="swapped-out.tif")
    for other in ("two.tif", "three-out.tif", "swapped-out.tif"):
        np.testing.assert_array_equal(read(other), read())


def test_a_killed_translation_goes_on(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(out="whole.tif")
    calls = 0
    make = module.make_strip

    def killed(*arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return make(*arguments)

    monkeypatch.setattr(module, "make_strip", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not Path("out.tif").exists()
    with pytest.raises(BusyError, match=r"not finished, with other weights\n.*--overwrite"):
        run(variant="p2phd1")
    result = run()
    assert result.done == whole.windows - 2 * 5
    np.testing.assert_array_equal(read(), read("whole.tif"))
    again = run()
    assert again.done == 0
    with pytest.raises(BusyError, match="exists"):
        run(variant="p2phd1")
    statistics = Path("out.tif.aux.xml")  # of the image that is replaced
    statistics.write_text("<PAMDataset/>")
    assert run(variant="p2phd1", overwrite=True).done == whole.windows
    assert not statistics.exists()
    assert run(variant="p2phd1", overwrite=True).done == whole.windows


@pytest.mark.slow
def test_damaged_strips_of_a_stopped_translation_are_made_again(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(out="whole.tif")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_assemble", lambda *_: 0.0)
        run()
    shutil.copytree("out.tif.parts", "kept")
    strips = [Path(f"out.tif.parts/{number:05d}/strip.npy") for number in range(4)]
    # Of each kind of damage, `test_strips` has that it is named.
    for path, damage in (
        (strips[0], lambda path: path.write_bytes(path.read_bytes()[:-4000] + bytes(4000))),
        (strips[1], lambda path: path.write_bytes(strips[-1].read_bytes())),
        (strips[2], lambda path: np.save(path, np.load(path)[..., :-9])),
    ):
        shutil.rmtree("out.tif.parts", ignore_errors=True)
        shutil.copytree("kept", "out.tif.parts")
        damage(path)
        told: list[str] = []
        assert run(overwrite=True, report=told.append).done == whole.windows / 4
        assert [line for line in told if str(path) in line and "made again" in line]
        np.testing.assert_array_equal(read(), read("whole.tif"))


@pytest.mark.slow
def test_the_engine_of_another_member_or_a_damaged_one_is_not_taken(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "_assemble", lambda *_: 0.0)
        run(variant="spade2,p2phd1")
    one, other = (Path(f"out.tif.parts/engines/{name}.json") for name in ("spade2", "p2phd1"))
    whole = one.read_text()
    for text, problem in (
        (other.read_text(), "holds the engine of p2phd1, not of spade2"),
        (whole.replace("float32", "float16"), "damaged: it does not match its own checksum"),
    ):
        one.write_text(text)
        with pytest.raises(InputError, match=rf"spade2\.json: {problem}\n  remove it"):
            run(variant="spade2,p2phd1")
    record = json.loads(whole)
    earlier = {name: record[name] for name in record if name not in ("format", "check", "variant")}
    one.write_text(json.dumps(earlier))  # as it was written before it was sealed
    assert run(variant="spade2,p2phd1").done == 0


@pytest.mark.slow
def test_other_files_of_a_mosaic_are_another_scene(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy("scene.tif", "inner.vrt", driver="VRT")
    inner = Path("inner.vrt").read_text()
    Path("mosaic.vrt").write_text(inner.replace("scene.tif", "inner.vrt"))
    with monkeypatch.context() as patched:
        patched.setattr(module, "_assemble", lambda *_: 0.0)
        run(Path("mosaic.vrt"))
    write(Path("scene.tif"), ground() + 1, names=("VV", "VH"))
    with pytest.raises(BusyError, match="not finished, with other radar"):
        run(Path("mosaic.vrt"))
    with pytest.raises(InputError, match="is the radar scene itself"):
        run(Path("mosaic.vrt"), out="scene.tif")
    assert run(Path("mosaic.vrt"), overwrite=True).done == 20


@pytest.mark.slow
def test_what_a_kill_left_beside_a_finished_translation_goes(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module.Strips, "finish", lambda strips: None)
        run()
    parts = Path("out.tif.parts")
    kept = shutil.copytree(parts, "kept")
    assert run().done == 0 and not parts.exists()
    parts.mkdir()  # as when the kill came after its files had gone
    assert run().done == 0 and not parts.exists()
    # Begun with --overwrite, and the options of before are typed again.
    shutil.move(kept, parts)
    whole = read()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_assemble", lambda *_: 0.0)
        assert run(variant="p2phd1", overwrite=True).done
    assert run().done == 0 and parts.exists()
    assert (read() == whole).all()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["scene_doubts", "engines_of", "_predict", "_assemble"])
def test_what_another_process_has_written_meanwhile_is_not_made_again(
    scene: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The other ends before this one begins with a step; nothing is left, whoever ends last."""
    whole = run(out="whole.tif")
    then = getattr(module, step)
    written, others = [], []

    def late(*arguments, **named):
        monkeypatch.setattr(module, step, then)
        others.append(run().done)
        written.append(Path("out.tif").stat().st_mtime_ns)
        return then(*arguments, **named)

    monkeypatch.setattr(module, step, late)
    result = run()
    done = (whole.windows, 0) if step == "_assemble" else (0, whole.windows)
    assert (result.done, *others) == done and result.nodata is None
    assert written == [Path("out.tif").stat().st_mtime_ns]
    np.testing.assert_array_equal(read(), read("whole.tif"))
    assert not [*Path().glob(".*")] and not [*Path().glob("*.parts")]


@pytest.mark.slow
def test_a_translation_that_others_work_on_stays(scene: Path, monkeypatch) -> None:
    predict = module._predict

    def meanwhile(*arguments):
        monkeypatch.setattr(module, "_predict", predict)
        with pytest.raises(BusyError, match="another process works on another translation"):
            run(variant="p2phd1", overwrite=True)
        return predict(*arguments)

    monkeypatch.setattr(module, "_predict", meanwhile)
    assert run().done == 20


@pytest.mark.slow
def test_a_strip_that_another_process_makes_is_waited_for(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds a strip, and dies; or writes it."""
    whole = run(out="whole.tif")
    held = lock(Path("out.tif.parts/00001"))
    held.__enter__()
    monkeypatch.setattr(strips.time, "sleep", lambda _: held.__exit__(None, None, None))
    assert run().done == whole.windows
    np.testing.assert_array_equal(read(), read("whole.tif"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Members, "predict", lambda _, windows: seen_whole(windows))
    monkeypatch.setattr(doubts, "_ALONG", 1)
    peaks = []
    for height in (1200, 3600):  # of fewer rows not all that waits does so at a time
        write(Path("tall.tif"), ground(height, 64))
        peaks.append(
            least_peak(lambda turn, rows=height: run(Path("tall.tif"), out=f"{rows} {turn}.tif"))
        )
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("change", "profile", "problem"),
    [
        (lambda sar: sar[:1], {}, r"has one band \(one polarisation\).*\n.*--vh"),
        (lambda sar: sar.astype(np.int16), {}, "pixels are int16, and dB are floats"),
        (lambda sar: sar[::-1], {}, "as if the bands were swapped\n.*--bands VH,VV"),
        (lambda sar: 10 ** (sar / 10), {}, "convert linear power to dB"),
        (lambda sar: sar, {"names": ("HH", "HV")}, "holds HH and HV"),
        (lambda sar: np.repeat(sar, 2, 0), {}, "has 4 bands .*does not say which"),
        (lambda sar: sar, {"transform": from_origin(0, 0, 10, -10)}, "south-up"),
    ],
    ids=["one", "integers", "swapped", "linear", "others", "four", "south"],
)
def test_what_is_no_radar_scene_is_named(trained: Path, change, profile, problem: str) -> None:
    write(Path("bad.tif"), change(ground()), **profile)
    with pytest.raises(InputError, match=rf"(?s)bad\.tif: .*{problem}"):
        run(Path("bad.tif"))
    assert not Path("out.tif").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "options", "remedy"),
    [
        ((), {"bands": ("VV", "VH")}, ": give --bands VH,VV"),
        ((), {"bands": ("vv", "angle", "vh")}, ": give --bands VH,angle,VV"),
        (("VV", "VH"), {}, ": the file's own names are wrong: give --bands VH,VV"),
        (("Sigma0_VV", "angle", "VH"), {}, ": give --bands VH,other2,VV"),
        ((), {"vh": "vh.tif"}, ": exchange the two files: vh.tif as SCENE, and --vh bad.tif"),
    ],
    ids=["bands", "three", "names", "three names", "files"],
)
def test_what_told_a_wrong_order_is_what_to_change(
    trained: Path, names: tuple[str, ...], options: dict, remedy: str
) -> None:
    vh, vv = ground()[:, None]
    count = len(names or options.get("bands", ())) or 1
    bands = {1: [vv], 2: [vv, vh], 3: [vv, vv * 0 + 38, vh]}[count]
    write(Path("bad.tif"), np.concatenate(bands), names=names)
    write(Path("vh.tif"), vh)
    (line,) = run(Path("bad.tif"), **options).doubts
    assert line.endswith(remedy) and "as if the bands were swapped" in line


def test_windows_of_a_narrow_scene_are_tried_where_nothing_is_held_out(trained: Path) -> None:
    write(Path("narrow.tif"), ground(20, 120))
    assert run(Path("narrow.tif"), request=Request()).windows == 5
    with open_radar(Path("narrow.tif"), None, ()) as radar:
        assert {part.shape for part in radar.samples((30, 50), 3)} == {(2, 20, 50)}


@pytest.mark.slow
def test_a_compiled_engine_predicts_as_eager_does(scene: Path) -> None:
    pytest.importorskip("openvino")
    weights = read_run(Path("runs"), "spade2")
    facts = {**weights.facts, "holdout_mae": 0.05}  # by which an engine's change is judged
    save_weights(weights.path, weights.generator, weights.variant, facts)
    run(out="eager.tif")
    result = run(request=Request("openvino", "float32"), out="compiled.tif")
    assert result.engines["spade2"]["name"] == "openvino"
    difference = np.abs(read("compiled.tif").astype(int) - read("eager.tif"))
    assert difference.max() <= 3 and difference.mean() < 0.1
    with rasterio.open("compiled.tif") as file:
        assert file.tags()["predicted_by"] == "spade2 (openvino, float32)"


@pytest.mark.slow
def test_what_a_scene_lacks_is_said(trained: Path) -> None:
    write(Path("scene.tif"), ground(), crs=None, transform=None)
    (line,) = run().doubts
    assert "does not say where it lies" in line
    write(Path("half.tif"), ground(), nbits=16)
    (line,) = run(Path("half.tif"), out="half-out.tif").doubts
    assert line == "radar pixels are float16, which rounds dB to 0.02: " + ORIGINAL
    (line,) = run(Path("half.tif"), out="again.tif", units="any").doubts
    assert line == "radar pixels are float16, which rounds dB to 0.02"
    with pytest.raises(InputError, match=ORIGINAL):
        run(Path("half.tif"), out="strict.tif", units="strict")
    copy("half.tif", "half.vrt", driver="VRT")  # as gdalbuildvrt writes it, without this
    whole = Path("half.vrt").read_text().replace('<MDI key="NBITS">16</MDI>', "")
    Path("half.vrt").write_text(whole)
    (line,) = run(Path("half.vrt"), out="mosaic.tif").doubts
    assert "float16" in line


@pytest.mark.slow
def test_settings_that_cannot_be_are_named(scene: Path) -> None:
    write(Path("small.tif"), ground(64, 64)[:1])
    write(Path("vv.tif"), ground()[:1])
    Path("scene.png").write_bytes(b"PNG")
    for settings, words in (
        ({"overlap": 17}, "give 0 to 16"),
        ({"bands": ("VV", "VX")}, "must name VV and VH"),
        ({"bands": ("VV", "VH", "x")}, "names 3, and scene.tif has 2"),
        ({"vh": "vv.tif"}, "of two files each holds one"),
        ({"scene": Path("vv.tif"), "vh": "small.tif"}, "is 64x64 where vv.tif is 90x120"),
        ({"out": "scene.tif"}, "is the radar scene itself"),
        ({"out": "out.png"}, "is to be a GeoTIFF, and is not called one\n.*call it out.tif"),
        ({"scene": Path("scene.png")}, "not readable as a GeoTIFF.*\n.*gdal_translate IN OUT.tif"),
        ({"scene": Path("none.tif")}, "No such file"),
        ({"variant": "spade9"}, "no such variant"),
    ):
        with pytest.raises(InputError, match=words):
            run(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("optical", ["DN", "picture"])
def test_weights_of_another_range_see_the_scene_in_it(scene: Path, optical: str) -> None:
    """VV of -30..5 dB is to them what -25..0 is to others; the image is in the range of theirs."""
    weights = read_run(Path("runs"), "spade2")
    units = {"radar": "dB", "optical": optical, "vv_range": [-30.0, 5.0], "dn_range": [0.0, 600.0]}
    sar = ground()
    sar[:, :9, :9] = -9999  # no measurement in any range
    write(Path("scene.tif"), sar, names=("VV", "VH"))
    mapped = sar.copy()
    mapped[0] = ((sar[0] + 30) / 35).clip(0, 1) * 25 - 25
    mapped[:, :9, :9] = -9999
    write(Path("mapped.tif"), mapped, names=("VV", "VH"))
    run(Path("mapped.tif"), out="mapped-out.tif")
    save_weights(
        weights.path, weights.generator, weights.variant, {**weights.facts, "units": units}
    )
    result = run()
    expected = np.rint(read("mapped-out.tif") / 5.0)
    assert np.abs(read() - expected).max() <= 1 and (read()[:, :9, :9] == 0).all()
    assert result.unit.startswith("DN" if optical == "DN" else "that of the pictures")


@pytest.mark.slow
def test_a_range_that_whole_numbers_would_lose_is_written_in_floats(scene: Path) -> None:
    sar = ground()
    sar[:, :9, :9] = -9999
    write(Path("scene.tif"), sar, names=("VV", "VH"))
    weights = read_run(Path("runs"), "spade2")
    units = {"radar": "dB", "optical": "picture"}

    def translated(out: str, low: float, high: float) -> Translation:
        facts = {**weights.facts, "units": units | {"dn_range": [low, high]}}
        save_weights(weights.path, weights.generator, weights.variant, facts)
        return run(out=out)

    translated("whole.tif", 0.0, 65535.0)
    levels = read("whole.tif")
    seen = levels > 0
    for low, high in ((0.02, 0.97), (-300.0, 3000.0), (0.0, 1e6)):
        result = translated(f"{high}.tif", low, high)
        with rasterio.open(f"{high}.tif") as file:
            assert file.dtypes == ("float32",) * 3 and np.isnan(file.nodata)
            found = file.read()
            assert file.tags()["unit"].endswith(f"floats from {low:g} to {high:g}")
            assert file.overviews
        assert result.unit.endswith(f"floats from {low:g} to {high:g}")
        np.testing.assert_array_equal(np.isnan(found), levels == 0)
        expected = levels / 65535.0 * (high - low) + low
        np.testing.assert_allclose(found[seen], expected[seen], atol=(high - low) * 1e-5)
        assert len(np.unique(found)) > 1000


def test_weights_of_other_units_are_refused(scene: Path) -> None:
    weights = read_run(Path("runs"), "spade2")
    pictures = {"radar": "grey", "optical": "grey"}
    save_weights(weights.path, weights.generator, weights.variant, {"units": pictures})
    with pytest.raises(InputError, match=r"holds dB and DN(.|\n)*--any-units"):
        run()


def test_a_disk_that_is_too_small_is_named_first(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = result.shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(result.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"needs up to 0\.000216 GB"):
        run()
