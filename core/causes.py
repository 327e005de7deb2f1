"""The questions that look for causes, cached like all others: what sets the slow or failed records apart."""

from datetime import datetime, timedelta

import pandas as pd
import streamlit as st

from core.analysis import comparison, service_map
from core.analysis import drivers as found
from core.analysis import steps as own
from core.analysis.comparison import PERCENTILES, Latencies
from core.analysis.service_map import MOST_CALLS
from core.asked import READ_ALOUD, headed, reach, run, version, window
from core.question import Question, Window, bucket_width

__all__ = [
    "MOST_CALLS",
    "PERCENTILES",
    "Latencies",
    "before",
    "calls",
    "compare",
    "drivers",
    "drivers_beside",
    "latencies",
    "looked_at",
    "services",
    "steps",
]


def looked_at(question: Question, now: datetime) -> Window:
    """The stretch whose causes are asked for: the bucket, where one is chosen, else the range."""
    if question.bucket is not None:
        return Window(question.bucket, question.bucket + bucket_width(question.granularity))
    return window(question, now)


def drivers(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit, key, value, share_slow, share_all, effect_ms, n, p_value, significant`, as
    `analysis.drivers.drivers` says; of all records together, also with `by`.
    """
    frame = _drivers(_about(question), looked_at(question, now), version(question.source))
    return headed(question, frame)


def before(question: Question, now: datetime) -> Window:
    """What the range is compared with: from `start2` to `end2`, of the range's own length where one of them is missing;
    without either the stretch just before the range.
    """
    start, end = looked_at(question, now)
    width = end - start
    if question.start2 is not None:
        return Window(question.start2, question.end2 or question.start2 + width)
    until = question.end2 or start
    return Window(until - width, until)


def latencies(question: Question, window: Window) -> Latencies:
    """How often, how well and how fast the records of the window were: as `analysis.comparison.latencies` says."""
    return _latencies(_about(question), window, version(question.source))


def drivers_beside(question: Question, now: datetime) -> pd.DataFrame:
    """The drivers of the range and of what it is compared with: as `analysis.comparison.drivers` says."""
    windows = looked_at(question, now), before(question, now)
    return _drivers_beside(_about(question), *windows, version(question.source))


def compare(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit` and all of the comparison: as `analysis.comparison.table` says."""
    first, second = (latencies(question, window) for window in (looked_at(question, now), before(question, now)))
    frame = comparison.table(first, second, drivers_beside(question, now))
    return headed(question, frame)


def steps(question: Question, now: datetime) -> pd.DataFrame:
    """Which steps hold the time, beside the stretch of the same length just before: as `analysis.steps.steps` says."""
    start, end = looked_at(question, now)
    windows = Window(start, end), Window(start - (end - start), start)
    about = Question(source=question.source, service=question.service)
    here, before = (_self_times(about, window, version(question.source)) for window in windows)
    return own.steps(here, before)


def services(question: Question, now: datetime) -> pd.DataFrame:
    """How the services answered in the range: as `analysis.service_map.services` says, and `per_minute`."""
    return _per_minute("services", question, now)


def calls(question: Question, now: datetime) -> pd.DataFrame:
    """Who called whom in the range: as `analysis.service_map.calls` says, and `per_minute`."""
    return _per_minute("calls", question, now)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=READ_ALOUD)
def _drivers(about: Question, window: Window, version: int) -> pd.DataFrame:
    return found.drivers(about, run(found.holders(about, window)))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=READ_ALOUD)
def _self_times(about: Question, window: Window, version: int) -> pd.DataFrame:
    return run(own.self_times(about, window))


def _about(question: Question) -> Question:
    """What slow and failed records depend on; all else at its default."""
    stat = "error_rate" if question.stat == "error_rate" else "avg"
    kept = {name: getattr(question, name) for name in ("source", "scope", "service", "measure")}
    return Question(**kept, stat=stat)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=READ_ALOUD)
def _latencies(about: Question, window: Window, version: int) -> Latencies:
    return comparison.read(run(comparison.latencies(about, window)))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=READ_ALOUD)
def _drivers_beside(about: Question, window: Window, other: Window, version: int) -> pd.DataFrame:
    first, second = (run(found.holders(about, each)) for each in (window, other))
    cuts = found.cuts(first)
    return comparison.drivers(found.drivers(about, first, cuts), found.drivers(about, second, cuts))


def _per_minute(which: str, question: Question, now: datetime) -> pd.DataFrame:
    """Rates are over the part of the range that the source has spans from."""
    window = looked_at(question, now)
    oldest, newest = reach(question.source)
    seen = min(newest or window.end, window.end) - max(oldest or window.start, window.start)
    frame = _mapped(which, Question(source=question.source), window, version(question.source))
    return frame.assign(per_minute=frame["n"] / max(seen / timedelta(minutes=1), 1.0))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=READ_ALOUD)
def _mapped(which: str, about: Question, window: Window, version: int) -> pd.DataFrame:
    ask = {"services": service_map.services, "calls": service_map.calls}[which]
    return run(ask(about, window))
