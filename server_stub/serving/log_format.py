"""The form of a line of the log: text for people, JSON for programs, one line an event."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from server_stub.serving.request_id import current_request_id

FIELDS = "fields"
"""The name in `extra` under which an event gives the values that JSON shows one by one."""


def install_log(log_format: str) -> None:
    """Send the log of the whole process to stderr.

    Args:
        log_format: `text` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Without this, warnings would be the only lines in another form.
    logging.captureWarnings(capture=True)


class TextFormatter(logging.Formatter):
    """Writes an event as text: time, level, logger, message, and the id of the request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line, without a traceback."""
        # A line break that a client has sent must not begin a line of its own.
        line = super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")
        request_id = current_request_id()
        return f"{line} [request {request_id}]" if request_id else line


class JsonFormatter(logging.Formatter):
    """Writes an event as one JSON object on a line; `time` is in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request_id():
            event["request_id"] = request_id
        event |= getattr(record, FIELDS, {})
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)
