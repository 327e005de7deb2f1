"""The questions that look for causes, cached like all others: what sets the slow or failed records apart."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core import queries, store
from core.analysis import drivers as found
from core.analysis import steps as own
from core.analysis.metrics import Statement
from core.question import Question, Window, bucket_width, unit

__all__ = ["drivers", "looked_at", "steps"]


def looked_at(question: Question, now: datetime) -> Window:
    """The stretch whose causes are asked for: the bucket, where one is chosen, else the range."""
    if question.bucket is not None:
        return Window(question.bucket, question.bucket + bucket_width(question.granularity))
    return queries.window(question, now)


def drivers(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit, key, value, share_slow, share_all, effect_ms, n, p_value, significant`, as
    `analysis.drivers.drivers` says; of all records together, also with `by`.
    """
    about = Question(
        source=question.source,
        scope=question.scope,
        service=question.service,
        measure=question.measure,
        stat="error_rate" if question.stat == "error_rate" else "avg",
    )
    frame = _drivers(about, looked_at(question, now), queries.version(question.source))
    head = {"source": question.source, "measure": question.measure, "unit": unit(question.measure)}
    return pd.DataFrame(head | {name: frame[name] for name in frame}, index=frame.index)


def steps(question: Question, now: datetime) -> pd.DataFrame:
    """Which steps hold the time, beside the stretch of the same length just before: as `analysis.steps.steps` says."""
    start, end = looked_at(question, now)
    windows = Window(start, end), Window(start - (end - start), start)
    about = Question(source=question.source, service=question.service)
    here, before = (_self_times(about, window, queries.version(question.source)) for window in windows)
    return own.steps(here, before)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Question: repr})
def _drivers(about: Question, window: Window, version: int) -> pd.DataFrame:
    return found.drivers(about, _run(found.holders(about, window)))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Question: repr})
def _self_times(about: Question, window: Window, version: int) -> pd.DataFrame:
    return _run(own.self_times(about, window))


def _run(statement: Statement) -> pd.DataFrame:
    return store.current().query(statement.sql, statement.params)
