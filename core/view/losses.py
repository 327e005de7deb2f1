"""Sampling and loss, told: a caption under counts that are affected, and what became of each hour's arrivals."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core import losses
from core.losses import Total
from core.question import Question
from core.view.tables import Table, moments
from core.view.text import NBSP, Terms, count, safe

__all__ = ["by_hour", "caption", "caption_of_stat", "words"]


_COUNTS = {
    "received": "Received",
    "stored": "Stored",
    "duplicate": "Sent twice",
    "refused": "Refused",
    "dropped": "Dropped",
    "cut_short": "Traces cut short",
    "requests": "Requests",
    "not_traced": "Not traced",
}


def caption(question: Question, now: datetime) -> None:
    """What the counts of the page lack, where they lack something."""
    said = words(losses.total(question, now), question.source)
    if said:
        st.markdown(f":small[:gray[{said}]]")


def caption_of_stat(question: Question, now: datetime) -> None:
    """The same where what is asked for is itself a count."""
    if question.stat in ("count", "volume"):
        caption(question, now)


def words(total: Total, source: str) -> str:
    """`Of 1,200 requests 240 were traced (rule Default, 20 %): counts are of traced requests.`; empty where nothing is
    known to be lacking.
    """
    sentences = [_sampled(total, source), _lost(total), _cut_short(total)]
    return " ".join(sentence for sentence in sentences if sentence)


def by_hour(hours: pd.DataFrame, terms: Terms) -> Table:
    """`losses.hours`, the newest first; requests only where senders told of them."""
    rows = hours.sort_values(["hour", "source"], ascending=[False, True], kind="stable")
    told = rows["requests"].gt(0)
    frame = rows.assign(
        hour=rows["hour"].dt.tz_localize("UTC"),
        requests=rows["requests"].where(told),
        not_traced=(rows["requests"] - rows["traced"]).where(told),
        rate=100 * rows["rate"].astype(float),
    )
    columns = {
        "hour": moments("Hour", terms.zone, terms.now),
        "source": "Source",
        **{name: st.column_config.NumberColumn(head, format="localized") for name, head in _COUNTS.items()},
        "rate": st.column_config.NumberColumn("Sampling rate", format="%.3g %%"),
        "rule": "Rule",
    }
    alt = f"{count(len(frame), 'row')}: what arrived of a source in an hour and what became of it, newest first."
    return Table(frame[list(columns)], columns, alt)


def _sampled(total: Total, source: str) -> str:
    if source.startswith("aws:"):
        return "X-Ray has what its own sampling rules let through: counts are of traced requests."
    if total.rule is None or total.lowest_rate is None or total.highest_rate is None:
        return ""
    rule = f"rule {safe(total.rule)}, {_rates(total.lowest_rate, total.highest_rate)}"
    if total.traced < total.requests:
        traced = f"{_were(total.traced)} traced ({rule})"
        return f"Of {count(total.requests, 'request')} {traced}: counts are of traced requests."
    if total.lowest_rate < 1:
        return f"SDKs are told to trace a part of the requests ({rule}): counts are of traced requests."
    return ""


def _rates(low: float, high: float) -> str:
    """As they were set: `20 %`, `5 to 12.5 %`."""
    return f"{100 * low:g}{NBSP}%" if low == high else f"{100 * low:g} to {100 * high:g}{NBSP}%"


def _lost(total: Total) -> str:
    lost = [f"{_were(n)} {what}" for n, what in ((total.refused, "refused"), (total.dropped, "dropped")) if n]
    sent = total.stored + total.duplicate + total.refused + total.dropped
    return f"Of {count(sent)} that were sent, {' and '.join(lost)}: counts lack them." if lost else ""


def _cut_short(total: Total) -> str:
    if not total.cut_short:
        return ""
    return f"X-Ray has kept only a part of {count(total.cut_short, 'trace')}: spans are missing there."


def _were(n: int) -> str:
    return f"{count(n)} {'was' if n == 1 else 'were'}"
