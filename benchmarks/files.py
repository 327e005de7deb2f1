"""A file of segment documents into the store, durable: JSON lines, and the output of `aws xray batch-get-traces`.

The processes of the pool read them, as in the app. The peer reads the whole file with `json.load`, and then parses and
stores its documents one by one, as a script would.
"""

import itertools
import json
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from core import spans, workers
from core.analysis import forecast
from core.ingest import files
from core.store import Store

SEGMENTS, PEER_SEGMENTS, RUNS = 50_000, 500, 3
LIMIT = 2 << 30

_runs = itertools.count()


def documents(n: int) -> list[str]:
    """Annotated segments, unlike any other of this run."""
    chance, now = random.Random(next(_runs)), time.time() - 86_400.0
    return [
        json.dumps(
            {
                "name": "shop",
                "id": f"{chance.getrandbits(64):016x}",
                "trace_id": f"1-{int(now):08x}-{chance.getrandbits(96):024x}",
                "start_time": now + number / 1e4,
                "end_time": now + number / 1e4 + 0.1,
                "http": {"request": {"method": "GET", "url": "https://shop/cart"}, "response": {"status": 200}},
                "annotations": {"processing_time_ms": 100.5, "flag": "low", "shard_id": "a", "error": False},
            }
        )
        for number in range(n)
    ]


def lines(sent: list[str], path: Path) -> None:
    """As JSON lines."""
    path.write_text("\n".join(sent))


def answer(sent: list[str], path: Path) -> None:
    """As the command line prints the answer of BatchGetTraces."""
    traces = [{"Id": str(number), "Segments": [{"Id": "x", "Document": one}]} for number, one in enumerate(sent)]
    path.write_text(json.dumps({"Traces": traces, "UnprocessedTraceIds": []}, indent=4))


def imported(path: Path, store: Store, n: int) -> None:
    """By the importer."""
    with path.open("rb") as file:
        report = files.load(file, "bench", _now(), store, LIMIT, workers.submit)
    assert (report.stored, report.rejected) == (n, {}), report


def one_by_one(path: Path, store: Store, n: int) -> None:
    """By the peer."""
    for trace in json.loads(path.read_text())["Traces"]:
        for segment in trace["Segments"]:
            store.append(spans.parse(segment["Document"], "file:peer", _now(), lambda _reason: None))


def rate(folder: Path, n: int, write: Callable[[list[str], Path], None], read: Callable[..., None]) -> float:
    """Segments a second, in a store of its own."""
    path = folder / "traces.json"
    write(documents(n), path)
    with Store(folder / f"{next(_runs)}.duckdb") as store:
        began = time.perf_counter()
        read(path, store, n)
        return n / (time.perf_counter() - began)


def peak(folder: Path) -> tuple[int, int]:
    """Bytes of the file, and bytes that Python took at most while it was imported."""
    path = folder / "traces.json"
    answer(documents(SEGMENTS // 2), path)
    with Store(folder / "peak.duckdb") as store:
        tracemalloc.start()
        imported(path, store, SEGMENTS // 2)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return path.stat().st_size, most


def run() -> None:
    """Print the rates, median of three, and the memory."""
    workers.start(forecast.warm)
    for ready in [workers.submit(time.sleep, 0.1) for _ in range(workers.SIZE)]:
        ready.result()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = rate(folder, PEER_SEGMENTS, answer, one_by_one)
        for form, write in (("JSON lines", lines), ("batch-get-traces", answer)):
            usual = median(rate(folder, SEGMENTS, write, imported) for _ in range(RUNS))
            print(f"{form:17} {usual:8,.0f} segments/s, durable (wanted: 50,000; {usual / peer:.0f} times the peer)")
        print(f"peer              {peer:8,.0f} segments/s ({PEER_SEGMENTS:,} of them, all in memory)")
        size, most = peak(folder)
        print(f"memory            {most / 2**20:8,.1f} MiB at most for a file of {size / 2**20:,.1f} MiB")
    workers.stop()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


if __name__ == "__main__":
    run()
