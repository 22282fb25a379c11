"""Decodes a request's Content-Encoding, without inflating more than is allowed."""

from __future__ import annotations

import zlib

from server_stub.errors import BodyMalformedError, BodyTooLargeError, EncodingUnknownError

ACCEPTED_ENCODING = "gzip"
"""The encoding that responses name in Accept-Encoding (RFC 7694)."""

GZIP_MEMBERS_MAX = 100
"""A body of a million empty members would cost time without growing in size."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


def decode_body(body: bytes, content_encoding: str, bytes_max: int) -> bytes:
    """Return the body as it was before the client encoded it.

    Args:
        body: the body as received.
        content_encoding: the request's Content-Encoding, or "".
        bytes_max: how large the decoded body may be.

    Raises:
        EncodingUnknownError: the encoding is neither gzip nor identity.
        BodyMalformedError: the body is not gzip, is cut short, or has bytes after its end.
        BodyTooLargeError: the decoded body would exceed `bytes_max`.
    """
    match content_encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _decompress(body, bytes_max)
        case _:
            raise EncodingUnknownError(
                f"Content-Encoding {content_encoding[:60]!r} is not known: use gzip or none"
            )


def _decompress(body: bytes, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    bytes_left = bytes_max
    rest = body
    for _ in range(GZIP_MEMBERS_MAX):
        member = zlib.decompressobj(_GZIP_WINDOW_BITS)
        try:
            part = member.decompress(rest, bytes_left + 1)
        except zlib.error as error:
            raise BodyMalformedError(
                f"the body is not valid gzip, as its Content-Encoding says: {error}"
            ) from error
        bytes_left -= len(part)
        if bytes_left < 0:
            raise BodyTooLargeError(
                f"the body exceeds {bytes_max} bytes after decompression: send smaller batches"
            )
        if not member.eof:
            raise BodyMalformedError("the gzip body is cut short: send the whole of it")
        parts.append(part)
        rest = member.unused_data
        if not rest:
            return b"".join(parts)
        if not rest.startswith(_GZIP_MAGIC[: len(rest)]):
            raise BodyMalformedError("the gzip body has other bytes behind its end: send gzip only")
    raise BodyMalformedError(
        f"the gzip body has more than {GZIP_MEMBERS_MAX} members: send it as one"
    )
