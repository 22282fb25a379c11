"""Links to files and folders of the repository lead to pages of the site that show them.

So the site is whole wherever it is put, and needs no address of a code host.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.builders.html import StandaloneHTMLBuilder

PAGES = "source"
LEFT_OUT = {"__pycache__"}
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{path}</title>
<link rel="stylesheet" href="{root}_static/pygments.css">
<link rel="stylesheet" href="{root}_static/source.css">
</head>
<body>
<p><a href="{root}{contents}.html">Documentation</a></p>
<h1>{path}</h1>
{body}
</body>
</html>
"""
# By the end of a file's name; others are shown as plain text.
LANGUAGES = {".json": "json", ".md": "markdown", ".py": "python", ".sql": "postgresql"}


class LinksToSources(SphinxTransform):
    """Have each link to a file or a folder that is no document lead to the page that shows it."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Replace the links."""
        self.find_own_pages()
        # Sphinx copies a download, and does not know a folder.
        for link in [
            *self.document.findall(addnodes.download_reference),
            *self.document.findall(addnodes.pending_xref),
        ]:
            if link.get("reftype") != "myst" or link.get("refdomain"):
                continue
            relative, absolute = self.env.relfn2path(link["reftarget"], self.env.docname)
            path = Path(absolute)
            readme = self.env.path2doc(str(path / "README.md"))
            if (path / "README.md").is_file() and readme is not None:
                link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", readme, None
            elif path.exists():
                sources: set[str] = self.env.metadata[self.env.docname].setdefault("sources", set())
                sources.add(posixpath.normpath(relative))
                link.replace_self(self.to_page(link, posixpath.normpath(relative)))

    def find_own_pages(self) -> None:
        """Have links to the code host that shows this repository lead to the same file here.

        README.md has such links, as an index of packages shows it without the files around it.
        """
        root = re.escape(self.config.repository_url)
        for link in list(self.document.findall(nodes.reference)):
            own = re.fullmatch(f"{root}/(?:blob|tree)/main/([^#]+)#?(.*)", link.get("refuri", ""))
            if own is None:
                continue
            path = unquote(own[1]).rstrip("/")
            absolute = Path(self.env.srcdir, path)
            page = self.env.path2doc(str(absolute)) if absolute.is_file() else None
            here = addnodes.pending_xref(
                refdomain="doc" if page else None, reftarget=page or f"/{path}",
                reftargetid=own[2] or None, refdoc=self.env.docname, reftype="myst",
                refexplicit=True,
            )  # fmt: skip
            here += nodes.inline("", "", *link.children, classes=["xref", "myst"])
            link.replace_self(here)

    def to_page(self, link: nodes.Element, path: str) -> nodes.reference:
        """Return a link to the page of a path, with the text of the link that was there."""
        up = "../" * self.env.docname.count("/")
        page = nodes.reference("", "", internal=True, refuri=f"{up}{PAGES}/{path}.html")
        page += link.children
        return page


def write_pages(app: Sphinx, error: Exception | None) -> None:
    """Write a page for each file to which a document links, and for the files of its folders.

    They are plain pages without the navigation, which takes longer to make than everything else.
    """
    if error is not None:
        return
    waiting = {
        path for metadata in app.env.metadata.values() for path in metadata.get("sources", ())
    }
    done: set[str] = set()
    while waiting:
        path = waiting.pop()
        done.add(path)
        absolute = Path(app.srcdir, path)
        if absolute.is_dir():
            names = sorted(one.name for one in absolute.iterdir() if one.name not in LEFT_OUT)
            waiting |= {posixpath.join(path, name) for name in names} - done
            body = listing(absolute.name, names)
        else:
            body = highlighted(app, absolute)
        page = Path(app.outdir, PAGES, f"{path}.html")
        page.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * (path.count("/") + 1)
        page.write_text(
            TEMPLATE.format(
                path=html.escape(path), root=root, contents=app.config.root_doc, body=body
            ),
            encoding="utf-8",
        )


def listing(folder: str, names: list[str]) -> str:
    """Return the list of a folder's files, each a link to its page."""
    folder, items = html.escape(folder), [html.escape(name) for name in names]
    lines = [f'<li><a href="{folder}/{item}.html"><code>{item}</code></a></li>' for item in items]
    return f"<ul>{''.join(lines)}</ul>"


def highlighted(app: Sphinx, path: Path) -> str:
    """Return the text of a file in the colours of its language."""
    text = path.read_text(encoding="utf-8")
    language = LANGUAGES.get(path.suffix, "text")
    builder = cast("StandaloneHTMLBuilder", app.builder)
    return builder.highlighter.highlight_block(text, language, linenos=False)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("repository_url", "", "env", types=[str])
    app.add_transform(LinksToSources)
    app.connect("build-finished", write_pages)
    return {"parallel_read_safe": True}
