"""The site: the Markdown files as they stand in the repository, and API pages from the docstrings.

`make docs` runs sphinx from the repository's root, so that a link between two files is the same on the site
and in the repository. Nothing is fetched: the theme has its own styles, and formulas are plain text.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

project = "recert"
author = "the recert authors"
copyright = "2026, the recert authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/site/index"
include_patterns = ["*.md", "docs/**.md", "docs/site/*.rst", "models/**.md"]
exclude_patterns = [".*", "shared", "build", "tests", "benchmarks", "**/__pycache__"]

html_theme = "furo"
html_title = "recert"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_extra_path = ["redirect/index.html"]  # the root of the site leads to the README's page
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
nitpicky = False


def as_rst(lines: list[str]) -> list[str]:
    """A docstring of this project as reStructuredText: indented blocks stand as they are (equations, tables),
    `code` is code, and no other character means anything. Examples (>>>) stay examples."""
    text: list[str] = []
    literal = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not literal and (number == 0 or not lines[number - 1].strip()):
            text += ["::", ""]
            literal = True
        elif line.strip() and not indented:
            literal = False
        if literal or line.startswith((">>>", "...")):
            text.append(line)
        else:
            text.append(
                line.strip()
                .replace("\\", "\\\\")
                .replace("*", "\\*")
                .replace("|", "\\|")
                .replace("_ ", "\\_ ")
                .replace("`", "``")
            )
    return text


def setup(app: Any) -> None:
    def process(*event: Any) -> None:
        lines = event[-1]
        lines[:] = as_rst(lines)

    app.connect("autodoc-process-docstring", process)
