"""Servers on real sockets whose answers a test chooses: other web servers, and NoETL's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

PAGE = b"<html>\n<head><title>405 Not Allowed</title></head>\n</html>\n"


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def values(self):
        return [metric["metric_value"] for metric in self.json["metrics"]]


class AnsweringServer:
    """Answers each POST with what a function returns: a status, a body, and maybe headers.

    Args:
        answer: the function; a test may replace it. It gets the request. The body is JSON or bytes.
    """

    def __init__(self, answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = Request(self.path, dict(self.headers), body)
                owner.requests.append(request)
                status, answered, *headers = owner.answer(request)
                content = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
                self.send_response(status)
                for name, value in (headers[0] if headers else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                del arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def paths(self, start=0):
        return [request.path for request in self.requests[start:]]


class NoetlServer:
    """The routes of NoETL's own server of the time when it took metrics.

    It does not know batches by their names, and inserts the samples of a batch one by one, so one
    sample without a partition fails all of them.

    Args:
        metrics_path: its only route for metrics.
        has_partition: tells whether there is a partition for a sample.
    """

    def __init__(self, metrics_path="/api/metrics/report", has_partition=lambda metric: True):
        self.metrics_path = metrics_path
        self.has_partition = has_partition
        self.components = {}
        self.samples = []

    def __call__(self, request):
        if request.path == self.metrics_path:
            return self._report(request.json)
        if request.path.endswith("/register"):
            return self._register(request.json)
        if request.path.endswith("/heartbeat"):
            return self._heartbeat(request.json["name"])
        return 404, {"detail": "Not Found"}

    def _report(self, body):
        metrics = body["metrics"]
        if not all(map(self.has_partition, metrics)):
            return 500, {"detail": 'no partition of relation "metric" found for row'}
        self.samples += metrics
        answer = {"runtime_id": int(body["runtime_id"]), "metrics_inserted": len(metrics)}
        return 200, {"status": "ok", **answer}

    def _register(self, body):
        if not body.get("runtime"):
            return 400, {"detail": "name and runtime are required"}
        self.components[body["name"]] = body
        return 200, {"status": "ok", "name": body["name"], "runtime_id": "7"}

    def _heartbeat(self, name):
        if name in self.components:
            return 200, {"status": "ok"}
        return 404, {"detail": {"status": "unknown", "name": name}}

    def values(self, name="value"):
        return [metric["metric_value"] for metric in self.samples if metric["metric_name"] == name]
