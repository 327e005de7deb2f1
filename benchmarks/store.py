"""The store: hourly metrics of 10 M records against pandas and polars, annotations as measures, appends, reads beside a
writer.

`python -m benchmarks.store` prints one line a figure. It needs 3 GB of disk in the temporary folder and about five
minutes, and its figures are only worth something on a machine that does nothing else.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd

from core.analysis import metrics
from core.question import Question, Window
from core.spans import Span
from core.store import Store

END = datetime(2026, 11, 24)
START = END - timedelta(days=60)
COLUMNS = ["timestamp", "latency_ms", "failed", "data_volume_bytes", "price_usd"]
PEERS = ("polars", "pandas")
QUANTILES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p99": 0.99}


def run() -> None:
    """Print all figures."""
    parts: list[Callable[[Path], None]] = [
        lambda folder: hourly_metrics(folder, "as they come, at most a minute out of order", ARRIVING),
        lambda folder: hourly_metrics(folder, "in no order at all", SHUFFLED),
        annotation_as_measure,
        lambda folder: appends(folder, "one span of five", lambda n: n % 5 == 3),
        lambda folder: appends(folder, "every span", lambda n: True),
        lambda folder: reads_beside_a_writer(folder, "X-Ray", XRAY_ID),
        lambda folder: reads_beside_a_writer(folder, "random", RANDOM_ID),
    ]
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            part(Path(folder))


# Hourly metrics of 10 M records, cold


def hourly_metrics(folder: Path, order: str, started: str) -> None:
    print(f"records {order}:")
    wall: dict[tuple[str, int], float] = {}
    for millions in (1, 10):
        fill(folder / f"{millions}.duckdb", millions * 1_000_000, RECORDS.replace("STARTED", started))
        with duckdb.connect(str(folder / f"{millions}.duckdb")) as connection:
            parquet = folder / f"{millions}.parquet"
            connection.execute(f"COPY (SELECT {', '.join(COLUMNS)} FROM records) TO '{parquet}' (FORMAT parquet)")
        for name, repeats in (("records", 7), ("polars", 5), ("pandas", 3), ("tracecast", 7)):
            file = folder / (f"{millions}.{'parquet' if name in PEERS else 'duckdb'}")
            if name == "tracecast":
                keep_hours(file)
            runs = [cold(name, file) for _ in range(repeats)]
            assert len({one["check"] for one in runs}) == 1
            wall[name, millions] = statistics.median(one["seconds"] for one in runs)
            cpu = statistics.median(one["cpu_seconds"] for one in runs)
            peak = max(one["peak_mib"] for one in runs)
            print(
                f"hourly metrics of {millions} M records, cold process, {name}: {wall[name, millions]:.2f} s "
                f"({cpu:.2f} s of processor), peak {peak:.0f} MiB; count, std, p95: {runs[0]['check']}"
            )
    for name in (*PEERS, "records"):
        print(f"{name} takes {wall[name, 10] / wall['tracecast', 10]:.1f} times as long at 10 M records")
    for name in PEERS:
        print(f"{name} takes {wall[name, 10] / wall['records', 10]:.1f} times as long as from the records alone")
    print(f"10 M records alone take {wall['records', 10] / wall['records', 1]:.1f} times as long as 1 M")


def keep_hours(file: Path) -> None:
    """What the app does once a minute: the hours that finished since are kept."""
    with Store(file) as store:
        statement = metrics.finished("live", END)
        began = time.perf_counter()
        store.keep_hours(statement.sql, statement.params)
        print(f"keeping the finished hours, once, beside the visitors: {time.perf_counter() - began:.2f} s")


def cold(name: str, file: Path) -> dict[str, Any]:
    """`hourly(name, file)` in a process of its own; the file is in the system's cache."""
    command = [sys.executable, "-m", "benchmarks.store", name, str(file)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return cast(dict[str, Any], json.loads(printed))


def hourly(name: str, file: Path) -> None:
    """Print seconds from opening `file` to the frame, the process's peak memory, and a sum to compare results by."""
    work = {"tracecast": in_tracecast, "records": in_tracecast, "polars": in_polars, "pandas": in_pandas}[name]
    if name == "polars":
        import polars  # noqa: F401 (an import is not what is measured)
    began, cpu_began = time.perf_counter(), time.process_time()
    frame = work(file)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    assert len(frame) == 60 * 24
    check = f"{frame['request_count'].sum()} {frame['latency_std'].sum():.3f} {frame['latency_p95'].sum():.3f}"
    peak_mib = peak_kib() / 1024
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib, "check": check}))


