"""How far an export or an import is: a small file of JSON beside the file itself."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from noetl_metrics_cli.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path


def read_side_file(path: Path) -> dict[str, Any] | None:
    """Return what a side file says, or None if it is not there.

    Raises:
        CommandError: it cannot be read, or another program has written it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read ({error}): remove it to begin anew") from error
    if not isinstance(content, dict) or not isinstance(content.get("bytes"), int):  # pyright: ignore[reportUnknownMemberType]
        raise CommandError(f"{path} does not say how far it is: remove it to begin anew")
    return content  # pyright: ignore[reportUnknownVariableType] - JSON


def write_side_file(path: Path, content: dict[str, Any]) -> None:
    """Replace a side file at once, so that a program that is killed leaves the old or the new one.

    Raises:
        CommandError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
