"""The build backend: it is setuptools', and has mypyc compile the hot path where that is possible.

The project has a PEP 517 backend of its own, because a build needs mypy only if it tries to
compile. Without a C compiler an installation must not fail because mypy has no binary wheel for
the platform. mypyc compiles all of the listed modules or none: if anything fails, the wheel is
pure Python.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import compiling
from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    ConfigSettings = Mapping[str, str | list[str] | None] | None

# An editable installation is pure Python: a compiled module would not follow an edit.
build_editable = build_meta.build_editable
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """Return the packages that building a wheel needs: mypy too, if the build tries to compile."""
    needed = list(build_meta.get_requires_for_build_wheel(config_settings))
    if compiling.wanted() != "no" and compiling.obstacle() is None:
        needed.append(compiling.MYPY)
    return needed


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel, compiled if that is possible, and return its file name.

    Raises:
        SystemExit: compiling was required and failed.
    """
    wanted = compiling.wanted()
    if wanted != "no":
        obstacle = compiling.obstacle()
        if obstacle is None:
            try:
                with compiling.enabled():
                    return _build(wheel_directory, config_settings, metadata_directory)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever fails, there is a way
                obstacle = f"compiling failed: {error!r}"
        if wanted == "require":
            raise SystemExit(f"{compiling.VARIABLE}=require, but {obstacle}")
        sys.stderr.write(
            f"WARNING: noetl-metrics-sdk is installed as pure Python, which is right but slower: "
            f"{obstacle}\n"
        )
    return _build(wheel_directory, config_settings, metadata_directory)


def _build(
    wheel_directory: str, config_settings: ConfigSettings, metadata_directory: str | None
) -> str:
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))