def peak_kib() -> int:
    """Of this process alone; `getrusage` would count what the parent held when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def in_tracecast(file: Path) -> pd.DataFrame:
    store = Store(file)
    statement = metrics.buckets(Question(source="live"), Window(START, END), START)
    return store.query(statement.sql, statement.params)


def in_pandas(file: Path) -> pd.DataFrame:
    records = pd.read_parquet(file)
    hours = records.groupby(records["timestamp"].dt.floor("h"))
    frame = hours["latency_ms"].agg(
        request_count="size", latency_avg="mean", latency_min="min", latency_max="max", latency_std="std"
    )
    quantiles = hours["latency_ms"].quantile(list(QUANTILES.values())).unstack()
    return frame.assign(
        **{name: quantiles[q] for name, q in QUANTILES.items()},
        error_rate=hours["failed"].mean(),
        total_data_volume_bytes=hours["data_volume_bytes"].sum(),
        price_usd_avg=hours["price_usd"].mean(),
    )


def in_polars(file: Path) -> pd.DataFrame:
    import polars as pl

    latency = pl.col("latency_ms")
    return (
        pl.scan_parquet(file)
        .group_by(pl.col("timestamp").dt.truncate("1h"))
        .agg(
            request_count=pl.len(),
            latency_avg=latency.mean(),
            latency_min=latency.min(),
            latency_max=latency.max(),
            latency_std=latency.std(),
            **{name: latency.quantile(q, "linear") for name, q in QUANTILES.items()},
            error_rate=pl.col("failed").mean(),
            total_data_volume_bytes=pl.col("data_volume_bytes").sum(),
            price_usd_avg=pl.col("price_usd").mean(),
        )
        .sort("timestamp")
        .collect()
        .to_pandas()
    )


# A measure that is an annotation


def annotation_as_measure(folder: Path) -> None:
    fill(folder / "s.duckdb", 1_000_000, MEASURES)
    with Store(folder / "s.duckdb") as store:

        def median_ms(measure: str) -> float:
            statement = metrics.buckets(Question(source="live", measure=measure), Window(START, END), START)
            return timed(lambda: store.query(statement.sql, statement.params), 15)[0]

        column = median_ms("latency_ms")
        print(f"hourly metrics of 1 M records, measure latency_ms (a column): {column:.0f} ms")
        for measure, sent in (("floats", "sent as floats"), ("mixed", "sent as integers, floats and texts")):
            taken = median_ms(measure)
            print(f"the same of an annotation {sent}: {taken:.0f} ms, {taken / column:.1f} times as long")


# Appends


def appends(folder: Path, kind: str, annotated: Callable[[int], bool]) -> None:
    spans = [span(n, annotated=annotated(n)) for n in range(300_000)]
    singles = (span(n) for n in range(300_000, 400_000))
    with Store(folder / "s.duckdb") as store:
        began = time.perf_counter()
        for first in range(0, len(spans), 10_000):
            store.append(spans[first : first + 10_000])
        seconds = time.perf_counter() - began
        print(f"append, {kind} with seven annotations, 10,000 a call: {len(spans) / seconds:,.0f} spans/s")
        median, p95 = timed(lambda: store.append([next(singles)]), 200)
        print(f"append, one span a call: {median:.1f} ms, p95 {p95:.1f}")
        began = time.perf_counter()
        store.append(spans[:100_000])
        print(f"append, all of them stored already: {100_000 / (time.perf_counter() - began):,.0f} spans/s")
        began = time.perf_counter()
        store.replace("live", spans[:144_000])
        print(f"replace a source by 144,000 spans: {time.perf_counter() - began:.2f} s")


def span(n: int, *, annotated: bool = False) -> Span:
    """The `n`th span of a service that is called every five seconds; five spans a trace."""
    return Span(
        source="live",
        trace_id=f"{1_764_000_000 + n // 1000:08x}{n // 5:024x}",
        span_id=f"{n:016x}",
        parent_id=f"{n // 5 * 5:016x}" if n % 5 else None,
        kind="subsegment" if n % 5 else "segment",
        service="btc-pipeline",
        name=("btc-pipeline", "fetch", "classify", "annotate", "store")[n % 5],
        namespace=None,
        started_at=END + timedelta(milliseconds=n),
        duration_ms=12.5 + n % 977 / 10,
        error=False,
        fault=False,
        throttle=False,
        http_method=None,
        http_url=None,
        http_status=None,
        numbers={"price_usd": 60_000.0 + n % 100, "processing_time_ms": 12.0 + n % 977, "data_volume_bytes": 4096.0}
        if annotated
        else {},
        texts={"flag": "low", "shard_id": "kraken", "hour_str": "2026-11-24T13:00"} if annotated else {},
        booleans={"error": False} if annotated else {},
        failed=False,
        latency_ms=12.5 + n % 977 / 10,
        data_volume_bytes=4096.0 if annotated else None,
        price_usd=60_000.0 + n % 100 if annotated else None,
        detail=None,
        in_progress=False,
    )


# Reads beside a writer


def reads_beside_a_writer(folder: Path, kind: str, trace_id: str) -> None:
    fill(folder / "s.duckdb", 5_000_000, SPANS.replace("TRACE_ID", trace_id))
    recent = metrics.buckets(Question(source="live"), Window(END - timedelta(days=14), END), START)
    with Store(folder / "s.duckdb") as store:
        ids = store.query("SELECT trace_id FROM spans USING SAMPLE 500 ROWS")["trace_id"].to_list()
        each = itertools.cycle(ids)
        began = time.perf_counter()
        store.append([span(0)])
        print(f"5 M spans, {kind} trace ids: the first append of a process takes {time.perf_counter() - began:.1f} s")
        for beside, writer in (("nobody", quiet), ("a writer at full speed", writing)):
            with writer(store) as rates:
                trace = timed(lambda: store.trace(next(each)), 200)
                hourly = timed(lambda: store.query(recent.sql, recent.params), 60)
            told = "".join([beside, *(f" ({rate:,.0f} spans/s)" for rate in rates)])
            print(f"beside {told}: a trace by its id {trace[0]:.1f} ms, p95 {trace[1]:.1f}")
            print(f"beside {told}: hourly metrics of 14 days {hourly[0]:.0f} ms, p95 {hourly[1]:.0f}")


@contextmanager
def writing(store: Store) -> Iterator[list[float]]:
    """A thread that appends batches of 10,000 new spans without a pause; its rate is in the list afterwards."""
    stop, rate = threading.Event(), list[float]()

    def write() -> None:
        batches, began = 0, time.perf_counter()
        while not stop.is_set():
            batches += 1
            store.append([span(batches * 10_000 + i, annotated=i % 5 == 3) for i in range(10_000)])
        rate.append(batches * 10_000 / (time.perf_counter() - began))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield rate
    finally:
        stop.set()
        thread.join()


@contextmanager
def quiet(_store: Store) -> Iterator[list[float]]:
    yield []


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 95th percentile in ms, after one call that does not count."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), float(np.quantile(taken, 0.95))


# Stored spans in bulk: columns that differ from a plain complete segment, by the row's number `i`

XRAY_ID = "printf('%08x', epoch(started)::BIGINT) || left(md5('t' || i // 5), 24)"
RANDOM_ID = "md5('t' || i // 5)"
SPANS = """
SELECT i, TRACE_ID AS trace_id, i % 5 = 3 AS annotated, started,
    CASE WHEN i % 5 = 0 THEN 'segment' ELSE 'subsegment' END AS kind,
    CASE WHEN annotated THEN MAP {'processing_time_ms': (i % 1000)::DOUBLE} ELSE MAP {} END AS numbers
