"""The decorators that tell the compiler something, also where its own package is not installed.

This module itself is not compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_attributes: object) -> object:
        """Return a decorator that leaves a class as it is."""
        return lambda decorated: decorated
