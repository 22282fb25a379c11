"""How many values a body has, counted before anything is made of them. Pure.

A megabyte of `[1,1,…]` is half a million values. As objects they take fifty times the room of the
text, and such a text compresses to a thousandth. So what is too much is refused by its text.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from server_stub.errors import BodyMalformedError, BodyTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES_PER_SAMPLE_MAX = 40
"""How many values a body with a wrong sample may have for each sample that is allowed, on average:
eight fields, and thirty labels."""

DEPTH_MAX = 100
"""How deep arrays and objects are nested in one another; those of a batch are four deep."""

SCANNED_AT_ONCE_BYTES = 512 * 1024
"""No other thread runs while a pattern is matched."""

# Up to the next bracket or comma that is not within a string, or to where a string begins that does
# not end within what is scanned. Possessive, so it never goes back. It stops after some strings.
_TO_NEXT_MARK = re.compile(
    rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+"){0,2000}+(?:([\[\]{},])|("(?:[^"\\]++|\\.)*+)?)',
    re.DOTALL,
)
_TO_END_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+(")?', re.DOTALL)


def check_values(body: bytes, samples_max: int) -> None:
    """Refuse a body that has more values than can be meant.

    Args:
        body: JSON, or something else, which the caller finds out.
        samples_max: how many samples a request may have.

    Raises:
        BodyTooLargeError: it has more samples, or more values than so many samples have.
        BodyMalformedError: it is nested too deeply.
    """
    values_max = samples_max * VALUES_PER_SAMPLE_MAX
    samples = values = 0
    containers: list[bytes] = []
    arrays = 0
    for mark in _marks(body):
        if mark in b"]}":
            if containers and containers.pop() == b"[":
                arrays -= 1
            continue
        values += 1
        if mark != b",":
            containers.append(mark)
            arrays += mark == b"["
        # The samples are the elements of an array that no other array is around.
        if arrays == 1 and containers[-1] == b"[":
            samples += 1
        if samples > samples_max:
            raise BodyTooLargeError(
                f"the request has more than {samples_max} samples, at most {samples_max} are "
                "allowed: send smaller batches"
            )
        if values > values_max:
            raise BodyTooLargeError(
                f"the request has more than {values_max} values, and a sample that is wrong: send "
                "smaller batches"
            )
        if len(containers) > DEPTH_MAX:
            raise BodyMalformedError(
                f"the body is nested too deeply, more than {DEPTH_MAX} times: send samples as "
                "/docs has them"
            )


def has_more_values(text: bytes, values_max: int) -> bool:
    """Return whether a text in JSON has more values than these, without making any.

    Args:
        text: JSON, or something else, which the caller finds out.
        values_max: how many values it may have.
    """
    # Every value but the first has a comma or a bracket before it, and texts may have more of them.
    if sum(map(text.count, (b",", b"[", b"{"))) <= values_max:
        return False
    values = (mark for mark in _marks(text) if mark not in b"]}")
    return next(islice(values, values_max, None), None) is not None


def has_more_members(text: bytes, members_max: int) -> bool:
    """Return whether an object in JSON has more members than these, without making any.

    Args:
        text: the object.
        members_max: how many members it may have.
    """
    # Each member whose value is a string has four quotes or more.
    if text.count(b'"') <= 4 * members_max:
        return False
    members = depth = 0
    for mark in _marks(text):
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        members += depth == 1 and mark in b"{,"
        if members > members_max:
            return True
    return False


def _marks(text: bytes) -> Iterator[bytes]:
    """Yield the brackets and commas that are not within strings, to the first that is no JSON."""
    position = 0
    is_within_string = False
    while True:
        pattern = _TO_END_OF_STRING if is_within_string else _TO_NEXT_MARK
        found = pattern.match(text, position, position + SCANNED_AT_ONCE_BYTES)
        if found is None or found.end() == position:
            return
        position = found.end()
        if is_within_string:
            is_within_string = found[1] is None
        elif found[1] is not None:
            yield found[1]
        else:
            is_within_string = found[2] is not None
