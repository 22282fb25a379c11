"""A receiver of remote write, 1.0 and 2.0, that reads every request by protobuf and keeps nothing.

Usage: python benchmarks/remote_write_receiver.py; prints its port, and ends with its standard
input. `GET /` answers how many samples it has taken.
"""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

import cramjam
from answering_server import serve_until_input_ends

from server_stub.time_series_database.messages import VERSION_1, VERSION_2, message_classes

REQUEST_1 = message_classes("prometheus", VERSION_1)["WriteRequest"]
REQUEST_2 = message_classes("io.prometheus.write.v2", VERSION_2)["Request"]


class Handler(BaseHTTPRequestHandler):
    """Takes requests, and counts their samples."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    samples = 0

    def do_POST(self) -> None:
        """Take a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_2 = "v2.Request" in self.headers["Content-Type"]
        request = (REQUEST_2 if is_2 else REQUEST_1)()
        request.ParseFromString(bytes(cramjam.snappy.decompress_raw(body)))
        written = sum(len(series.samples) for series in request.timeseries)
        Handler.samples += written
        self.send_response(HTTPStatus.NO_CONTENT)
        if is_2:
            self.send_header("X-Prometheus-Remote-Write-Samples-Written", str(written))
        self.end_headers()

    def do_GET(self) -> None:
        """Answer how many samples there were."""
        body = str(Handler.samples).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    serve_until_input_ends(Handler)