FROM (SELECT i, $start::TIMESTAMP + to_microseconds(i // 5 * 5184000) AS started FROM range($first, $last) AS t(i))
"""
RECORDS = """
SELECT i, lpad(to_hex(hash(i)), 32, '0') AS trace_id, true AS annotated, 'subsegment' AS kind,
    $start::TIMESTAMP + to_microseconds(STARTED) AS started, MAP {}::MAP(VARCHAR, DOUBLE) AS numbers
FROM range($first, $last) AS t(i)
"""
ARRIVING = "(i * (5183940000000 // $count) + hash(i) % 60000000)::BIGINT"
SHUFFLED = "(hash(i) % 5184000000000)::BIGINT"
MEASURES = """
SELECT i, lpad(to_hex(hash(i)), 32, '0') AS trace_id, true AS annotated, 'subsegment' AS kind,
    $start::TIMESTAMP + to_microseconds((hash(i) % 5184000000000)::BIGINT) AS started,
    MAP {'floats': (i % 1000)::DOUBLE, 'mixed': (i % 1000)::DOUBLE, 'other': 1.0::DOUBLE} AS numbers
FROM range($first, $last) AS t(i)
"""


def fill(file: Path, count: int, rows: str) -> None:
    """A store with `count` spans as `rows` has them: in bulk, past the writer, which would take minutes."""
    Store(file).close()
    with duckdb.connect(str(file)) as connection:
        for first in range(0, count, 500_000):
            connection.execute(
                f"""INSERT INTO spans SELECT 'live', trace_id, lpad(to_hex(i), 16, '0'), NULL, kind, 'shop', 'pay',
                NULL, started, 5 + hash(i) % 100000 / 1000, false, hash(i) % 50 = 0, false, NULL, NULL, NULL, numbers,
                CASE WHEN len(map_keys(numbers)) > 1 AND i % 3 = 0 THEN MAP {{'mixed': i::VARCHAR}} ELSE MAP {{}} END,
                MAP {{}}, hash(i) % 50 = 0, 5 + hash(i) % 100000 / 1000, hash(i) % 5000, 60000 + i % 1000, NULL, false,
                annotated, now()::TIMESTAMP, ('0x' || left(trace_id, 16))::UBIGINT, hash(i)
                FROM ({rows})""",
                {"start": START, "first": first, "last": min(first + 500_000, count)}
                | ({"count": count} if "$count" in rows else {}),
            )
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        hourly(sys.argv[1], Path(sys.argv[2]))
    else:
        run()
