"""Sphinx's settings: `make docs` builds the site from Markdown, with the reference made from the code itself."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generated
from pygments.lexers import PythonLexer

project = "featurediff"
author = copyright = "the featurediff authors"
html_title = "featurediff"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = False
smartquotes = False  # `--cores` has two hyphens
html_show_sphinx = False
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["ref.python"]  # types in signatures: two modules may have one of a name
toc_object_entries = False
add_module_names = False
python_maximum_signature_line_length = 100


# Markdown of the repository that is a page here, too: a link to the file leads to the page.
PAGES = {
    "benchmarks/RESULTS.md": "/reference/measured.md",
    "CHANGELOG.md": "/project/changelog.md",
    "CONTRIBUTING.md": "/project/contributing.md",
    "README.md": "/index.md",
}


def link_pages(app: Any, docname: str, source: list[str]) -> None:
    """Let links to files above `docs` lead to their pages."""
    for file, page in PAGES.items():
        source[0] = re.sub(rf"\]\((\.\./)+{re.escape(file)}([)#])", rf"]({page}\2", source[0])


def setup(app: Any) -> None:
    """Register the directive for generated text, the pages made from the repository's files, and a lexer for rules."""
    app.add_directive("generated", generated.Generated)
    app.add_lexer("snakemake", PythonLexer)
    app.connect("source-read", link_pages)
