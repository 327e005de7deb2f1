"""Segments by HTTP: `POST /TraceSegments` with 50 documents a call, durable, through the real boto3 client.

The peer is the same client with one document a call, as an application without batches would send. A plain HTTP client,
whose requests are made before the clock starts, shows what boto3 itself takes of the cores that all share.
"""

import http.client
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from tests.running import running, status

SECONDS = 4.0
CLIENTS = 4
PLAIN_CALLS = 150  # a second and client; more than it gets answered

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


Send = Callable[[int, int], None]
"""Sends one call, given the number of its client, which no other run has, and its own."""


def by_boto3(address: str, n: int) -> list[Send]:
    """`n` documents a call, made and signed as they are sent."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "x"}

    def send(xray: Any, client: int, call: int) -> None:
        refused = xray.put_trace_segments(TraceSegmentDocuments=documents(client, call, n))
        assert refused["UnprocessedTraceSegments"] == []

    return [partial(send, boto3.client("xray", endpoint_url=address, **keys)) for _ in range(CLIENTS)]


def by_plain_http(address: str, n: int) -> list[Send]:
    """`n` documents a call, made before."""
    runs = next(_runs) * CLIENTS

    def send(connection: http.client.HTTPConnection, waiting: list[bytes], _client: int, _call: int) -> None:
        connection.request("POST", "/TraceSegments", waiting.pop())
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"UnprocessedTraceSegments":[]}')

    def bodies(client: int) -> list[bytes]:
        calls = int(SECONDS * PLAIN_CALLS)
        return [json.dumps({"TraceSegmentDocuments": documents(client, call, n)}).encode() for call in range(calls)]

    port = address.rpartition(":")[2]
    return [
        partial(send, http.client.HTTPConnection("127.0.0.1", int(port)), bodies(runs + number))
        for number in range(CLIENTS)
    ]


def server_s() -> float:
    """Processor time of the program so far, by Linux's /proc/<pid>/stat."""
    (task,) = Path("/proc/self/task").glob(str(os.getpid()))
    (pid,) = (task / "children").read_text().split()
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def rate(address: str, clients: list[Send]) -> tuple[float, float]:
    """Documents a second that the clients got stored, and the server's processor time for one of them, in seconds."""
    before, spent, began = status(address)["collector"]["stored"], server_s(), time.monotonic()

    def repeat(number: int, send: Send) -> None:
        call = 0
        while time.monotonic() < began + SECONDS:
            send(number, call)
            call += 1

    runs = next(_runs) * len(clients)
    threads = [threading.Thread(target=repeat, args=(runs + number, send)) for number, send in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored, seconds = status(address)["collector"]["stored"] - before, time.monotonic() - began
    return stored / seconds, (server_s() - spent) / stored


def run() -> None:
    """Print the rates, and what of the processors the server took."""
    with tempfile.TemporaryDirectory() as home, running(Path(home), PIPELINE="off") as address:
        rate(address, by_boto3(address, 50))  # the first calls of a process are slow
        batched, busy = rate(address, by_boto3(address, 50))
        single, busy_single = rate(address, by_boto3(address, 1))
        plain, busy_plain = rate(address, by_plain_http(address, 50))
    print(f"{CLIENTS} clients, all of it on the same cores; in brackets the server's own processor time")
    print(
        f"boto3, 50 documents a call  {batched:8,.0f} segments/s ({busy * 5e4:.1f} ms a call), durable (wanted: 5,000)"
    )
    print(f"plain HTTP client           {plain:8,.0f} segments/s ({busy_plain * 5e4:.1f} ms a call)")
    print(f"boto3, 1 document a call    {single:8,.0f} segments/s ({busy_single * 1e3:.1f} ms a call)")
    print(f"50 a call are {batched / single:.1f} times as fast as 1")


if __name__ == "__main__":
    run()
