"""A server in a process of its own that answers every exporter at once and keeps nothing.

Usage: python benchmarks/answering_server.py; prints its port, and ends with its standard input. It
does not offer to take gzip at a path that begins with `/plain`.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers as a NoETL server, an OTLP receiver and a Pushgateway would."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take a registration, a batch, or an OTLP export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/v1/metrics"):
            self._answer(b"", "application/x-protobuf")
        elif self.path.endswith("/register"):
            self._answer_json({"status": "ok", "name": "benchmark", "runtime_id": "1"})
        else:
            samples = body.count(b'"metric_name"')
            self._answer_json(
                {"status": "ok", "metrics_inserted": samples, "metrics_rejected": 0, "errors": []}
            )

    do_PUT = do_POST  # noqa: N815 - prometheus_client pushes with PUT

    def _answer_json(self, answer: object) -> None:
        self._answer(json.dumps(answer).encode(), "application/json")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if not self.path.startswith("/plain"):
            self.send_header("Accept-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing of a client that left before its answer.

    A NoETL client does so at its end: it does not wait for the answer to its goodbye.
    """

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback of any other error, as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve_until_input_ends(handler: type[BaseHTTPRequestHandler]) -> None:
    """Serve at a free port, which is printed, until standard input ends."""
    server = Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve_until_input_ends(Handler)
