"""The site's contents, from the lists and tables of links that a code host shows as they are.

Each list of docs/index.md becomes a part of the navigation, and a README has the pages of its
folder below it. Sphinx needs toctrees for that, which a code host would show as text.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class ListsBecomeToctrees(SphinxTransform):
    """Add hidden toctrees to the pages that list others."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Add a toctree for each list of the root document, or one for a README's folder."""
        page = self.env.docname
        if page == self.config.root_doc:
            for listed in list(self.document.findall(nodes.bullet_list)):
                heading = listed.parent.next_node(nodes.title)
                caption = heading.astext() if heading is not None else None
                listed.parent.append(toctree(page, caption, pages_of(listed)))
        elif posixpath.basename(page) == "README":
            folder = posixpath.dirname(page)
            beside = [one for one in pages_of(self.document) if posixpath.dirname(one) == folder]
            if folder and beside:
                self.document.append(toctree(page, None, beside))


def pages_of(node: nodes.Element) -> list[str]:
    """Return the pages to which a part of a document links; a link with an anchor is none."""
    links = [link for link in node.findall(addnodes.pending_xref) if not link.get("reftargetid")]
    return list(dict.fromkeys(link["reftarget"] for link in links if link["refdomain"] == "doc"))


def toctree(page: str, caption: str | None, pages: list[str]) -> addnodes.toctree:
    """Return a hidden toctree of some pages."""
    return addnodes.toctree(
        parent=page, caption=caption, rawcaption=caption, hidden=True, glob=False, maxdepth=2,
        titlesonly=True, numbered=0, includehidden=False,
        entries=[(None, page) for page in pages], includefiles=pages,
    )  # fmt: skip


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_transform(ListsBecomeToctrees)
    return {"parallel_read_safe": True}
