"""Give setuptools what pyproject.toml cannot express: the extension modules, if there are any."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "build_backend"))

import compiling

setup(
    ext_modules=compiling.extensions(),
    # Not in the source tree: setuptools would put the files of an earlier build into the wheel.
    options={"build": {"build_base": compiling.temporary_folder("noetl-metrics-build-")}},
)
