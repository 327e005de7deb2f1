"""OpenTelemetry spans by HTTP: `POST /v1/traces` in protobuf, gzipped batches of 512 as the SDKs send them, durable.

The clients are another process, whose requests are made before the clock starts. The peer reads the same requests by
way of protobuf's own `MessageToDict`, as a receiver would that can read OTLP's JSON already.
"""

import gzip
import http.client
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.ingest import otlp
from tests.running import running, status

GOAL = 20_000  # spans a second
BATCH = 512  # what the SDKs' processors send at once
CLIENTS = 4
REQUESTS = 160
RESOURCE = {"service.name": "shop", "telemetry.sdk.language": "python", "telemetry.sdk.version": "1.45.2"}
ATTRIBUTES = {
    "http.request.method": "GET",
    "url.full": "http://shop.example/cart",
    "http.response.status_code": 200,
    "flag": "low",
    "price_usd": 91_234.5,
    "processing_time_ms": 123.4,
    "data_volume_bytes": 1834,
    "error": False,
}
MEASURED: dict[str, type] = {"price_usd": float, "processing_time_ms": float, "data_volume_bytes": int}
FIELDS = {str: "string_value", int: "int_value", float: "double_value", bool: "bool_value"}


def batches(count: int, seed: int) -> list[bytes]:
    """Requests of `BATCH` server spans with eight attributes; each span has ids and measures of its own."""
    ids = random.Random(seed)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, text in RESOURCE.items():
        group.resource.attributes.add(key=key).value.string_value = text
    spans = group.scope_spans.add().spans
    end = time.time_ns()
    for _ in range(BATCH):
        span = spans.add(name="GET /cart", kind=2, flags=257, start_time_unix_nano=end - 10**8, end_time_unix_nano=end)
        for key, value in ATTRIBUTES.items():
            setattr(span.attributes.add(key=key).value, FIELDS[type(value)], value)
    made = []
    for _ in range(count):
        for span in spans:
            span.trace_id, span.span_id = ids.randbytes(16), ids.randbytes(8)
            for attribute in span.attributes:
                if attribute.key in MEASURED:
                    setattr(
                        attribute.value, FIELDS[MEASURED[attribute.key]], MEASURED[attribute.key](ids.uniform(1, 1e5))
                    )
        made.append(request.SerializeToString())
    return made


def send(port: int, seed: int) -> None:
    """Post all requests from `CLIENTS` connections; prints the seconds until the last was answered."""
    waiting = [gzip.compress(body, 1) for body in batches(REQUESTS, seed)]
    headers = {"Content-Type": otlp.PROTOBUF, "Content-Encoding": "gzip"}

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while waiting:
            connection.request("POST", "/v1/traces", waiting.pop(), headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")

    threads = [threading.Thread(target=post) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - began)


def stored(address: str) -> int:
    return int(status(address)["sources"].get("otlp", {}).get("rows", 0))


def rates(address: str, runs: int) -> list[float]:
    """Spans a second of each run, counted in the store; the first one, which warms up, is left out."""
    found = []
    for seed in range(runs + 1):
        before = stored(address)
        command = [sys.executable, "-m", "benchmarks.otlp", "send", address.rpartition(":")[2], str(seed)]
        seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        found.append((stored(address) - before) / seconds)
        assert stored(address) - before == REQUESTS * BATCH
    return found[1:]


def by_dictionaries(body: bytes, now: datetime) -> list[object]:
    """The spans of a request that `MessageToDict` decodes, which has ids in base64 where OTLP's JSON has hex."""
    request = MessageToDict(ExportTraceServiceRequest.FromString(body))
    for group in request["resourceSpans"]:
        for part in group["scopeSpans"]:
            for span in part["spans"]:
                for key in ("traceId", "spanId"):
                    span[key] = b64decode(span[key]).hex()
    return list(otlp.read(orjson.dumps(request), otlp.JSON, "otlp", now, print))


def decoded(decode: Callable[[bytes], list[object]], requests: list[bytes]) -> float:
    """Spans a second."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = sum(len(decode(body)) for body in requests)
        seconds.append(time.perf_counter() - began)
    return found / statistics.median(seconds)


def run() -> None:
    """Print the rate over HTTP, then both ways of decoding."""
    with tempfile.TemporaryDirectory() as home, running(Path(home), PIPELINE="off") as address:
        found = sorted(rates(address, 3))
    print(f"{CLIENTS} clients in another process on the same cores, gzipped protobuf, {BATCH} spans a request")
    print(f"over HTTP          {statistics.median(found):9,.0f} spans/s, durable (wanted: {GOAL:,};", end="")
    print(f" runs from {found[0]:,.0f} to {found[-1]:,.0f})")
    requests, now = batches(10, 0), datetime.now(UTC).replace(tzinfo=None)
    assert by_dictionaries(requests[0], now) == list(otlp.read(requests[0], otlp.PROTOBUF, "otlp", now, print))
    ours = decoded(lambda body: list(otlp.read(body, otlp.PROTOBUF, "otlp", now, print)), requests)
    peer = decoded(lambda body: by_dictionaries(body, now), requests)
    print(f"decoded to spans   {ours:9,.0f} spans/s on one core")
    print(f"by MessageToDict   {peer:9,.0f} spans/s on one core (ratio {ours / peer:.1f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]), int(sys.argv[3]))
    else:
        run()
