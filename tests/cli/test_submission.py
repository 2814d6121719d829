"""The tables of results on a narrow terminal."""

import pytest

from kit.cli import console, scores
from kit.metrics import MEASURES, Scores, image_measures
from kit.scoring.report import Report, Row, Variation


def test_no_number_of_a_report_is_cut_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console.stderr, "_width", 80)
    monkeypatch.setattr(console.stderr, "quiet", False)
    names = ("mean colour", "spade4", "spade2", "p2phd1", "ensemble (spade4, spade2, p2phd1)")
    others = dict.fromkeys(set(image_measures()) - {"mae", "mse"}, 0.1234567)
    rows = [
        Row(name, Scores(0.023456 + i, 0.012345, 29.12345, 28.12345, 24, others), 0.0345678,
            0.0234567, 0.0654321, 19.54321)
        for i, name in enumerate((*names, "with anchors"))
    ]  # fmt: skip
    other = Variation("", "anchors", rows[-1])
    scores.show_report(Report(tuple(rows[:-1]), (), variations=(other,)), explain=True)
    shown = capsys.readouterr().err
    grid = [line for line in shown.splitlines() if line.startswith("│")]
    assert max(map(len, grid)) <= 80
    cells = {cell.strip() for line in grid for cell in line.split("│")}
    for row in rows:
        assert {
            f"{value:.4g}" for name, value in row.as_dict().items() if name in MEASURES
        } <= cells
