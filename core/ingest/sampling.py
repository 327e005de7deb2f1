"""The TCP side of the collector: the sampling rules that X-Ray SDKs ask for on the address they send segments to.

An SDK that gets no answer traces one request a second and 5 % of the rest, so that counts and volumes are biased, and
asks again after five minutes only. https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sampling.html
"""

import json
import logging
import socket
import socketserver
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from core import activity

__all__ = ["SamplingServer"]

_BODY_BYTES = 1024 * 1024
_IDLE_S = 30.0  # SDKs ask every 10 s, on a connection that they keep
_CONNECTION_S = 120.0  # however slowly a request drips in
_CONNECTIONS = 64
_SOURCE, _RULE = "live", "Default"
_MOST = 10**9  # requests that one report may count: more is no count

_log = logging.getLogger(__name__)


class SamplingServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers `POST /GetSamplingRules` and `/SamplingTargets` with one rate for everything."""

    allow_reuse_address = True  # connections of an earlier run may still be in TIME_WAIT
    request_queue_size = _CONNECTIONS  # that may wait to be accepted
    daemon_threads = True
    block_on_close = False  # stopping ends the connections, and with them their threads

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily, rate: float) -> None:
        """Take the address; `rate`: share of requests to trace, 0 to 1. `OSError` when the address can't be had."""
        self.address_family = family
        self.rate = rate
        self._connections: dict[Any, float] = {}  # socket: when it was opened, in monotonic seconds
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="collector-tcp", daemon=True)
        super().__init__(address, _Handler)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that were taken."""
        host, port = self.server_address[:2]
        return str(host), port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Free the address and end all connections."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        self._end_connections(older_than_s=0.0)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection; each holds a thread."""
        return len(self._connections) < _CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember when the connection was opened, then serve it in its own thread."""
        self._connections[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        self._connections.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End the connections that have lasted too long; an SDK opens a new one."""
        self._end_connections(older_than_s=_CONNECTION_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is its own affair: a line in the log, no traceback on the console."""
        _log.debug("The connection of %s broke.", client_address, exc_info=True)

    def _end_connections(self, *, older_than_s: float) -> None:
        newest = time.monotonic() - older_than_s
        for connection, opened in list(self._connections.items()):
            if opened <= newest:
                with suppress(OSError):  # it has just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it


class _Handler(BaseHTTPRequestHandler):
    """One connection and its requests."""

    server: SamplingServer
    server_version, sys_version = "Tracecast", ""
    protocol_version = "HTTP/1.1"  # connections are kept
    timeout = _IDLE_S
    wbufsize = -1  # an answer leaves in one piece

    def do_POST(self) -> None:
        """Answer one of the two questions."""
        body = self._body()
        if body is None:
            return
        requests = traced = 0
        if self.path == "/GetSamplingRules":
            self._answer(HTTPStatus.OK, _rules(self.server.rate))
        elif self.path == "/SamplingTargets":
            try:
                targets, requests, traced = _targets(self.server.rate, body)
            except ValueError:
                self.send_error(HTTPStatus.BAD_REQUEST, "The body is no JSON with SamplingStatisticsDocuments.")
                return
            self._answer(HTTPStatus.OK, targets)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "Only POST /GetSamplingRules and /SamplingTargets are answered here.")
            return
        activity.sampled(_SOURCE, _RULE, self.server.rate, requests, traced)
        activity.report("collector", sdk_polled_at=datetime.now(UTC).replace(tzinfo=None))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with one sentence, and end the connection: what follows in it may be the rest of a bad request."""
        self.close_connection = True
        self._answer(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are told in the log only when asked for."""
        _log.debug(format, *args)

    def _body(self) -> bytes | None:
        """The request's body; None when it was refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED, "The request needs a Content-Length.")
            return None
        if len(length) > 9 or int(length) > _BODY_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have {_BODY_BYTES} bytes at most.")
            return None
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _rules(rate: float) -> dict[str, Any]:
    """One rule for every request. A reservoir would trace one request a second on top of the rate, hence none."""
    rule = {
        "RuleName": _RULE,
        "ResourceARN": "*",
        "Priority": 10000,
        "FixedRate": rate,
        "ReservoirSize": 0,
        "ServiceName": "*",
        "ServiceType": "*",
        "Host": "*",
        "HTTPMethod": "*",
        "URLPath": "*",
        "Version": 1,
        "Attributes": {},
    }
    return {"SamplingRuleRecords": [{"SamplingRule": rule, "CreatedAt": 0.0, "ModifiedAt": 0.0}]}


def _targets(rate: float, body: bytes) -> tuple[dict[str, Any], int, int]:
    """The same rate for each rule that an SDK has used; the requests since its last report by our rule, and how many
    of them it traced. `ValueError` when the body is not what SDKs send.
    """
    try:
        documents = json.loads(body)["SamplingStatisticsDocuments"]
        names = [document["RuleName"] for document in documents]
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError("no statistics documents") from error
    targets = {
        "SamplingTargetDocuments": [{"RuleName": name, "FixedRate": rate, "Interval": 10} for name in names],
        "LastRuleModification": 0.0,
        "UnprocessedStatistics": [],
    }
    ours = [document for document in documents if document["RuleName"] == _RULE]
    requests = sum(_counted(document, "RequestCount") for document in ours)
    # What is borrowed, from a reservoir that a rule of ours does not have, is traced and not among the sampled.
    traced = sum(_counted(document, "SampledCount") + _counted(document, "BorrowCount") for document in ours)
    return targets, requests, min(requests, traced)


def _counted(document: dict[str, Any], name: str) -> int:
    count = document.get(name, 0)
    return count if isinstance(count, int) and 0 <= count <= _MOST else 0
