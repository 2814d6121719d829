"""Which truths are clear follows from how the pairs were prepared."""

from pathlib import Path

import pytest

from kit.pairs.clear import clear_pairs, clear_truths
from kit.pairs.prepare import prepare
from kit.screening.rule import CloudRule
from tests.helpers.sources import write_pictures, write_sen12ms


def test_pictures_have_no_rule_but_the_one_that_they_were_prepared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, work = write_pictures(Path("d"), 4, 1), Path("work")
    truth = work / "tiles" / "truth"
    prepare(data, work)
    assert clear_truths(truth, None) == clear_pairs(work)
    assert clear_pairs(work).max_cloud == 1 and "work" in clear_pairs(work).text
    rule = CloudRule(threshold=0.5)
    prepare(data, work, rule=rule, max_cloud=0.25)
    for other in (None, work, Path("elsewhere")):
        found = clear_truths(truth, other)
        assert (found.rule, found.max_cloud) == (rule, 0.25)
    (work / "summary.json").unlink()
    assert clear_truths(truth, work).max_cloud == 1


@pytest.mark.slow
def test_tiles_of_dn_have_the_rule_of_the_pairs_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = Path("work")
    prepare(write_sen12ms(Path("d"), 2), work, max_cloud=0.125)
    truth = work / "tiles" / "truth"
    assert clear_truths(truth, Path("elsewhere")).max_cloud == 0.125
    assert clear_truths(truth / ".." / "truth", None).origin == "as work was prepared"
    (work / "summary.json").unlink()
    assert clear_truths(truth, None).max_cloud == 0
