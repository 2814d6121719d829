"""How Sphinx builds the site: `make docs`, where every warning is an error.

A warning is a link, an anchor, an image or a reference that leads nowhere, or a page that no menu
reaches. Three pages are files of the repository's root, which GitHub shows there; the commands, the
settings and the layouts are read from the kit at each build, so that no page can fall behind.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
import generated

import kit

ROOT = Path(__file__).parents[1]

project = "SAR-to-optical kit"
author = "The authors of the SAR-to-optical kit"
copyright = "Apache-2.0"
version = release = kit.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
nitpicky = True  # a reference to nothing is a warning, too
myst_heading_anchors = 4  # page.md#a-heading works here as it does on GitHub

html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}

# The pages that are a file of the root, and how links are written there and here.
_ROOT_PAGES = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
_LINKS = {"](docs/": "](", "](LICENSE)": "](../LICENSE)"} | {
    f"]({file}": f"]({page}.md" for page, file in _ROOT_PAGES.items()
}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the text of a root file, or what the kit says of itself, into a page as it is read."""
    if page in _ROOT_PAGES:
        path = ROOT / _ROOT_PAGES[page]
        app.env.note_dependency(path)
        text = path.read_text(encoding="utf-8")
        for there, here in _LINKS.items():
            text = text.replace(there, here)
        source[0] = text + "\n" + source[0]
    for name, write in generated.SECTIONS.items():
        marker = f"<!-- generated: {name} -->"
        if marker in source[0]:
            app.env.note_reread()
            source[0] = source[0].replace(marker, write())


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
