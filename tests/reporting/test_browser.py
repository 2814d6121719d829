"""The report in a real browser: nothing to complain of, at both widths, light, dark and printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.browser import Page, browser, find_chromium

PROGRAM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.multiprocess,
    pytest.mark.xdist_group("report"),
    pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here"),
]
DECODED = "Promise.all([...document.images].map(i => i.decode().then(() => '', () => i.alt)))"
LINKS = "[...document.querySelectorAll('a')].filter(a => !document.querySelector(a.hash)).length"
# The frames of the first samples that can be flipped through, by whether they are seen.
SEEN = """(() => { const flip = [...document.querySelectorAll('.flip')].find(f =>
  f.querySelectorAll('input').length > 1);
  flip.querySelector('input:checked').focus();
  return [...flip.querySelector('.frames').children].map(f => getComputedStyle(f).visibility); })()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert PROGRAM
    with browser(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_has_nothing_to_complain_of(
    page: Page, page_once: Path, width: int, dark: bool
) -> None:
    page.look(width=width, dark=dark)
    page.open(page_once)
    assert page.errors() == []
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    assert [alt for alt in page.evaluate(DECODED) if alt] == []
    assert page.evaluate("document.images.length") >= 40 and page.evaluate(LINKS) == 0
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert color == ("rgb(19, 22, 26)" if dark else "rgb(255, 255, 255)")


def test_samples_flip_by_the_arrow_keys_without_a_script(page: Page, page_once: Path) -> None:
    page.look(width=1280, scripts=False)
    page.open(page_once)
    before = page.evaluate(SEEN)
    assert before.count("visible") == 1
    page.press("ArrowRight")
    after = page.evaluate(SEEN)
    assert after.count("visible") == 1 and after != before


def test_it_prints_and_can_be_read_without_a_click(page: Page, page_once: Path) -> None:
    page.look(width=390)
    page.open(page_once)
    seen = "getComputedStyle(document.querySelector('{}')).display"
    assert page.evaluate(seen.format(".plot .wide")) == "none"
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("document.querySelector('main').innerText.length") > 2000
    assert page.evaluate(seen.format("nav")) == "none"
    assert page.evaluate(seen.format(".plot .wide")) == "block"
    page.call("Emulation.setEmulatedMedia", media="")
    assert page.print_pdf().startswith(b"%PDF-")
