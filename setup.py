"""The part of the build that pyproject.toml cannot say: the extension modules, if any."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "build_backend"))

import compiling

setup(
    ext_modules=compiling.extensions(),
    # Not in the source tree: what another build has left there would go into the wheel.
    options={"build": {"build_base": compiling.temporary_folder("noetl-metrics-build-")}},
)
