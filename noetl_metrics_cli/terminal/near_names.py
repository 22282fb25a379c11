"""What to say instead of a name that there is not. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

NAMES_MAX = 5


def near_names(name: str, names: Collection[str]) -> str:
    """Return which name may be meant, or else which names there are.

    Args:
        name: the name that there is not.
        names: the names that there are.
    """
    like = get_close_matches(name, names, 3)
    if like:
        return f"did you mean {' or '.join(like)}?"
    if not names:
        return "there is none"
    listed = sorted(names)
    more = f" and {len(listed) - NAMES_MAX} more" if len(listed) > NAMES_MAX else ""
    return f"there {'is' if len(listed) == 1 else 'are'} {', '.join(listed[:NAMES_MAX])}{more}"
