"""What the continuous integration installs is locked: each package by its version and hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
OURS = "noetl-metrics-sdk"
LOCKED = ROOT / ".ci/locked.txt"
LOCKED_COMPILED = ROOT / ".ci/locked-compiled.txt"


def entries_of(path):
    """Return the requirements of a lock file, and the number of hashes of each."""
    text = re.sub(r"(?m)^ *#.*\n", "", path.read_text(encoding="utf-8")).replace("\\\n", "")
    lines = [line.partition(" --hash=") for line in text.splitlines()]
    return [(Requirement(first), rest.count("sha256:")) for first, _, rest in lines]


def wanted_of(*, extras, groups):
    """Return what pyproject.toml asks for in its dependencies, its extras and its groups."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, of_groups = document["project"], document["dependency-groups"]
    texts = list(project["dependencies"]) if extras else []
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    for group in groups:
        texts += of_groups[group]
    return [Requirement(text) for text in texts if isinstance(text, str)]


@pytest.mark.parametrize("path", [LOCKED, LOCKED_COMPILED], ids=lambda path: path.name)
def test_a_locked_package_has_one_version_and_hashes(path):
    """pip refuses a file that is not the locked one; no address of an index is in the lock."""
    assert "://" not in path.read_text(encoding="utf-8")
    for requirement, hashes in entries_of(path):
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
        assert hashes > 0, requirement


@pytest.mark.parametrize(
    ("path", "extras", "groups"),
    [
        (LOCKED, ["embedded", "server", "otel"], ["bench", "dev"]),
        (LOCKED_COMPILED, [], ["dev-compiled"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_lock_fits_the_project(path, extras, groups):
    """Each requirement of pyproject.toml is locked at a version that it allows; if not, run
    ./scripts/lock."""
    versions: dict[str, list[str]] = {}
    for requirement, _ in entries_of(path):
        (pinned,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), []).append(pinned.version)
    for wanted in wanted_of(extras=extras, groups=groups):
        if wanted.name != OURS:
            found = versions.get(canonicalize_name(wanted.name), [])
            assert found, wanted
            assert all(wanted.specifier.contains(version) for version in found), wanted
