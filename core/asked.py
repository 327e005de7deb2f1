"""What answers depend on: the parts of a question, the version of its source, the histories behind it.

Aggregates depend on the question, the window and the version of the source, forecasts on the content of their
history: so a moved threshold recomputes neither, and a span that was just stored is seen. `now` is naive UTC and read
once per request, by the caller.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core import question as asking
from core import store
from core.analysis import metrics as statements
from core.question import Question, Window, bucket_start, unit

__all__ = [
    "READ_ALOUD",
    "Key",
    "about",
    "about_ahead",
    "back",
    "fit_end",
    "headed",
    "histories",
    "history",
    "history_of",
    "of_group",
    "reach",
    "run",
    "table",
    "version",
    "window",
]

# The routes bring the caches up before Streamlit's runtime is there; in memory they are either way.
logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

Key = tuple[str, str, str, datetime]
"""Digest of a history, granularity, stat, end: what a model depends on."""

READ_ALOUD: dict[str | type[Any], Callable[[Any], Any]] = {Question: repr}
"""How caches tell questions apart: ten times quicker than to walk their fields."""


def reach(source: str) -> tuple[datetime | None, datetime | None]:
    """Start of the first and of the last span of `source`; None and None without any."""
    stored = store.current()
    return _reach(stored, source, stored.version(source))


def version(source: str) -> int:
    """A number that grows with each change of `source`; `prices` is that of the price history."""
    return store.current().version(source)


def window(question: Question, now: datetime) -> Window:
    """The stretch of time that `question` asks for."""
    oldest, newest = reach(question.source)
    return asking.window(question, now, oldest, newest)


def about(question: Question) -> Question:
    """The part of `question` that aggregates depend on; all else at its default."""
    kept = ("source", "scope", "service", "measure", "stat", "by", "granularity")
    return Question(**{name: getattr(question, name) for name in kept})


def about_ahead(question: Question) -> Question:
    """The part of `question` that forecasts depend on besides its threshold."""
    return replace(
        about(question), exclude=question.exclude, horizon=asking.horizon(question), interval=question.interval
    )


def back(question: Question, now: datetime, reach: timedelta) -> Question:
    """`question` without a split, from the `reach` before its end on, whatever its range."""
    return replace(question, start=window(question, now).end - reach, by=None)


def fit_end(question: Question, now: datetime) -> datetime:
    """End of the last complete bucket: what comes after it is not known to the forecast."""
    return bucket_start(window(question, now).end, question.granularity)


def histories(
    question: Question, end: datetime, reach: timedelta = statements.HISTORY
) -> list[tuple[str | None, pd.DataFrame]]:
    """Group and its history (`ds`, `y`) up to `end`, largest group first; one pair without `by`, perhaps empty."""
    return _split(about(question), question.exclude, end, reach, version(question.source))


def history_of(question: Question, group: str | None, end: datetime, reach: timedelta) -> pd.DataFrame:
    """That of one group, empty where it has none; without `by` that of all."""
    parts = dict(histories(question, end, reach))
    return parts.get(group, next(iter(parts.values())).head(0))


def of_group(frame: pd.DataFrame, group: str | None) -> pd.DataFrame:
    """The rows of `frame` that are about `group`: all of them in a frame that is not split."""
    if "group" not in frame:
        return frame
    return frame[frame["group"].isna() if group is None else frame["group"] == group]


def table(question: Question, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` behind the columns that every table begins with; its `group` among them only when `by` is set."""
    head = {
        "source": question.source,
        "measure": question.measure,
        "unit": unit(question.measure, question.stat),
        **({"group": frame["group"]} if question.by else {}),
    }
    return pd.DataFrame(head | {name: frame[name] for name in frame if name != "group"}, index=frame.index)


def headed(question: Question, frame: pd.DataFrame) -> pd.DataFrame:
    """The same of a frame that is never split, and whose unit is that of single records."""
    head = {"source": question.source, "measure": question.measure, "unit": unit(question.measure)}
    return pd.DataFrame(head | {name: frame[name] for name in frame}, index=frame.index)


def run(statement: statements.Statement) -> pd.DataFrame:
    """What the store answers to `statement`."""
    return store.current().query(statement.sql, statement.params)


@functools.lru_cache(maxsize=64)  # asked for many times a page, and nobody can change what it answers
def _reach(stored: store.Store, source: str, version: int) -> tuple[datetime | None, datetime | None]:
    held = stored.sources()
    row = held[held["source"] == source]
    if row.empty:
        return None, None
    return row["oldest"].iloc[0].to_pydatetime(), row["newest"].iloc[0].to_pydatetime()


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)
def history(question: Question, end: datetime, reach: timedelta, version: int) -> pd.DataFrame:
    """The hours that forecasts are fitted to, `version` being that of the source: columns as `metrics.history` says."""
    return run(statements.history(question, end, reach))


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)  # a copy for each reader is 1 ms
def _split(
    question: Question, exclude: tuple[tuple[datetime, datetime], ...], end: datetime, reach: timedelta, version: int
) -> list[tuple[str | None, pd.DataFrame]]:
    frame = statements.left_out(history(question, end, reach, version), exclude)
    if question.by is None:
        return [(None, frame[["ds", "y"]])]
    parts = [(_name(group), part[["ds", "y"]]) for group, part in frame.groupby("group", dropna=False, sort=False)]
    return parts or [(None, frame[["ds", "y"]])]


def _name(group: object) -> str | None:
    return None if pd.isna(group) else str(group)
