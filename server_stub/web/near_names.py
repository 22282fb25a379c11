"""What there is instead of a name that there is not. Pure: no I/O, no clock."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

NEAR_MAX = 3
SHOWN_MAX = 20
"""How many names are shown if none is near."""

_LIKENESS_MIN = 0.6


def said_instead(name: str, names: Collection[str]) -> str:
    """Return which names there are: those that are like a name, or else the first of all.

    Args:
        name: the name that there is not.
        names: the names that there are.
    """
    beginning = sorted(known for known in names if name and known.startswith(name))
    like = get_close_matches(name, sorted(names), NEAR_MAX, _LIKENESS_MIN)
    near = list(dict.fromkeys([*like, *beginning]))[:NEAR_MAX]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not names:
        return "there are none"
    shown = sorted(names)[:SHOWN_MAX]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(shown)}{more}"
