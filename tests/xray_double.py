"""A loopback stand-in for the X-Ray API, as strict as it: the real boto3 client talks to it over HTTP.

It holds segment documents and makes summaries of them as X-Ray does. Each answer is held against botocore's own model
of the API, and so is each request. `fail` plans what goes wrong. By hand, as a process of its own:

    python -m tests.xray_double [--port 9000] [--traces 1000] [--days 7] [--latency-ms 40]

and then `TRACECAST_XRAY_ENDPOINT=http://127.0.0.1:9000 TRACECAST_AWS_REGION=eu-west-1` with any credentials.
"""

import argparse
import base64
import bisect
import json
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import orjson
from botocore.validate import ParamValidator

__all__ = ["DENIED", "EXPIRED", "MAX_RANGE_S", "PAGE", "UNKNOWN_KEY", "XRayDouble", "error", "shop"]

PAGE = 100  # summaries
BATCH = 5  # trace ids
MAX_RANGE_S = 6 * 3600
MAX_INDEXED = 50  # annotations of a trace
PATHS = {
    "/TraceSummaries": "GetTraceSummaries",
    "/Traces": "BatchGetTraces",
    "/GetTraceSegmentDestination": "GetTraceSegmentDestination",
    "/GetIndexingRules": "GetIndexingRules",
}
STATUS = {"ThrottledException": 429, "InternalFailure": 500, "ServiceUnavailable": 503}
FORBIDDEN = {"AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"}

Fields = dict[str, Any]


def error(code: str, message: str = "") -> str:
    """What `fail` plans when X-Ray is to answer with an error: the ones that it documents, and AWS's common ones."""
    return f"{code}: {message}"


DENIED = error(
    "AccessDeniedException",
    "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: xray:GetTraceSummaries",
)
EXPIRED = error("ExpiredTokenException", "The security token included in the request is expired")
UNKNOWN_KEY = error("UnrecognizedClientException", "The security token included in the request is invalid.")


