"""Everything that is there -> one HTML file that needs no network and no script.

In: the folders of the kit, whatever they hold so far. Out: the file. Nothing is trained, predicted
or changed, and what is damaged is named in the report. Refused by name: folders in which there is
nothing yet, and a name that is no HTML file's.
"""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import kit
from kit.errors import InputError
from kit.metrics import check_validated
from kit.progress import Advance
from kit.reporting.archives import archives, read_standings
from kit.reporting.artefacts import Artefacts, Folders
from kit.reporting.blocks import Section, Table
from kit.reporting.clouds import clouds
from kit.reporting.comparison import comparison
from kit.reporting.curves import curves
from kit.reporting.funnel import funnel
from kit.reporting.machine import machine
from kit.reporting.overview import overview
from kit.reporting.pixels import pixels
from kit.reporting.places import places
from kit.reporting.samples import samples
from kit.reporting.scores import scores
from kit.storage.files import FITTED, PREDICTIONS, RUNS, SUBMISSIONS, WORK, AnyPath, output

REPORT = Path("report.html")
_SUFFIXES = (".html", ".htm")
_NUMBER = re.compile(r"([+-]?[\d.,]+(e[+-]?\d+)?( (s|min|h|days|%))?)?")


@dataclass(frozen=True, slots=True)
class Written:
    """A report: its file and size, the titles of its sections, and what could not be read."""

    path: Path
    bytes: int
    sections: tuple[str, ...]
    problems: tuple[str, ...]


def report(
    path: AnyPath = REPORT,
    *,
    measure: str | None = None,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    predictions: AnyPath = PREDICTIONS,
    ensembles: AnyPath = FITTED,
    submissions: AnyPath = SUBMISSIONS,
    advance: Advance | None = None,
) -> Written:
    """Write a report of everything that is there so far; an earlier one is replaced.

    Args:
        path: of the HTML file.
        measure: by which scenes are worst, a key of `kit.metrics.MEASURES`; that of the fitted
            ensemble, or of `kit validate`, if None.
        work: the folder of tables.
        runs: the folder of trained runs.
        predictions: the folder of predictions.
        ensembles: the folder of fitted ensembles.
        submissions: the folder of archives.
        advance: called with the held-out scenes compared, and their number.

    Raises:
        InputError: there is nothing to report, or the name or the measure is not usable.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(path, "is no name of a web page", remedy="give one that ends with .html")
    if measure is not None:
        check_validated(measure)
    folders = Folders(*map(Path, (work, runs, predictions, ensembles, submissions)))
    found = Artefacts(folders)
    if found.is_empty:
        remedy = "start with kit screen DATA" + _damaged(found)
        raise InputError(folders.work, "holds nothing to report", remedy=remedy)
    sections = _sections(found, measure, advance)
    text = _page(found, sections)
    with output(path) as part:
        part.write_text(text, encoding="utf-8")
    titles = tuple(section.title for section in sections)
    return Written(path, len(text.encode()), titles, tuple(found.problems))


def _damaged(found: Artefacts) -> str:
    return "; or mend " + "; ".join(found.problems) if found.problems else ""


def _sections(
    found: Artefacts, measure: str | None, advance: Advance | None
) -> tuple[Section, ...]:
    standings = read_standings(found)
    makers: tuple[Callable[[Artefacts], Section | None], ...] = (
        funnel,
        places,
        pixels,
        clouds,
        curves,
        scores,
        samples,
        lambda found: comparison(found, measure, advance),
        lambda _: archives(standings),
        machine,
    )
    tried = (found.attempt(partial(make, found), None) for make in makers)
    made = [section for section in tried if section]
    return overview(found, standings), *made  # last, for what the others found


def _page(found: Artefacts, sections: tuple[Section, ...]) -> str:
    environment = Environment(
        loader=PackageLoader("kit.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    environment.filters["numeric"] = _numeric
    return environment.get_template("page.html").render(
        title=f"Report of {Path.cwd().name}",
        version=kit.__version__,
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        data=found.summary.get("data", ""),
        sections=sections,
        style=Markup(environment.get_template("page.css").render()),
    )


def _numeric(table: Table) -> list[int]:
    """The columns of a table that hold numbers, and so are aligned to the right."""
    columns = list(zip(*table.rows, strict=True))
    return [
        n for n, cells in enumerate(columns) if any(cells) and all(map(_NUMBER.fullmatch, cells))
    ]
