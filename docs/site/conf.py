"""How Sphinx makes the site of README.md, docs/ and the docstrings; `./scripts/docs` runs it.

The source folder is the root of the repository, so that a link between two files means the same
on a code host and here.

Why so: docs/decisions/documentation.md.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# The root comes first: the reference is of these sources, and of no compiled build that may be
# installed, as a compiled class does not tell the signature of its constructor.
sys.path[:0] = [str(ROOT), str(HERE)]

project = "noetl-metrics-sdk"
author = "NoETL"
root_doc = "docs/index"
package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
repository_url = package["urls"]["Source"]
include_patterns = [
    "*.md",
    "benchmarks/*.md",
    "docs/*.md",
    "docs/api/*.rst",
    "docs/decisions/*.md",
    "examples/*/README.md",
]
exclude_patterns = [".*", "build", "build_backend", "noetl_metrics_sdk", "server_stub", "venv"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "contents",
    "source_pages",
]
# Headings have the anchors that code hosts give them.
myst_heading_anchors = 4
# In docstrings a word in backticks is code, as it is in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
# A default is shown as it is written, `REGISTRY`, and not as Python would print it.
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
# A parameter's type says its name, as the code does, and not the module in which it is defined.
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# A long signature has a line for each parameter.
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

pygments_dark_style = "github-dark"
html_theme = "furo"
html_title = "noetl-metrics-sdk"
html_static_path = ["static"]
html_css_files = ["site.css"]
# The root of the site leads to the page that groups all others.
html_extra_path = ["extra"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": False}


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", without_private_parameters)


def without_private_parameters(*event: object) -> tuple[str | None, str | None]:
    """Return a signature without the parameters that are not for users: `_parent`."""
    *_, signature, returns = event
    shown = re.sub(r",( \*,)? _\w+: [^,)]*(?=\))", "", str(signature)) if signature else None
    return shown, str(returns) if returns else None