class Refused(Exception):
    """The request is answered with an error of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class XRayDouble:
    """Serves from `with` to its end at `url`; what it was asked is in `asked`, as pairs of operation and request.

    `indexed_percentage`: of Transaction Search, None while that is off. `limit_bytes`: of a trace's documents, what is
    beyond is left out and `LimitExceeded` set. `validate`: hold each answer against the model, which takes time.
    """

    def __init__(self, *, latency_s: float = 0.0, port: int = 0, validate: bool = True) -> None:
        self.latency_s = latency_s
        self._validate = validate
        self._in_flight = 0
        self._lock = threading.Lock()
        self._model = botocore.session.get_session().get_service_model("xray")
        self._server = _Server(("127.0.0.1", port), self)
        self.forget()

    def forget(self) -> None:
        """Hold nothing, plan nothing, have been asked nothing, and answer at once."""
        self.asked: list[tuple[str, Fields]] = []
        self.calls: Counter[str] = Counter()
        self.most_in_flight = 0
        self.indexed_percentage: float | None = None
        self.limit_bytes = 500_000
        self.splits_batches = True  # four traces and more come on two pages
        self.unprocessed: Counter[str] = Counter()  # how often the trace is yet to come back unprocessed
        self.throttle_every = 0  # from each so-manieth call on, `burst` calls are throttled
        self.burst = 3
        self._traces: dict[str, list[Fields]] = {}
        self._summaries: dict[str, Fields] = {}
        self._order: list[tuple[int, str]] | None = None  # second of the id, id; made when it is first needed
        self._faults: defaultdict[str, deque[str]] = defaultdict(deque)

    def __enter__(self) -> "XRayDouble":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, *segments: Fields) -> None:
        """Segment documents arrive; one with a known id takes the place of the earlier."""
        with self._lock:
            for segment in segments:
                known = self._traces.setdefault(segment["trace_id"], [])
                known[:] = [one for one in known if one["id"] != segment["id"]] + [segment]
                self._summaries.pop(segment["trace_id"], None)
            self._order = None

    def fail(self, operation: str, *faults: str) -> None:
        """The next calls of `operation` end so, one each: what `error` makes, or one of

        | fault | what happens |
        |---|---|
        | `reset` | the connection is reset in the middle of the answer |
        | `cut` | it is closed in the middle of the answer |
        | `cut character` | likewise, within a character of two bytes |
        | `token` | the token of the request is refused; a request without one is answered |
        """
        self._faults[operation].extend(faults)

    # What it answers

    def answer(self, path: str, headers: Fields, body: bytes) -> tuple[int, Fields, str | None]:
        """Status, document, and the fault on the way."""
        operation = PATHS.get(path)
        if operation is None:
            return 404, {"Message": f"{path} is not of the API"}, None
        with self._lock:
            self.calls[operation] += 1
            nth = self.calls.total()
            fault = self._faults[operation].popleft() if self._faults[operation] else None
        try:
            asked = self._checked(operation, headers, body)
            self.asked.append((operation, asked))
            if self.throttle_every and nth % self.throttle_every < self.burst and nth > self.burst:
                raise Refused("ThrottledException", "Rate exceeded")
            if fault == "token" and asked.get("NextToken"):
                raise Refused("InvalidRequestException", "Invalid NextToken")
            if fault and ": " in fault:
                raise Refused(*fault.split(": ", 1))
            found = getattr(self, f"_{operation}")(asked)
        except Refused as refused:
            status = STATUS.get(refused.code, 403 if refused.code in FORBIDDEN else 400)
            return status, {"__type": refused.code, "Message": str(refused)}, None
        # Each summary was held against the model when it was made.
        self._hold_against_model({**found, "TraceSummaries": []} if "TraceSummaries" in found else found, operation)
        return 200, found, fault if fault in ("reset", "cut", "cut character") else None

    def _checked(self, operation: str, headers: Fields, body: bytes) -> Fields:
        if not headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
        asked: Fields = json.loads(body or b"{}")
        as_python = dict(asked)
        for name in ("StartTime", "EndTime"):
            if isinstance(asked.get(name), int | float):
                as_python[name] = datetime.fromtimestamp(asked[name], UTC)
        report = ParamValidator().validate(as_python, self._model.operation_model(operation).input_shape)
        if report.has_errors():
            raise Refused("InvalidRequestException", report.generate_report())
        return asked

    def _hold_against_model(self, found: Fields, operation: str) -> None:
        if not self._validate:
            return
        report = ParamValidator().validate(found, self._model.operation_model(operation).output_shape)
        if report.has_errors():
            raise AssertionError(f"The double's answer to {operation} is not of the API: {report.generate_report()}")

    def _summary(self, trace_id: str) -> Fields:
        """The summary of a trace, made once for each state of it."""
        if trace_id not in self._summaries:
            made = summary(trace_id, self._traces[trace_id])
            self._hold_against_model({"TraceSummaries": [made]}, "GetTraceSummaries")
            self._summaries[trace_id] = made
        return self._summaries[trace_id]

    def _GetTraceSummaries(self, asked: Fields) -> Fields:  # noqa: N802 (the API's own name)
        start, end = asked["StartTime"], asked["EndTime"]
        if not start < end:
            raise Refused("InvalidRequestException", "StartTime must be before EndTime")
        if end - start > MAX_RANGE_S:
            raise Refused("InvalidRequestException", "Time range too large: at most 6 hours")
        expression = asked.get("FilterExpression", "")
        service = re.fullmatch(r'service\("([^"]*)"\)', expression)
        if expression and service is None:
            raise Refused("InvalidRequestException", f"Invalid filter expression: {expression}")
        about = [start, end, asked.get("TimeRangeType", "TraceId"), expression]
        after = self._place(asked["NextToken"], about) if "NextToken" in asked else None
        with self._lock:
            order = self._sorted()
            first, last = (bisect.bisect_left(order, (int(time_s), "")) for time_s in (start, end))
            if after is not None:  # newest first; by place, since traces may come in between
                last = bisect.bisect_left(order, tuple(after))
            chosen = order[max(first, last - PAGE) : last]
            found = [self._summary(trace_id) for _, trace_id in reversed(chosen)]
        summaries = [one for one in found if service is None or service[1] in _services(one)]
        answer: Fields = {
            "TraceSummaries": summaries,
            "ApproximateTime": datetime.fromtimestamp(chosen[0][0] if chosen else start, UTC),
            "TracesProcessedCount": len(chosen),
        }
        if chosen and first < last - PAGE:
            answer["NextToken"] = self._token(list(chosen[0]), about)
        return answer

    def _BatchGetTraces(self, asked: Fields) -> Fields:  # noqa: N802
        ids = asked["TraceIds"]
        if len(ids) > BATCH:
            raise Refused("InvalidRequestException", f"At most {BATCH} trace ids")
        if any(not re.fullmatch(r"1-[0-9a-f]{8}-[0-9a-f]{24}", trace_id) for trace_id in ids):
            raise Refused("InvalidRequestException", "Invalid trace id")
        half = len(ids) // 2 if self.splits_batches and len(ids) > 3 else len(ids)
        first = self._place(asked["NextToken"], ids) if "NextToken" in asked else 0
        wanted = ids[first:] if first else ids[:half]
        unprocessed = []
        traces = []
        with self._lock:
            for trace_id in wanted:
                if self.unprocessed[trace_id] > 0:
                    self.unprocessed[trace_id] -= 1
                    unprocessed.append(trace_id)
                elif trace_id in self._traces and self.indexed_percentage is None:
                    traces.append(self._whole(trace_id))
        answer: Fields = {"Traces": traces, "UnprocessedTraceIds": unprocessed}
        if not first and half < len(ids):
            answer["NextToken"] = self._token(half, ids)
        return answer

    def _GetTraceSegmentDestination(self, asked: Fields) -> Fields:  # noqa: N802
        return {"Destination": "XRay" if self.indexed_percentage is None else "CloudWatchLogs", "Status": "ACTIVE"}

    def _GetIndexingRules(self, asked: Fields) -> Fields:  # noqa: N802
        share = {"DesiredSamplingPercentage": 5.0, "ActualSamplingPercentage": self.indexed_percentage or 1.0}
        return {"IndexingRules": [{"Name": "Default", "Rule": {"Probabilistic": share}}]}

    def prepare(self) -> None:
        """Make all summaries now, so that no answer waits for them."""
        for trace_id in self._traces:
            self._summary(trace_id)

    def _whole(self, trace_id: str) -> Fields:
        segments, size = [], 0
        documents = [(one["id"], orjson.dumps(one).decode()) for one in self._traces[trace_id]]
        for segment_id, document in documents:
            size += len(document)
            if size <= self.limit_bytes:
                segments.append({"Id": segment_id, "Document": document})
        seen = self._summary(trace_id)
        exceeded = len(segments) < len(documents)
        return {"Id": trace_id, "Duration": seen["Duration"], "LimitExceeded": exceeded, "Segments": segments}

    def _sorted(self) -> list[tuple[int, str]]:
        if self._order is None:
            self._order = sorted((int(trace_id[2:10], 16), trace_id) for trace_id in self._traces)
        return self._order

    @staticmethod
    def _token(place: Any, about: Any) -> str:
        return base64.b64encode(json.dumps([place, about]).encode()).decode()

    @staticmethod
    def _place(token: str, about: Any) -> Any:
        """Where to go on; a token is good for the very request that it was given for."""
        try:
            place, given_for = json.loads(base64.b64decode(token, validate=True))
        except ValueError:
            given_for = None
        if given_for != about:
            raise Refused("InvalidRequestException", "Invalid NextToken")
        return place

    def enter(self) -> None:
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        time.sleep(self.latency_s)

    def leave(self) -> None:
        with self._lock:
            self._in_flight -= 1


def summary(trace_id: str, segments: list[Fields]) -> Fields:
    """The summary that X-Ray makes of a trace: every annotation, on whichever span; flags and times of the root."""
    root = min(segments, key=lambda one: (one.get("parent_id") is not None, one["start_time"]))
    ends = [one["end_time"] for one in segments if "end_time" in one]
    start = min(one["start_time"] for one in segments)
    found: dict[str, list[Fields]] = {}
    faults: list[Fields] = []
    errors: list[Fields] = []
    for segment in segments:
        service = _service(segment)
        for one in _with_subsegments(segment):
            for key, value in one.get("annotations", {}).items():
                _index(found, key, value, service)
            for flag, causes in (("fault", faults), ("error", errors)):
                if one.get(flag):
                    causes.append(_cause(segment, one))
    http, request = root.get("http", {}).get("response", {}), root.get("http", {}).get("request", {})
    about_http = {
        "HttpURL": request.get("url"), "HttpMethod": request.get("method"), "HttpStatus": http.get("status"),
    }  # fmt: skip
    answer = {
        "Id": trace_id,
        "StartTime": datetime.fromtimestamp(start, UTC),
        "Duration": round(max(ends, default=start) - start, 3),
        "HasFault": bool(root.get("fault")),
        "HasError": bool(root.get("error")),
        "HasThrottle": any(one.get("throttle") for segment in segments for one in _with_subsegments(segment)),
        "IsPartial": any("end_time" not in one for segment in segments for one in _with_subsegments(segment)),
        "Http": {name: value for name, value in about_http.items() if value is not None},
        "Annotations": found,
        "ServiceIds": [_service(segment) for segment in segments],
        "EntryPoint": _service(root),
        "FaultRootCauses": faults,
        "ErrorRootCauses": errors,
        "Revision": len(segments),
    }
    if "end_time" in root:
        answer["ResponseTime"] = round(root["end_time"] - root["start_time"], 3)
    return answer


def _index(found: dict[str, list[Fields]], key: str, value: Any, service: Fields) -> None:
    kind = {bool: "BooleanValue", str: "StringValue"}.get(type(value), "NumberValue")
    indexed = {kind: value if kind != "NumberValue" else float(value)}
    for known in found.get(key, ()):
        if known["AnnotationValue"] == indexed:
            if service not in known["ServiceIds"]:
                known["ServiceIds"].append(service)
            return
    if key in found or len(found) < MAX_INDEXED:
        found.setdefault(key, []).append({"AnnotationValue": indexed, "ServiceIds": [service]})


def _with_subsegments(segment: Fields) -> Iterable[Fields]:
    yield segment
    for child in segment.get("subsegments", ()):
        yield from _with_subsegments(child)


def _service(segment: Fields) -> Fields:
    return {
        "Name": segment["name"], "Names": [segment["name"]], "AccountId": "123456789012",
        "Type": segment.get("origin", "client"),
    }  # fmt: skip


def _cause(segment: Fields, one: Fields) -> Fields:
    service = {"Name": segment["name"], "Names": [segment["name"]], "EntityPath": [{"Name": one["name"]}]}
    return {"Services": [service], "ClientImpacting": one is segment}


def _services(found: Fields) -> set[str]:
    return {service["Name"] for service in found["ServiceIds"]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], double: XRayDouble) -> None:
        super().__init__(address, _Handler)
        self.double = double

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of our business."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        double = self.server.double
        double.enter()
        try:
            status, document, fault = double.answer(self.path, dict(self.headers), body)
        finally:
            double.leave()
        answer = orjson.dumps(document, default=_number, option=orjson.OPT_PASSTHROUGH_DATETIME)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        if status != 200:
            self.send_header("x-amzn-ErrorType", document.get("__type", ""))
        self.end_headers()
        if fault is None:
            self.wfile.write(answer)
            return
        cut = answer[: len(answer) // 2] + (b"\xc3" if fault == "cut character" else b"")
        self.wfile.write(cut)
        self.wfile.flush()
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close() if fault == "reset" else self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def _number(time: datetime) -> float:
    return time.timestamp()


def shop(number: int, start_s: float, *, latency_ms: float = 120.0, failed: bool = False, **fields: Any) -> Fields:
    """A request of the service `shop`, whose subsegment `pay` carries seven annotations; times are to the ms."""
    start_s = round(start_s, 3)
    end_s = round(start_s + latency_ms / 1000 + 0.02, 3)
    annotations = {
        "flag": ("low", "average", "high")[number % 3],
        "price_usd": 60_000.5 + number % 1000,
        "processing_time_ms": latency_ms,
        "shard_id": ("coinbase", "kraken")[number % 2],
        "error": failed,
        "hour_str": time.strftime("%Y-%m-%dT%H:00:00", time.gmtime(start_s)),
        "data_volume_bytes": 1000 + number % 500,
    }
    return {
        "name": "shop",
        "id": f"{number:016x}",
        "trace_id": f"1-{int(start_s):08x}-{number:024x}",
        "start_time": start_s,
        "end_time": end_s,
        "http": {"request": {"method": "POST", "url": "https://shop.example/pay"}, "response": {"status": 200}},
        "subsegments": [
            {
                "name": "pay",
                "id": f"{number + 2**40:016x}",
                "start_time": round(start_s + 0.01, 3),
                "end_time": end_s,
                "annotations": annotations,
            }
        ],
        **fields,
    }


def main() -> None:
    """Serve made-up traces until the input ends; the address is the first line of the output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--traces", type=int, default=1000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    asked = parser.parse_args()
    chance = random.Random(1)
    end = time.time() - 3600
    with XRayDouble(latency_s=asked.latency_ms / 1000, port=asked.port, validate=False) as double:
        for number in range(asked.traces):
            start_s = end - asked.days * 86_400 * number / asked.traces
            latency_ms = round(100 * chance.lognormvariate(0, 0.3), 1)
            made = shop(number, start_s, latency_ms=latency_ms, failed=chance.random() < 0.02)
            if chance.random() < 0.005:  # a failure that the service caught: its annotations don't tell
                made["subsegments"][0]["fault"] = True
            double.add(made)
        double.splits_batches = False
        double.prepare()
        print(double.url, flush=True)  # noqa: T201 (for whoever started it)
        for line in sys.stdin:
            if line == "calls\n":
                print(json.dumps(double.calls), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
