"""Segments by HTTP: `POST /TraceSegments` with 50 documents a call, durable, through the real boto3 client.

The peer is the same client with one document a call, as an application without batches would send.
"""

import itertools
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import boto3

from tests.running import running, status

SECONDS = 4.0
CLIENTS = 4

_runs = itertools.count()


def documents(client: int, call: int, n: int) -> list[str]:
    """Segments of one annotated subsegment each, unlike any other of this run."""
    now = time.time()
    made = []
    for index in range(n):
        number = (client << 40) + (call << 10) + index
        times = {"start_time": now, "end_time": now + 0.1}
        annotations = {"processing_time_ms": 100.5, "flag": "low", "shard_id": "a", "error": False}
        inner = {"id": f"{number + (1 << 60):016x}", "name": "work", **times, "annotations": annotations}
        outer = {"id": f"{number:016x}", "name": "shop", "trace_id": f"1-{int(now):08x}-{number:024x}", **times}
        made.append(json.dumps({**outer, "subsegments": [inner]}))
    return made


def rate(address: str, clients: list[Any], n: int) -> float:
    """Documents a second that the clients got stored, with `n` a call."""
    before = status(address)["collector"]["stored"]
    began = time.monotonic()

    def send(number: int, xray: Any) -> None:
        call = 0
        while time.monotonic() < began + SECONDS:
            refused = xray.put_trace_segments(TraceSegmentDocuments=documents(number, call, n))
            assert refused["UnprocessedTraceSegments"] == []
            call += 1

    runs = next(_runs) * len(clients)
    threads = [threading.Thread(target=send, args=(runs + number, xray)) for number, xray in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float((status(address)["collector"]["stored"] - before) / (time.monotonic() - began))


def run() -> None:
    """Print both rates and their ratio."""
    with tempfile.TemporaryDirectory() as home, running(Path(home), PIPELINE="off") as address:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "x"}
        clients = [boto3.client("xray", endpoint_url=address, **keys) for _ in range(CLIENTS)]
        rate(address, clients, 50)  # the first calls of a process are slow
        batched, single = rate(address, clients, 50), rate(address, clients, 1)
    print(f"{CLIENTS} clients, boto3 and its signing included, all of it on the same cores")
    print(f"50 documents a call   {batched:8,.0f} segments/s, durable (wanted: 5,000)")
    print(f"1 document a call     {single:8,.0f} segments/s, durable (ratio {batched / single:.1f})")


if __name__ == "__main__":
    run()
