"""The tables that can be downloaded, by name: what the pages show and what the routes answer, in frames."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd

from core import causes, markers, queries, traces
from core.question import Question

__all__ = ["TABLES", "Table"]

Table = Callable[[Question, datetime], Iterable[pd.DataFrame]]


def _whole(query: Callable[[Question, datetime], pd.DataFrame], **changes: Any) -> Table:
    return lambda question, now: [query(replace(question, **changes), now)]


TABLES: dict[str, Table] = {
    "hourly": _whole(queries.metrics, granularity="hourly"),
    "daily": _whole(queries.metrics, granularity="daily"),
    "forecast": _whole(queries.forecast),
    "crossings": _whole(queries.crossings),
    "anomalies": _whole(queries.anomalies),
    "accuracy": _whole(queries.accuracy),
    "price": _whole(queries.price),
    "records": queries.record_chunks,
    "traces": traces.chunks,
    "drivers": _whole(causes.drivers),
    "compare": _whole(causes.compare),
    "markers": lambda question, now: [markers.table(question)],
}
