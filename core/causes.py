"""The questions that look for causes, cached like all others: what sets the slow or failed records apart."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core import queries, store
from core.analysis import drivers as found
from core.question import Question, Window, bucket_width, unit

__all__ = ["drivers", "looked_at"]


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


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Question: repr})
def _drivers(about: Question, window: Window, version: int) -> pd.DataFrame:
    statement = found.holders(about, window)
    return found.drivers(about, store.current().query(statement.sql, statement.params))
