"""A hundred series at once on two warm workers: fit, forecast, interval, chances and first crossing of each.

`python -m benchmarks.groups`. 30 days of hours a series, simulated; beside it the same fits one after the other.
"""

import logging
import time
from datetime import datetime

from benchmarks.forecast import simulated
from core import workers
from core.analysis import crossing, forecast

SERIES = 100


def looked_at(model):
    """What a page asks of a fit."""
    forecast.predict(model, 24)
    crossing.exceedance(model, 24, 150)
    crossing.first_crossing(model, 24, 150)


def run() -> None:
    """Print the two times."""
    logging.disable(logging.ERROR)  # Prophet and cmdstanpy report every fit
    histories = [simulated(seed, days=30) for seed in range(SERIES)]
    now: datetime = histories[0]["ds"].iloc[-1].to_pydatetime().replace(minute=59)
    workers.start(forecast.warm)
    try:
        for warm in [workers.submit(forecast.fit, histories[0], "hourly", now) for _ in range(2 * workers.SIZE)]:
            warm.result()
        began = time.perf_counter()
        for answer in [workers.submit(forecast.fit, history, "hourly", now) for history in histories]:
            looked_at(answer.result())
        together = time.perf_counter() - began
    finally:
        workers.stop()
    forecast.warm()
    began = time.perf_counter()
    for history in histories:
        looked_at(forecast.fit(history, "hourly", now))
    alone = time.perf_counter() - began
    print(f"{SERIES} series: {together:.1f} s on {workers.SIZE} warm workers, {alone:.1f} s in one process")


if __name__ == "__main__":
    run()
