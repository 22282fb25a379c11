"""httpx without its command line, for the modules of this folder.

`import httpx` also loads the program `httpx`, and with it click, rich and pygments where they are
installed: more than 80 modules and five MiB, of which a client uses nothing. httpx can do without:
if that import fails, it takes these packages for missing. So this module lets it fail, by the way
that Python has for it, a module that is None in `sys.modules`. `httpx.main` is then loaded when a
program asks for it.

If a program has imported httpx before, this module changes nothing.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import sys
from typing import Any, Final, cast

_COMMAND_LINE: Final = "httpx._main"


def _import_lean() -> None:
    # The type of `sys.modules` has no None in it.
    modules = cast("dict[str, Any]", sys.modules)
    # With one call: another thread may be about to import it too.
    if "httpx" in modules or modules.setdefault(_COMMAND_LINE, None) is not None:
        return
    try:
        import httpx as lean  # noqa: PLC0415 - this is when it has to be imported
    finally:
        if modules.get(_COMMAND_LINE, _COMMAND_LINE) is None:
            del modules[_COMMAND_LINE]
    namespace = lean.__dict__
    if "main" in namespace and "__getattr__" not in namespace:
        substitute = namespace.pop("main")
        namespace["__getattr__"] = _MainOnDemand(namespace, substitute)


class _MainOnDemand:
    """Finds `httpx.main`, which is no attribute yet (PEP 562), and makes it one.

    Args:
        namespace: the attributes of httpx.
        substitute: what httpx itself takes for `main` if packages of its command line are missing.
    """

    def __init__(self, namespace: dict[str, Any], substitute: Any) -> None:
        self._namespace = namespace
        self._substitute = substitute

    def __call__(self, name: str) -> Any:
        if name != "main":
            raise AttributeError(f"module 'httpx' has no attribute {name!r}")
        try:
            from httpx._main import main  # noqa: PLC0415 - this is when it is asked for
        except ImportError:
            main = self._substitute
        main.__module__ = "httpx"  # httpx sets it so for all that it exports
        self._namespace["main"] = main
        return main


_import_lean()

import httpx  # noqa: E402 - after the import above, which decides how much of it is loaded

__all__ = ["httpx"]
