"""What was observed: buckets, records, prices, and what is usual; straight from the store."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pandas as pd
import streamlit as st

from core import question as asking
from core import store
from core.analysis import metrics as statements
from core.analysis.usual import crossed_share
from core.analysis.usual import usual as usual_value
from core.asked import READ_ALOUD, about, back, fit_end, history, reach, run, version, window
from core.errors import NotFound
from core.question import Question, Window, bucket_start, unit

__all__ = [
    "annotation_keys",
    "column",
    "file_stem",
    "flagged",
    "groups",
    "keep_hours",
    "left_out",
    "metrics",
    "points",
    "price",
    "price_correlation",
    "record_chunks",
    "records",
    "services",
    "threshold",
    "trace",
    "usual",
    "usual_crossing",
]

_STRAGGLERS = timedelta(minutes=10)  # for each later one its hour is computed once more
DEFAULT_THRESHOLD = {"ms": 150.0, "share": 0.05}


def metrics(question: Question, now: datetime) -> pd.DataFrame:
    """The buckets of the window; columns as `analysis.metrics.buckets` says."""
    asked = window(question, now)
    first, _ = reach(question.source)
    return _metrics(
        about(question),
        bucket_start(asked.start, question.granularity),
        asked.end if question.end else bucket_start(asked.end, question.granularity),
        first,
        version(question.source),
        asked.end,
    )


def column(question: Question) -> str:
    """The column of `metrics` that holds what `question` asks for."""
    return statements.stat_column(question)


def threshold(question: Question, now: datetime) -> float:
    """The threshold in the stat's unit: as asked, else 150 ms, 5 %, or the 95th percentile of the history."""
    if question.threshold is not None:
        return question.threshold
    fixed = DEFAULT_THRESHOLD.get(unit(question.measure, question.stat))
    if fixed is not None:
        return fixed
    values = history(about(question), fit_end(question, now), statements.HISTORY, version(question.source))
    if question.granularity == "daily" and not values.empty:
        how = "sum" if question.stat in ("count", "volume") else "mean"
        values = values.groupby(["group", values["ds"].dt.floor("D")], dropna=False)["y"].agg(how).reset_index()
    high = values["y"].quantile(0.95)
    return float(f"{high:.2g}") if high > 0 else 1.0


def file_stem(question: Question, now: datetime) -> str:
    """What a file with the answer is called: `tracecast-sample-20261111T1300-20261125T1300-150ms`."""
    asked, line = window(question, now), threshold(question, now)
    parts = ["tracecast", question.source, *(f"{at:%Y%m%dT%H%M}" for at in asked)]
    return re.sub(r"[^\w.-]", "-", "-".join([*parts, f"{line:g}{unit(question.measure, question.stat)}"]))


def usual(question: Question, columns: Sequence[str], now: datetime) -> dict[str, float | None]:
    """What is usual at the hour of the last complete bucket, over the 14 days before it: for each of `columns` (of
    `metrics`) the median. Empty when there is no complete bucket.
    """
    return _usual(replace(about(question), by=None), tuple(columns), fit_end(question, now), version(question.source))


def usual_crossing(question: Question, now: datetime) -> float | None:
    """How often the threshold was crossed within as many buckets as the horizon has, over 60 days; None if unknown."""
    seen = metrics(back(question, now, statements.HISTORY), now)
    values = seen.loc[seen["complete"], column(question)].astype(float)
    return crossed_share(values, asking.horizon(question), threshold(question, now))


def records(question: Question, now: datetime, limit: int) -> pd.DataFrame:
    """The newest `limit` records of the window, oldest first; columns as `analysis.metrics.records`."""
    return run(statements.records(question, window(question, now), limit))


def points(question: Question, now: datetime, limit: int) -> pd.DataFrame:
    """The newest `limit` records of the window, each as a dot: columns as `analysis.metrics.points`."""
    return run(statements.points(question, window(question, now), limit))


def record_chunks(question: Question, now: datetime) -> Iterator[pd.DataFrame]:
    """All records of the window in frames of some 50,000, oldest first; one empty frame where there is none."""
    statement = statements.records(question, window(question, now))
    return store.current().chunks(statement.sql, statement.params)


