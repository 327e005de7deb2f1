"""Traces for pages and routes: the first of a list, how many there are, all of them, and one with its spans in order.

Cached by the question, the window and the version of the source, as everything is that is asked of the store.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core import store
from core.aggregates import trace as stored_trace
from core.analysis import traces as statements
from core.analysis import waterfall
from core.asked import READ_ALOUD, run, version
from core.asked import window as asked_window
from core.question import Question, Window, bucket_start

__all__ = [
    "FIRST",
    "KEYS",
    "Totals",
    "chunks",
    "everything",
    "first",
    "identified",
    "lanes",
    "one",
    "shown_id",
    "totals",
]

FIRST, KEYS = statements.FIRST, statements.KEYS
identified, lanes, shown_id = statements.identified, waterfall.lanes, statements.shown_id

_MINUTE = timedelta(minutes=1)


class Totals(NamedTuple):
    """How many traces a list has, how many of them failed, and how long the slowest took (None without any)."""

    traces: int
    failed: int
    slowest_ms: float | None


def first(question: Question, now: datetime) -> pd.DataFrame:
    """The first `FIRST` traces of the list, in the order of `sort`: columns as `analysis.traces.first` says."""
    return _first(*_key(question, now))


def totals(question: Question, now: datetime) -> Totals:
    """Of the whole list."""
    return _totals(*_key(question, now))


def everything(question: Question, now: datetime) -> pd.DataFrame:
    """The whole list as a table shows it, shared between its readers: columns as `analysis.traces.scrolled`."""
    return _everything(*_key(question, now))


def chunks(question: Question, now: datetime) -> Iterator[pd.DataFrame]:
    """The whole list in frames of some 50,000: `source, measure, unit, trace_id, started_at, duration_ms, service,
    name, error, fault, throttle, http_status, span_count`; one empty frame where there is none.
    """
    asked, window, _ = _key(question, now)
    statement = statements.everything(asked, window)
    return store.current().chunks(statement.sql, statement.params)


def one(trace_id: str, source: str) -> pd.DataFrame:
    """The spans of a trace, of `source` if it has some, else of the first that does: as `analysis.waterfall.rows`.

    Raises `NotFound` where none is stored.
    """
    spans = stored_trace(trace_id)
    own = spans[spans["source"] == source]
    spans = own if len(own) else spans[spans["source"] == spans["source"].iloc[0]]
    return waterfall.rows(spans.reset_index(drop=True))


def _key(question: Question, now: datetime) -> tuple[Question, Window, int]:
    """What a list depends on; a range that moves with the clock does so by whole minutes, up to the end of this one."""
    start, end = asked_window(question, now)
    if question.end is None:
        start, end = start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0) + _MINUTE
    if question.bucket is not None:
        question = replace(question, bucket=bucket_start(question.bucket, question.granularity))
    kept = ("source", "service", "measure", "granularity", "bucket", "q", "where", "sort")
    asked = Question(**{name: getattr(question, name) for name in kept})
    return asked, Window(start, end), version(question.source)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=READ_ALOUD)
def _first(question: Question, window: Window, version: int) -> pd.DataFrame:
    return run(statements.first(question, window))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)
def _totals(question: Question, window: Window, version: int) -> Totals:
    row = run(statements.totals(question, window)).iloc[0]
    return Totals(int(row["traces"]), int(row["failed"]), None if pd.isna(row["slowest"]) else float(row["slowest"]))


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=READ_ALOUD)  # a million rows: 200 MB
def _everything(question: Question, window: Window, version: int) -> pd.DataFrame:
    return run(statements.scrolled(question, window))
