"""One page of everything that is there: what it holds, and that it works with whatever exists."""

import datetime
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.cli.main import main
from kit.errors import InputError
from kit.metrics import Scores
from kit.pairs.prepare import prepare
from kit.pairs.table import PAIRS, Pair, Split, read_pairs, write_pairs
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import read_ensemble, write_ensemble
from kit.reporting.report import report
from kit.reporting.scores import _lead
from kit.runs.notes import add_note
from kit.runs.weights import load_run, save_weights
from kit.screening.screen import screen
from kit.storage.files import WORK
from kit.submission.server_score import log
from kit.tiles.names import SceneKey
from kit.training.table1 import Row, Scored, tabulate
from kit.training.unseen import Part
from kit.training.validation import read_validation
from tests.helpers.tiles import key, optical, world

pytestmark = pytest.mark.xdist_group("report")
ALL = (
    "Overview", "From scenes to pairs", "Places and dates", "Pixel values", "Clouds near the limit",
    "Training", "Table 1", "Samples by epoch", "Members and ensemble", "Submissions",
    "Machine and versions",
)  # fmt: skip
# What has no end tag.
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """The tags of a page, which must close in order, its ids and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.titles: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            if name in ("href", "src", "xlink:href"):
                self.links.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-2:] == ["h2", "a"]:
            self.titles.append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(path: Path) -> str:
    """What a page says, without its markup."""
    plain = re.sub(r"<style>.*?</style>|<[^>]*>", " ", path.read_text(), flags=re.DOTALL)
    return " ".join(plain.split())


def test_everything_is_on_one_page_that_needs_nothing_else(page_once: Path) -> None:
    text = page_once.read_text()
    page = Page(text)
    assert page.titles == [*ALL] and len(text) < 20e6
    assert page.tags["script"] == 0 and page.tags["svg"] >= 10 and page.tags["img"] >= 40
    assert {name for name, count in page.ids.items() if count > 1} == set()
    inner = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids) and len(inner) >= len(ALL)
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []
    assert "@import" not in text and re.search(r"url\((?!#)", text) is None


def test_table_1_is_what_validate_says(page_once: Path) -> None:
    rows = read_validation(page_once.parent / "runs").rows()
    text = text_of(page_once)
    assert {row.variant for row in rows} >= {"mean colour", "boosted trees", "spade2", "spade4"}
    for row in rows:
        assert row.variant in text
        if row.interval:
            assert "{:.4g} to {:.4g}".format(*row.interval) in text


def test_its_lead_is_of_the_pairs_of_most_places() -> None:
    """A single place says little, and an interval of it nothing."""
    held, out = Part(), Part(out_of_fold=True)
    rows = [
        Row("unet2", "reflectance", Scores(0.10, 0.02, 18, 18, 2), None, part=held, places=1),
        Row("trees1", "reflectance", Scores(0.15, 0.03, 15, 15, 2), None, part=held, places=1),
        Row("unet2", "reflectance", Scores(0.08, 0.01, 22, 18, 9), None, part=out, places=6),
        Row("trees1", "reflectance", Scores(0.06, 0.01, 24, 18, 9), None, part=out, places=6),
    ]
    assert _lead(rows, "mae") == "trees1 is best by mae, 0.06, on 9 pairs of 6 places."
    alone = "unet2 is best by mae, 0.1, on 2 pairs of 1 place."
    assert _lead(rows[:2], "mae") == alone
    scenes = [str(SceneKey("1.00", "2.00", datetime.date(2020, 1, day))) for day in (1, 2)]
    errors = {scene: {"mae": 0.1, "mse": 0.02} for scene in scenes}
    (row,) = tabulate({held: tuple(scenes)}, [Scored("unet2", "reflectance", errors)], "mae")
    assert (row.places, row.interval) == (1, None)


def test_plots_take_their_colours_from_the_page(page_once: Path) -> None:
    plots = re.findall(r"<svg.*?</svg>", page_once.read_text(), flags=re.DOTALL)
    colors = {color for plot in plots for color in re.findall(r"#[0-9a-fA-F]{6}\b", plot)}
    assert len(plots) >= 10 and colors <= {"#ffffff", "#000000"}
    assert all("var(--" in plot and "aria-label=" in plot for plot in plots)


NO_RUNS = ALL[:5] + ALL[-1:]


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("gone", "sections"),
    [
        (["submissions"], [each for each in ALL if each != "Submissions"]),
        (["runs", "ensembles", "predictions", "submissions"], NO_RUNS),
        (["work", "runs/validation.parquet"],
         ["Overview", "Places and dates", "Pixel values", *ALL[5:8], *ALL[9:]]),
        (["runs/spade2/heldout", "runs/p2phd1/heldout", "runs/spade4/samples"], ALL),
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_missed(
    complete: Path, gone: list[str], sections: Sequence[str]
) -> None:
    for name in gone:
        shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()
    written = report("some.html")
    assert [*sections] == [*written.sections]
    Page(Path("some.html").read_text())


@pytest.mark.usefixtures("bare")
def test_pairs_that_are_all_cloudy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=4, dates=1)
    for place in range(4):
        optical(Path("data"), key(place, 2), qa60=8)
    prepare("data", holdout=0)
    pairs = read_pairs(WORK / PAIRS)
    assert len(pairs) == 4 and not any(pair.dataset1 for pair in pairs)
    assert "Places and dates" in report().sections


@pytest.mark.usefixtures("bare")
def test_nothing_but_screened_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=4, dates=1)
    screen("data")
    assert report().sections == NO_RUNS
    text = text_of(Path("report.html"))
    assert "Next: kit prepare DATA" in text and "scenes screened" in text


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_scores_of_other_pairs_are_told(complete: Path) -> None:
    report()
    told = "These are of other pairs than those of now."
    refit = "--measure mae --name best --overwrite"
    text = text_of(Path("report.html"))
    assert told not in text and refit not in text and "other weights or pairs" not in text
    write_pairs(WORK / PAIRS, read_pairs(WORK / PAIRS)[1:])
    report()
    text = text_of(Path("report.html"))
    assert told in text and refit in text and "; of other weights or pairs" in text


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_half_a_run_and_other_weights_are_told(complete: Path) -> None:
    for path in Path("runs/spade4").glob("*.safetensors"):
        path.unlink()
    shutil.rmtree("runs/spade4/checkpoints")
    weights = load_run(Path("runs"), "spade2")
    with torch.no_grad():
        next(weights.generator.parameters()).mul_(1.01)
    save_weights(weights.path, weights.generator, weights.variant, weights.facts)
    assert report().problems == ()
    text = text_of(Path("report.html"))
    assert "spade4 stopped. To resume it: kit train spade4" in text
    assert "trained again since: spade2, spade4." in text
    assert "best was fitted to other weights or pairs than those of now." in text


DAMAGED = (
    "work/pairs.parquet", "work/summary.json", "work/scenes.parquet", "runs/validation.parquet",
    "ensembles/best.json",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_what_is_damaged_is_named_and_the_rest_is_shown(complete: Path) -> None:
    for name in DAMAGED:
        data = bytearray(Path(name).read_bytes())
        data[len(data) // 2] ^= 4
        Path(name).write_bytes(data)
    written = report()
    text = text_of(Path("report.html"))
    for name in DAMAGED:
        assert any(problem.startswith(name) for problem in written.problems)
        assert name in text
    assert {"Training", "Samples by epoch", "Submissions"} <= set(written.sections)


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_weights_that_cannot_be_read_are_named(complete: Path) -> None:
    weights = Path("runs/spade2/weights.safetensors")
    weights.unlink()
    weights.mkdir()
    written = report()
    assert any(problem.startswith(str(weights)) for problem in written.problems)
    assert {"Training", "Submissions"} <= set(written.sections)


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_an_ensemble_in_the_servers_space_has_no_errors_in_another(complete: Path) -> None:
    ensemble = read_ensemble(Path("ensembles/best.json"))
    made = Combination("mean", Affine(((65_536, 65_536, 0),) * 3), "anchors")
    fitted = replace(ensemble, measure="official_2022", combination=made)
    write_ensemble(Path("ensembles"), fitted)
    assert report(measure="mae").problems == ()
    text = text_of(Path("report.html"))
    assert "; ensemble best is in the server" in text and "where mae says nothing" in text
    assert report().problems == ()
    assert "; ensemble best of 2: " in text_of(Path("report.html"))


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_a_held_out_prediction_that_is_gone_costs_its_section_alone(complete: Path) -> None:
    for path in Path("runs").glob("*/heldout/*.npy"):
        path.unlink()
    written = report()
    assert any("heldout" in problem for problem in written.problems)
    assert set(written.sections) == set(ALL) - {"Members and ensemble"}


def test_nothing_to_report_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["kit", "report"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3 and "start with kit screen DATA" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.pdf", "report", "runs/spade2/weights.safetensors"])
def test_a_report_replaces_no_other_file(name: str) -> None:
    with pytest.raises(InputError, match=r"give one that ends with \.html"):
        report(name)


@pytest.mark.usefixtures("bare")
def test_notes_and_what_sets_runs_apart_are_shown(complete: Path, bare: None) -> None:
    add_note(Path("runs/spade2"), "does <b>L1</b> alone do?")
    log(Path("submissions"), "first", note="the one to beat")
    report("page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert "spade2: does &lt;b&gt;L1&lt;/b&gt; alone do?" in text
    assert "first: the one to beat" in text
    assert "What sets runs apart" in text and "gan=1.0" in text


@pytest.mark.slow
def test_names_from_outside_are_text(complete: Path, monkeypatch, capsys) -> None:
    evil = "<script>alert(1)</script>"
    log = Path("submissions/submissions.csv")
    log.write_text(log.read_text().replace("first", evil))
    monkeypatch.setattr("sys.argv", ["kit", "report", "-o", "page.html", "--measure", "mae"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    text = Path("page.html").read_text()
    assert evil not in text and "&lt;script&gt;alert(1)" in text
    assert "page.html: " in (err := capsys.readouterr().err) and "open it in a browser" in err


@pytest.mark.slow
def test_thousands_of_scenes_make_no_large_file(complete: Path) -> None:
    first = read_pairs(Path("work/pairs.parquet"))[0]
    random = np.random.default_rng(0)
    for folder in ("runs", "ensembles", "predictions", "submissions"):
        shutil.rmtree(folder)

    def other(number: int) -> Pair:
        lon, lat = (f"{value:.2f}" for value in random.uniform((-58, -6), (-50, 2)))
        days = datetime.timedelta(days=number % 900)
        key = SceneKey(lon, lat, datetime.date(2018, 1, 1) + days)
        split: Split = "train" if number % 9 else "holdout"
        gone = (Path("gone.tiff"),) * 2  # the tiles are on another machine
        return replace(first, radar=key, optical=key, radar_paths=gone, split=split)

    pairs = {str(pair.optical): pair for pair in map(other, range(8000))}
    write_pairs(Path("work/pairs.parquet"), tuple(pairs.values()))
    written = report()
    assert 1e5 < written.bytes < 3e6
    assert "Pixel values" not in written.sections and written.problems == ()
    assert f"{len(pairs):,} pairs" in text_of(Path("report.html"))
