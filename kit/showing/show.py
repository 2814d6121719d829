"""A place, a scene or a pair -> everything that the kit sees of it.

In: names, and the folders that the kit writes. Out: views, with pixels, masks and predictions; a
picture and placed GeoTIFFs, if they are asked for. Nothing else is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.figures.grid import check_format, write_image
from kit.progress import Report
from kit.showing.finding import Folders, find
from kit.showing.geotiff import write_geotiffs
from kit.showing.picture import draw
from kit.showing.stored import predicted_from
from kit.showing.subject import Subject
from kit.showing.view import View
from kit.sources.index import Indexed, find_image
from kit.storage.files import FITTED, PREDICTIONS, RUNS, WORK, AnyPath


@dataclass(frozen=True, slots=True)
class Shown:
    """What was found, and the files that were written of it."""

    views: tuple[View, ...]
    files: tuple[Path, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything but pixels, as JSON values."""
        return {
            "views": [view.as_dict() for view in self.views],
            "files": [*map(str, self.files)],
        }


def show(
    what: Sequence[str],
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    predictions: AnyPath = PREDICTIONS,
    ensembles: AnyPath = FITTED,
    input: AnyPath | None = None,
    truth: AnyPath | None = None,
    predict: Sequence[str] = (),
    output: AnyPath | None = None,
    geotiff: AnyPath | None = None,
    report: Report = lambda _: None,
) -> Shown:
    """Collect what there is of places, scenes or pairs.

    Args:
        what: places `<lon>_<lat>`, scenes `<lon>_<lat>_<YYYY>_<MM>_<DD>`, or names of files that
            end so; or images of another layout, by their paths or the ends of these. A pair is
            named by either of its scenes.
        work: the folder of tables.
        runs: the folder of trained variants.
        predictions: the folder of predictions.
        ensembles: the folder of fitted ensembles.
        input: tiles to look in beside what was screened and predicted from.
        truth: of scenes that are in no pair, as `score` takes it; if None, of images that became
            tiles, what lies beside these.
        predict: trained variants that predict now.
        output: a PNG or JPEG to write.
        geotiff: a folder to write placed GeoTIFFs into.
        report: takes a line about what cannot be read.

    Raises:
        InputError: there is nothing of what is asked for; or a table, or weights, cannot be used.
        OutputError: a file cannot be written.
    """
    given = [Path(input)] if input else []
    named = [_named(text, Path(work), given, Path(predictions)) for text in what]
    images = [image for _, image in named if image and image.is_test and image.has_tiles()]
    subjects = [subject for subject, _ in named]
    if output:
        check_format(Path(output))
    folders = Folders(
        Path(work),
        Path(runs),
        Path(predictions),
        Path(ensembles),
        (*given, *(image.tiles for image in images)),
        (Path(truth),) if truth else tuple(image.truth for image in images if image.has_truths()),
    )
    views = find(subjects, folders, report)
    if predict:
        # Torch takes seconds to import, and most of what is shown needs none.
        from kit.showing.predicting import with_predictions

        views = with_predictions(views, folders, predict, report)
    files: tuple[Path, ...] = ()
    files += (write_image(draw(views), Path(output)),) if output else ()
    files += write_geotiffs(views, Path(geotiff)) if geotiff else ()
    return Shown(views, files)


def _named(
    text: str, work: Path, given: Sequence[Path], predictions: Path
) -> tuple[Subject, Indexed | None]:
    """What a text names; with the image, if it is the name of one."""
    try:
        return Subject.parse(text), None
    except InputError:
        image = find_image(work, text, [*given, *predicted_from(predictions)])
        if image is None:
            raise
        return Subject(image.scene.place, image.scene, text), image