def price(question: Question, now: datetime) -> pd.DataFrame:
    """The price history of the window: `source, measure, unit, time, price_usd, exchange, kind`; oldest first."""
    frame = run(statements.prices(window(question, now)))
    for position, (name, value) in enumerate([("source", "live"), ("measure", "price_usd"), ("unit", "USD")]):
        frame.insert(position, name, value)
    return frame


def flagged(question: Question, now: datetime) -> pd.DataFrame:
    """Where the price stood out in the window, by its own history: columns as `analysis.metrics.flagged`."""
    return run(statements.flagged(question, window(question, now), ("high", "extreme")))


def price_correlation(question: Question, prices: pd.DataFrame, now: datetime) -> float | None:
    """Pearson's r between what `question` asks for and the mean price of its buckets; None under 24 of them.

    `prices`: `time` (naive UTC), `price_usd`.
    """
    seen = metrics(replace(question, by=None), now)
    seen = seen[seen["complete"]].set_index("bucket")[column(question)]
    buckets = prices["time"].dt.floor("h" if question.granularity == "hourly" else "D")
    means = prices.groupby(buckets)["price_usd"].mean()
    both = pd.concat([seen, means], axis=1, join="inner").dropna()
    if len(both) < 24 or both.nunique().min() < 2:
        return None
    return float(both.iloc[:, 0].corr(both.iloc[:, 1]))


def groups(question: Question, key: str, now: datetime) -> pd.DataFrame:
    """The window's records by the value of `key`: columns as `analysis.metrics.groups`."""
    return run(statements.groups(question, key, window(question, now)))


def left_out(question: Question, now: datetime) -> int:
    """How many groups are not forecast, because others are larger."""
    if question.by is None:
        return 0
    return max(
        _group_count(about(question), fit_end(question, now), version(question.source)) - statements.MAX_GROUPS, 0
    )


def keep_hours(now: datetime) -> None:
    """Have the store keep what is asked most, of all hours that ended long enough ago for most stragglers to be here.

    Answers stay as they are, and take less time. Raises `StoreError`.
    """
    stored = store.current()
    for source in stored.sources()["source"]:
        statement = statements.finished(source, now - _STRAGGLERS)
        stored.keep_hours(statement.sql, statement.params)


def services(source: str) -> list[str]:
    """Names of the services of `source`."""
    return _services(source, version(source))


def annotation_keys(source: str) -> pd.DataFrame:
    """The annotation keys of the week before the source's newest span: `key`, `numeric`."""
    return _annotation_keys(source, version(source))


def trace(trace_id: str, source: str | None = None) -> pd.DataFrame:
    """The spans of a trace (canonical id), of every source unless one is named. Raises `NotFound`."""
    frame = store.current().trace(trace_id, source)
    if frame.empty:
        raise NotFound("No span of this trace is stored.")
    return frame


@st.cache_resource(max_entries=256, show_spinner=False, hash_funcs=READ_ALOUD)  # read five times a page
def _metrics(
    question: Question, start: datetime, until: datetime, first: datetime | None, version: int, _end: datetime
) -> pd.DataFrame:
    """`until` stands for `_end` in the key: within a bucket, only what was stored since can change the answer."""
    nothing_stored = _end + timedelta(days=2)
    return run(statements.buckets(question, Window(start, _end), first or nothing_stored))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)
def _usual(question: Question, columns: tuple[str, ...], end: datetime, version: int) -> dict[str, float | None]:
    recent = metrics(replace(question, start=end - timedelta(days=14), end=end), end)
    complete = recent[recent["complete"]]
    if complete.empty:
        return {}
    last = complete["bucket"].iloc[-1]
    return {column: usual_value(recent, column, last, question.granularity) for column in columns}


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=READ_ALOUD)
def _group_count(question: Question, end: datetime, version: int) -> int:
    return int(run(statements.group_count(question, end))["groups"].iloc[0])


@st.cache_data(max_entries=64, show_spinner=False)
def _services(source: str, version: int) -> list[str]:
    return cast(list[str], run(statements.services(source))["service"].to_list())


@st.cache_data(max_entries=64, show_spinner=False)
def _annotation_keys(source: str, version: int) -> pd.DataFrame:
    _, newest = reach(source)
    since = (newest or datetime(1970, 1, 8)) - timedelta(days=7)
    return run(statements.annotation_keys(source, since))
