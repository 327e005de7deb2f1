"""The Accuracy page on 60 days and 28 origins: when its rows are there, and whether others feel that it is at work.

`python -m benchmarks.accuracy`. The peer of the two workers is one process that makes one forecast after the other.
"""

import logging
import re
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.app import moved_on_screen
from benchmarks.forecast import simulated
from benchmarks.screen import CHROMIUM, SETTLED_MS
from core import backtests, workers
from core.analysis import backtest, forecast
from tests.running import running

HORIZON = 24
REPEATS = 11


def replayed() -> None:
    """Seconds until the first and until all models are there, on warm workers and in one process."""
    logging.disable(logging.ERROR)  # Prophet and cmdstanpy report every fit
    history = simulated(3, days=60).astype({"ds": "datetime64[us]"})
    end = history["ds"].iloc[-1].to_pydatetime()
    workers.start(forecast.warm)
    try:
        for warmed in [workers.submit(forecast.warm) for _ in range(2 * workers.SIZE)]:
            warmed.result()
        began, first = time.perf_counter(), None
        plan = backtests.plan(history, "hourly", "avg", end, HORIZON)
        while (told := backtests.backtest(plan)).done < told.total:
            if first is None and len(told.rows):
                first = time.perf_counter() - began
            time.sleep(0.02)
        together = time.perf_counter() - began
    finally:
        workers.stop()
    forecast.warm()
    began = time.perf_counter()
    for model in backtest.MODELS:
        for origin in plan.forecasts.origins:
            backtest.said(model, origin.known, "hourly", origin.cutoff, HORIZON)
    alone = time.perf_counter() - began
    print(
        f"{told.total} forecasts on {workers.SIZE} warm workers: first model after {first:.1f} s, all {together:.1f} s"
    )
    print(f"one after the other in one process: {alone:.1f} s (ratio {alone / together:.1f})")


def _open(page: Page, address: str) -> tuple[float, float]:
    """Seconds from a click in the open app until the page Accuracy shows the first model's numbers, and until it has
    all.
    """
    page.goto(f"{address}/?interval=90")
    page.get_by_text("Look at first").wait_for(timeout=120_000)
    page.wait_for_timeout(SETTLED_MS)
    began = time.perf_counter()
    page.get_by_role("link", name="Accuracy").click()
    page.get_by_label(re.compile("Error by model: [A-Z]")).first.wait_for(state="attached", timeout=120_000)
    first = time.perf_counter() - began
    page.get_by_label(re.compile("Error by model: Tracecast .*Original pipeline .*")).first.wait_for(
        state="attached", timeout=120_000
    )
    return first, time.perf_counter() - began


def screen(home: Path) -> None:
    """The same on a screen, in the real program; and a threshold that is moved elsewhere meanwhile."""
    with running(home, PIPELINE="off") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        elsewhere, accuracy = (browser.new_page(viewport={"width": 1440, "height": 1000}) for _ in range(2))
        elsewhere.goto(address)
        elsewhere.get_by_text("Look at first").wait_for(timeout=120_000)
        for value in (151, 152):
            moved_on_screen(elsewhere, value)
        calm = statistics.median(moved_on_screen(elsewhere, 160 + turn) for turn in range(REPEATS))
        first, whole = _open(accuracy, address)
        accuracy.goto(f"{address}/accuracy?measure=duration_ms")  # another series, which has to be replayed
        accuracy.get_by_text("forecasts replayed").wait_for(timeout=120_000)
        moved = [moved_on_screen(elsewhere, 180 + turn) for turn in range(REPEATS)]
        still = accuracy.get_by_text("forecasts replayed").is_visible()
        browser.close()
    print(f"on screen: first row {first:.1f} s (wanted: 3), all {whole:.1f} s (wanted: 8)")
    print(
        f"a threshold moved elsewhere meanwhile{'' if still else ' (it was done before the last)'}:"
        f" {statistics.median(moved):.0f} ms, at most {max(moved):.0f} (wanted: 500); when calm {calm:.0f}"
    )


def run() -> None:
    """Print all of it."""
    replayed()
    if CHROMIUM is None:
        print("no Chromium: nothing is measured on a screen")
        return
    with tempfile.TemporaryDirectory() as folder:
        screen(Path(folder))


if __name__ == "__main__":
    run()
