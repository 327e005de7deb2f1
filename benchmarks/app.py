"""What a visitor waits for: the start, a moved threshold, another range; in the real program and a real Chromium.

The peer of a moved threshold is a changed service filter, which has to aggregate and fit anew.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Page, Playwright, sync_playwright

from benchmarks.screen import CHROMIUM, SETTLED_MS, seen_after
from core import queries, store
from core.ingest import sample
from core.question import Question
from tests.running import running

DAYS_OF_A_MILLION = 420  # of the sample, about 2,300 spans a day
REPEATS = 11


def _get(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def start(home: Path) -> None:
    """Seconds from the start of the process on an empty folder."""
    began = time.monotonic()
    with running(home, _healthy, PIPELINE="off") as address:
        print(f"healthy                      {time.monotonic() - began:5.1f} s (wanted: 3)")
        while len(_get(f"{address}/api/v1/hourly.csv").splitlines()) < 24 * 14:
            time.sleep(0.05)
        print(f"history, as CSV              {time.monotonic() - began:5.1f} s (wanted: 5)")
        _get(f"{address}/api/v1/forecast.csv")
        print(f"forecast, as CSV             {time.monotonic() - began:5.1f} s (wanted: 5)")


def _median_ms(work: Callable[[int], object]) -> float:
    times = []
    for turn in range(REPEATS):
        began = time.perf_counter()
        work(turn)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def server_work(home: Path) -> None:
    """What the queries of the Overview cost with a million spans stored."""
    anchor = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    with store.Store(home / "tracecast.duckdb") as opened:
        store.use(opened)
        opened.replace("sample", sample.table(anchor, -24 * DAYS_OF_A_MILLION, 0))
        rows = int(queries.sources()["rows"].sum())

        def overview(question: Question) -> None:
            queries.metrics(question, anchor)
            queries.forecast(question, anchor)
            queries.crossings(question, anchor)
            queries.anomalies(question, anchor)

        overview(Question())
        moved = _median_ms(lambda turn: overview(Question(threshold=100.0 + turn)))
        ranges = ("1h", "6h", "24h", "3d", "7d", "30d", "60d", "3d", "7d", "30d", "24h")
        overview(Question(range="60d"))
        changed = _median_ms(lambda turn: queries.metrics(Question(range=ranges[turn]), anchor))
        anew = _median_ms(lambda turn: overview(Question(measure="duration_ms", range="3d", interval=80 + turn)))
    print(f"with {rows:,} spans stored, work of the server for the Overview")
    print(f"a moved threshold            {moved:5.0f} ms (wanted: 50)")
    print(f"another range, its buckets   {changed:5.0f} ms (wanted: 300)")
    print(f"another interval, anew       {anew:5.0f} ms (ratio {anew / moved:.1f})")


def moved_on_screen(page: Page, value: int) -> float:
    """Milliseconds from the key that sends a new threshold until the frame that shows it in the chart."""
    field = page.get_by_label("Threshold (ms)")
    field.fill(str(value))
    chart = ", ".join(f'[{name}*="Threshold {value}"]' for name in ("aria-label", "alt"))
    return seen_after(page, "keydown", lambda: field.press("Enter"), chart)


def first_chart(playwright: Playwright, address: str) -> float:
    """Milliseconds from opening the address in a new browser until a chart is on screen, median of three."""
    times = []
    for _ in range(3):
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator("canvas, svg.marks").first.wait_for()
        times.append((time.perf_counter() - began) * 1000)
        browser.close()
    return statistics.median(times)


def screen(home: Path) -> None:
    """What is seen: the first page, beside one of Streamlit with a chart and nothing else, and a moved threshold."""
    with running(home, PIPELINE="off") as address, sync_playwright() as playwright:
        _get(f"{address}/api/v1/anomalies.csv")
        first = first_chart(playwright, address)
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(address)
        page.locator("canvas, svg.marks").first.wait_for()
        page.wait_for_timeout(SETTLED_MS)
        for value in (151, 152):
            moved_on_screen(page, value)
        moved = statistics.median(moved_on_screen(page, 100 + turn) for turn in range(REPEATS))
        browser.close()
    bare = home / "bare.py"
    bare.write_text("import streamlit as st\nst.line_chart([1, 4, 2])\n")
    with running(home, _healthy, bare) as address, sync_playwright() as playwright:
        least = first_chart(playwright, address)
    print(f"first page, chart on screen  {first:5.0f} ms, of a page with one chart alone {least:.0f} (wanted: 2,000)")
    print(f"a moved threshold, on screen {moved:5.0f} ms (wanted: 300)")


def _healthy(address: str) -> bool:
    return _get(f"{address}/_stcore/health") == b"ok"


def run() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder) / "start")
        server_work(Path(folder) / "work")
        if CHROMIUM is None:
            print("no Chromium: nothing is measured on a screen")
            return
        screen(Path(folder) / "start")


if __name__ == "__main__":
    run()
