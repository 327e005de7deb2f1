"""What is said to come: how much history there is for it, the forecast, and the first crossing."""

import functools
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime

import pandas as pd
import streamlit as st

from core import question as asking
from core import replays, workers
from core.aggregates import threshold
from core.analysis import crossing
from core.analysis import forecast as forecasting
from core.analysis.metrics import HISTORY
from core.asked import READ_ALOUD, Key, about_ahead, fit_end, histories, table, version, window
from core.question import Question, bucket_start

__all__ = ["crossings", "forecast", "readiness"]


def readiness(question: Question, now: datetime) -> forecasting.Readiness:
    """How much history the forecast has, and what it lacks; with `by` that of the largest group.

    Whether data stopped is told by the hours of the running day too, and by those that are left out of the fit.
    """
    ready = _readiness(question, now)
    if question.exclude and ready.stopped_since is not None:
        came = _readiness(replace(question, exclude=()), now)
        ready = replace(ready, stopped_since=came.stopped_since)
    return ready


def _readiness(question: Question, now: datetime) -> forecasting.Readiness:
    end = window(question, now).end
    hour = bucket_start(end, "hourly")
    (_, history), *_rest = histories(question, hour, HISTORY + (hour - fit_end(question, now)))
    return forecasting.readiness(history, end, question.granularity, stat=question.stat)


def forecast(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit`[`, group`]`, ds, yhat, yhat_lower, yhat_upper, interval, threshold, p_above`.

    Exactly the horizon's number of rows a group, none under 24 observed hours; `ds` naive UTC, values in the stat's
    unit, `p_above` 0 to 1.
    """
    return _forecast(about_ahead(question), threshold(question, now), fit_end(question, now), version(question.source))


def crossings(question: Question, now: datetime) -> pd.DataFrame:
    """When the threshold is first crossed, one row a group.

    `source, measure, unit`[`, group`]`, threshold, horizon, probability, earliest, median, latest` (naive UTC).
    """
    return _crossings(about_ahead(question), threshold(question, now), fit_end(question, now), version(question.source))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)
def _forecast(asked: Question, line: float, end: datetime, version: int) -> pd.DataFrame:
    frames = []
    for group, key, model in _models(asked, end):
        chances = crossing.exceedance(model, asking.horizon(asked), line)
        frame = _predicted(key, asking.horizon(asked), asked.interval, model)
        frame = frame.assign(interval=asked.interval, threshold=line, p_above=chances["p_above"].to_numpy())
        frames.append(frame.assign(group=group))
    return table(asked, pd.concat(frames, ignore_index=True))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=READ_ALOUD)
def _crossings(asked: Question, line: float, end: datetime, version: int) -> pd.DataFrame:
    rows = []
    for group, _, model in _models(asked, end):
        first = crossing.first_crossing(model, asking.horizon(asked), line)
        rows.append((group, first.probability, first.earliest, first.median, first.latest))
    frame = pd.DataFrame(rows, columns=["group", "probability", "earliest", "median", "latest"])
    times = {name: pd.to_datetime(frame[name]).astype("M8[us]") for name in ("earliest", "median", "latest")}
    frame = frame.assign(probability=frame["probability"].astype(float), **times)
    frame.insert(1, "threshold", line)
    frame.insert(2, "horizon", asking.horizon(asked))
    return table(asked, frame)


def _models(question: Question, end: datetime) -> Iterator[tuple[str | None, Key, forecasting.Model]]:
    """For each group its model, and the content that the model is of; all are at work before the first is there."""
    parts = histories(question, end)
    keys = [(replays.digest(history), question.granularity, question.stat, end) for _, history in parts]
    many = len(parts) > 1
    fits = [_asked(key, history, many) for key, (_, history) in zip(keys, parts, strict=True)]
    for (group, _), key, answer in zip(parts, keys, fits, strict=True):
        yield group, key, answer.result()


def _asked(key: Key, history: pd.DataFrame, many: bool) -> Future[forecasting.Model]:
    """A fit, tried again if it failed before."""
    answer = _fit(key, history, many)
    if not (answer.done() and answer.exception()):
        return answer
    _fit.clear(key, history, many)
    return _fit(key, history, many)


@st.cache_resource(max_entries=512, show_spinner=False)
def _fit(key: Key, _history: pd.DataFrame, _many: bool) -> Future[forecasting.Model]:
    """By a worker where there are many; a single one is sooner there if it is made here."""
    _, granularity, stat, end = key
    fit = functools.partial(forecasting.fit, stat=stat)
    if _many:
        return workers.submit(fit, _history, granularity, end)
    made: Future[forecasting.Model] = Future()
    made.set_result(fit(_history, granularity, end))
    return made


@st.cache_data(max_entries=512, show_spinner=False)
def _predicted(key: Key, ahead: int, interval: int, _model: forecasting.Model) -> pd.DataFrame:
    return forecasting.predict(_model, ahead, interval)
