"""What a range of an AWS source lacks in the store, what it would take to read it, and what is known by summaries."""

from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core import activity, ledger, queries, settings, store
from core.analysis import metrics as statements
from core.question import Question, Window, bucket_start

__all__ = ["Lack", "billed", "is_allowed", "lack", "summary_share"]

_KEPT_FRESH = 2 * ledger.SETTLING  # up to now: read again by itself, so that it does not count as lacking
_LEAST = timedelta(minutes=5)
_ENOUGH = timedelta(hours=1)  # of finished slices, to judge others by them


class Lack(NamedTuple):
    """What `[start, end)` lacks, as far as X-Ray still has it; naive UTC."""

    start: datetime
    end: datetime
    lacks: timedelta
    asked: timedelta  # of which that much lacks
    traces: int | None  # about; None where nothing is known of how many there are
    most_usd: float | None  # when every trace had to be read in full


def is_allowed(source: str) -> bool:
    """Whether `source` is a region that may be read here."""
    return source.startswith("aws:") and source.removeprefix("aws:") in settings.current().aws_regions


def lack(question: Question, now: datetime) -> Lack | None:
    """What the range of `question` lacks; None when nothing, or when the source is none that can be pulled."""
    if not question.source.startswith("aws:"):
        return None
    start, end = _asked(question, now)
    done = ledger.finished(store.current(), question.source, settings.current().xray_filter or "")
    gaps = ledger.lacking([(one.start, one.end) for one in done], start, min(end, now - _KEPT_FRESH))
    lacks = sum((until - since for since, until in gaps), timedelta())
    if lacks < _LEAST:
        return None
    found, scanned = _per_hour(question.source, done)
    hours = lacks / timedelta(hours=1)
    traces = None if found is None else round(found * hours)
    most_usd = None if found is None or scanned is None else ledger.cost_usd((found + scanned) * hours)
    return Lack(start, end, lacks, end - start, traces, most_usd)


def billed(now: datetime) -> dict[str, int]:
    """The traces that were scanned or read on the day of `now` (UTC), by source."""
    return ledger.billed(store.current(), now.date())


def summary_share(question: Question, now: datetime) -> float | None:
    """The share of the window's records that come from trace summaries, 0 to 1; None where it has no records."""
    if not question.source.startswith("aws:"):
        return None
    return _summary_share(question, queries.window(question, now), queries.version(question.source))


@st.cache_data(max_entries=64, show_spinner=False)
def _summary_share(question: Question, window: Window, version: int) -> float | None:
    statement = statements.summary_share(question, window)
    share = store.current().query(statement.sql, statement.params)["share"].iloc[0]
    return None if pd.isna(share) else float(share)


def _asked(question: Question, now: datetime) -> Window:
    """From the start of its first bucket, and no longer ago than X-Ray keeps traces."""
    start, end = queries.window(question, now)
    oldest = bucket_start(now - ledger.RETENTION, "hourly") + timedelta(hours=1)
    if question.range == "all" and question.start is None:
        start = oldest
    end = min(end, now)
    return Window(min(end, max(oldest, bucket_start(start, question.granularity))), end)


def _per_hour(source: str, done: list[ledger.Slice]) -> tuple[float | None, float | None]:
    """Traces found and scanned an hour: by what was read already, else by an estimate, if one was made."""
    covered = sum((one.end - one.start for one in done), timedelta())
    if covered >= _ENOUGH:
        hours = covered / timedelta(hours=1)
        return sum(one.traces for one in done) / hours, sum(one.scanned for one in done) / hours
    facts = activity.snapshot()["components"].get(source, {})
    return facts.get("traces_per_hour"), facts.get("scanned_per_hour")
