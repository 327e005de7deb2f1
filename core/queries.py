"""One function per question, for pages and routes alike; each cached by what its answer depends on (see `core.asked`).

`now` is naive UTC and read once per request, by the caller.
"""

from typing import Any

import pandas as pd

from core import activity, settings, store
from core.aggregates import (
    annotation_keys,
    column,
    file_stem,
    flagged,
    groups,
    keep_hours,
    left_out,
    metrics,
    points,
    price,
    price_correlation,
    record_chunks,
    records,
    services,
    threshold,
    trace,
    usual,
    usual_crossing,
)
from core.ahead import crossings, forecast, readiness
from core.asked import reach, version, window
from core.lookback import (
    Backtest,
    Cost,
    Held,
    Reliability,
    accuracy,
    anomalies,
    backtest,
    cost,
    held,
    reliability,
)

__all__ = [
    "Backtest",
    "Cost",
    "Held",
    "Reliability",
    "accuracy",
    "annotation_keys",
    "anomalies",
    "backtest",
    "column",
    "cost",
    "crossings",
    "file_stem",
    "flagged",
    "forecast",
    "groups",
    "held",
    "keep_hours",
    "left_out",
    "metrics",
    "points",
    "price",
    "price_correlation",
    "reach",
    "readiness",
    "record_chunks",
    "records",
    "reliability",
    "services",
    "sources",
    "status",
    "threshold",
    "trace",
    "usual",
    "usual_crossing",
    "version",
    "window",
]


def sources() -> pd.DataFrame:
    """What is stored: `source`, `rows`, `oldest`, `newest` (start of its first and last span, naive UTC)."""
    return store.current().sources()


def status() -> dict[str, Any]:
    """What is stored and what is going on: `sources`, and the state of `activity`."""
    return {"sources": sources(), "settings": settings.current(), **activity.snapshot()}
