"""A week of X-Ray from the double of its API, whose answers take 40 ms, beside the original pipeline's way.

`python -m benchmarks.xray [traces]`. The original's way is one thread that pages the summaries and reads every trace in
full, five ids a call; it is run on a twentieth of the traces, and what it takes is multiplied by twenty. The double is
another process, so the two share the machine's cores with each other and with whatever else runs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from botocore.config import Config

from core import ledger
from core.ingest.xray import Reading
from core.settings import Settings
from core.store import Store

TRACES = 100_000
SHARE = 20  # the original's way is run on one of so many
DAYS = 7
LATENCY_MS = 40
REGION = "eu-west-1"
FEWER, FASTER, MOST_MIB = 15, 10, 400  # the goals


@contextmanager
def serving(traces):
    """The double in a process of its own; yields its address, and what asks it for the number of calls so far."""
    command = [sys.executable, "-m", "tests.xray_double", "--traces", str(traces), "--days", str(DAYS)]
    with subprocess.Popen(
        [*command, "--latency-ms", str(LATENCY_MS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as double:
        assert double.stdin
        assert double.stdout
        url = double.stdout.readline().strip()

        def calls(stdin=double.stdin, stdout=double.stdout):
            stdin.write("calls\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield url, calls


def period():
    end = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(minutes=30)
    return end - timedelta(days=DAYS, hours=1), end


def original(url):
    """Page the summaries of each 6 h, and read every trace; how many there were."""
    xray = boto3.client("xray", REGION, endpoint_url=url, config=Config(retries={"mode": "standard"}))
    count = 0
    for start, end in ledger.cut([period()]):
        pages = xray.get_paginator("get_trace_summaries").paginate(
            StartTime=start.replace(tzinfo=UTC), EndTime=end.replace(tzinfo=UTC)
        )
        ids = [summary["Id"] for page in pages for summary in page["TraceSummaries"]]
        for first in range(0, len(ids), 5):
            answer = xray.batch_get_traces(TraceIds=ids[first : first + 5])
            found = answer["Traces"]
            while token := answer.get("NextToken"):
                answer = xray.batch_get_traces(TraceIds=ids[first : first + 5], NextToken=token)
                found += answer["Traces"]
            count += sum(len(json.loads(trace["Segments"][0]["Document"])) > 0 for trace in found)
    return count


def ours(url, folder):
    """Read the week into a new store; how many records there are then."""
    with Store(folder / "tracecast.duckdb") as store:
        Reading(
            REGION,
            Settings(xray_endpoint=url),
            store,
            ledger.cut([period()]),
            most_per_day=10**9,
            stopping=lambda: False,
            tell=lambda _progress: None,
        ).run()
        return int(store.query("SELECT count(*) AS n FROM records WHERE annotated")["n"].iloc[0])


def run(traces=TRACES):
    """Print a line each for the original's way and ours, and whether the goals are met."""
    os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any", AWS_EC2_METADATA_DISABLED="true")
    print(f"X-Ray, {traces:,} annotated traces over {DAYS} days, answers of {LATENCY_MS} ms")
    with tempfile.TemporaryDirectory() as folder, serving(traces) as (url, calls):
        began, cpu = time.perf_counter(), time.process_time()
        records = ours(url, Path(folder))
        ours_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        made = calls()
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours_calls = sum(made.values())
    print(f"  Tracecast: {ours_calls:,} calls {made}, {ours_s:.1f} s ({cpu_s:.1f} s of processor), {mib:.0f} MiB")
    assert records == traces, f"{records} records"

    few = max(1, traces // SHARE)
    with serving(few) as (url, calls):
        began = time.perf_counter()
        assert original(url) == few
        their_s, their_calls = (time.perf_counter() - began) * traces / few, sum(calls().values()) * traces / few
    print(
        f"  every trace in full, one thread: {their_calls:,.0f} calls, {their_s:.0f} s"
        f" (run on {few:,} traces, scaled by {traces / few:.0f})"
    )
    fewer, faster = their_calls / ours_calls, their_s / ours_s
    print(f"  {fewer:.1f} times fewer calls (goal {FEWER}), {faster:.1f} times faster (goal {FASTER}),", end=" ")
    print(f"{mib:.0f} MiB (goal under {MOST_MIB})")


if __name__ == "__main__":
    run(*(int(traces) for traces in sys.argv[1:2]))
