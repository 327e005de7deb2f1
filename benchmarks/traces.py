"""The page Traces: the slowest of a million traces, and one of 5,000 spans, in the store, the page and a real Chromium.

`python -m benchmarks.traces`. Beside the list the same rows by grouping every trace; it needs 600 MB of disk and a
minute to fill the store.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.screen import CHROMIUM, SETTLED_MS, seen_after
from core.analysis import traces as statements
from core.analysis import waterfall as laid_out
from core.analysis.metrics import Statement
from core.ingest import sample, segments
from core.question import SORTS, Question, Window, parse
from core.store import Store
from core.view import waterfall
from tests.running import running

DAYS_OF_A_MILLION = 2_115  # of the sample, about 490 traces a day
STAGES, STEPS = 50, 99  # of the one trace: 1 + 50 * (1 + 99) spans
REPEATS = 7
BIG = "1-{:08x}-" + "cd" * 12
LIST = '[data-testid=stDataFrame]:has([aria-label*="slowest first"]) canvas'
WATERFALL = "[aria-label^=Waterfall] canvas"


def documents(start: float) -> list[str]:
    """One trace of `STAGES` subsegments with `STEPS` each, as segment documents."""
    trace_id = BIG.format(int(start))
    root = {"name": "root", "id": "a" * 16, "trace_id": trace_id, "start_time": start, "end_time": start + STAGES}
    sent = [json.dumps(root)]
    for stage in range(STAGES):
        began = start + stage
        steps = [
            {
                "name": f"step {n}",
                "id": f"{stage:08x}{n + 1:08x}",
                "start_time": began + n / 100,
                "end_time": began + n / 80,
            }
            for n in range(STEPS)
        ]
        own = {"name": f"stage {stage}", "id": f"{stage:08x}{0:08x}", "start_time": began, "end_time": began + 0.99}
        sent.append(
            json.dumps(own | {"trace_id": trace_id, "parent_id": "a" * 16, "type": "subsegment", "subsegments": steps})
        )
    return sent


def median_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def queries(opened: Store, window: Window) -> None:
    """The list in each order, its totals, and all of it grouped, which is what it would take without a short cut."""

    def asked(statement: Statement) -> Callable[[], object]:
        return lambda: opened.query(statement.sql, statement.params)

    slowest = 0.0
    for sort in SORTS:
        ms = median_ms(asked(statements.first(Question(sort=sort), window, 100)))
        slowest = slowest or ms
        print(f"first 100 by {sort:8}           {ms:6.0f} ms")
    whole = statements.everything(Question(), window)
    grouped = median_ms(asked(Statement(f"{whole.sql} LIMIT 100", whole.params)), 3)
    print(f"the slowest by grouping all     {grouped:6.0f} ms ({grouped / slowest:.1f} times as long)")
    print(f"totals                          {median_ms(asked(statements.totals(Question(), window))):6.0f} ms")
    narrowed = parse({"where": "flag=high,status=failed"})
    print(f"first 100, two conditions       {median_ms(asked(statements.first(narrowed, window, 100))):6.0f} ms")


def one(opened: Store, trace_id: str) -> None:
    """From the store to the chart's specification."""
    spans = opened.trace(trace_id)
    found = laid_out.rows(spans)
    print(f"one trace of {len(spans):,} spans: read {median_ms(lambda: opened.trace(trace_id)):.0f} ms, ", end="")
    print(f"laid out {median_ms(lambda: laid_out.rows(spans)):.0f} ms, ", end="")
    print(f"as a chart {median_ms(lambda: waterfall.chart(found)):.0f} ms")


def screen(home: Path, trace_id: str) -> None:
    """What is seen in a browser that has the app open already: the list, and one trace after another."""
    listed, drawn = [], []
    with running(home, PIPELINE="off") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        for _ in range(5):
            page.goto(f"{address}/?range=all")
            page.locator("canvas, svg.marks").first.wait_for()
            page.wait_for_timeout(SETTLED_MS)
            link = page.get_by_role("link", name="Traces")
            listed.append(seen_after(page, "click", link.click, LIST))
            page.wait_for_timeout(SETTLED_MS)
            field = page.get_by_placeholder("Trace id")
            field.fill(trace_id)
            drawn.append(seen_after(page, "keydown", partial(field.press, "Enter"), WATERFALL))
        browser.close()
    print(f"the list, from click to screen  {listed[0]:6.0f} ms the first time (wanted: 500)")
    print(f"the list, when asked before     {statistics.median(listed[1:]):6.0f} ms")
    print(f"one trace, from Enter to screen {statistics.median(drawn):6.0f} ms (wanted: 700)")


def run() -> None:
    """Print all of it."""
    anchor = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    start = (anchor - timedelta(minutes=5)).replace(tzinfo=UTC).timestamp()
    trace_id = BIG.format(int(start)).replace("-", "")[1:]
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / "tracecast.duckdb") as opened:
            opened.replace("sample", sample.table(anchor, -24 * DAYS_OF_A_MILLION, 0))
            segments.take(documents(start), "live", anchor, opened)
            [traces] = opened.query("SELECT count(DISTINCT trace_id) AS n FROM spans")["n"]
            print(f"{traces:,} traces stored")
            queries(opened, Window(anchor - timedelta(days=DAYS_OF_A_MILLION), anchor))
            one(opened, trace_id)
        if CHROMIUM is None:
            print("no Chromium: nothing is measured on a screen")
            return
        screen(Path(folder), trace_id)


if __name__ == "__main__":
    run()
