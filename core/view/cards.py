"""Rows of four numbers: big the number, small what it is to be compared with."""

from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

import pandas as pd
import streamlit as st

from core import queries
from core.question import unit
from core.view import sentences
from core.view.series import PER_BUCKET, Answer
from core.view.text import NBSP, NOTHING, Terms, age, amount, chance, clock, count, measure_noun, safe, when, zone_name

__all__ = ["Card", "beside_the_usual", "crossing", "first_minutes", "history_so_far", "now_and_usual", "row"]

SPARK_BUCKETS = 48
HOURS_NEEDED = 24


class Card(NamedTuple):
    """`label` and `value` are Markdown; `says` stands below in a chip, with an arrow where it is about a change."""

    label: str
    value: str
    says: str = ""
    arrow: Literal["up", "down", "off"] = "off"
    history: list[float] | None = None


def row(cards: list[Card]) -> None:
    """Four in a row, two by two on a phone."""
    halves = st.columns(2)
    for half, pair in zip(halves, (cards[:2], cards[2:]), strict=True):
        with half:
            for column, card in zip(st.columns(2, wrap=False), pair, strict=False):
                column.metric(
                    card.label,
                    card.value,
                    card.says or None,
                    delta_color="off",
                    delta_arrow=card.arrow,
                    border=True,
                    height="stretch",
                    chart_data=card.history,
                    chart_type="area",
                )


def now_and_usual(answer: Answer) -> list[Card]:
    """The last complete bucket of latency, requests, failures and volume, beside what is usual at its hour."""
    asked = replace(answer.question, by=None)
    history = queries.metrics(asked, answer.now)
    complete = history[history["complete"]]
    per = "hour" if asked.granularity == "hourly" else "day"
    measured = queries.column(replace(asked, stat="avg") if asked.stat in PER_BUCKET else asked)
    cards = [
        (safe(measure_noun(asked.measure)), measured, unit(asked.measure)),
        (f"Requests per {per}", "request_count", "requests"),
        ("Failed", "error_rate", "share"),
        (f"Volume per {per}", "total_data_volume_bytes", "bytes"),
    ]
    usual = queries.usual(asked, [column for _, column, _ in cards], answer.now)
    return [_card(label, complete[column], usual.get(column), of) for label, column, of in cards]


def beside_the_usual(answer: Answer) -> None:
    """What the numbers of `now_and_usual` are, and what usual means."""
    bucket = "hour" if answer.question.granularity == "hourly" else "day"
    at = "at that hour of the day " if bucket == "hour" else ""
    said = f"The last complete {bucket}, compared with the median {at}over the 14 days before it."
    st.markdown(f":small[:gray[{said}]]")


def first_minutes(answer: Answer, records: pd.DataFrame) -> list[Card]:
    """What can be said before there is a forecast; `records` of `queries.points`."""
    terms = answer.terms
    failed = int(records["failed"].sum())
    newest = f"last one {age(records['timestamp'].iloc[-1], terms)}" if len(records) else ""
    cards = [
        Card("Latency, middle so far", amount(records["value"].median(), terms.unit), count(len(records), "trace")),
        Card("Traces", count(len(records)), newest),
        Card("Failed", f"{count(failed)} of {count(len(records))}"),
    ]
    return [*cards, _bitcoin(answer)] if answer.question.source == "live" else cards


def history_so_far(answer: Answer) -> None:
    """How far the source is on its way to the first forecast."""
    hours = answer.readiness.observed_hours
    minutes = (answer.terms.end - answer.first).total_seconds() / 60
    so_far = sentences.so_far(answer.terms, hours, answer.first)
    share = min(1.0, max(hours, min(minutes / 60, 1)) / HOURS_NEEDED)
    st.progress(share, f"History until the first forecast: {so_far} of {HOURS_NEEDED} hours")


def crossing(answer: Answer) -> list[Card]:
    """How likely the threshold is crossed within the horizon, and when it would first be, else what is highest."""
    terms, first = answer.terms, answer.series[0].crossing
    if first.earliest is None:
        return _highest(answer)
    return [_within(answer), *_firsts(first, terms)]


def _within(answer: Answer) -> Card:
    terms = answer.terms
    ahead = f"Within {terms.horizon}{NBSP}{'h' if terms.granularity == 'hourly' else 'd'}"
    usually = queries.usual_crossing(answer.question, answer.now)
    said = chance(answer.series[0].crossing.probability)
    return Card(ahead, said, "" if usually is None else f"usually {chance(usually)}")


def _firsts(first: sentences.Crossing, terms: Terms) -> list[Card]:
    moments = {"Earliest, 1 in 10": first.earliest, "Middle": first.median, "Latest, 9 in 10": first.latest}
    return [_moment(label, time, terms) for label, time in moments.items()]


def _highest(answer: Answer) -> list[Card]:
    """Where no crossing is ahead: the highest middle value, and the highest end of the interval, where there is one."""
    terms, ahead = answer.terms, answer.series[0].forecast
    bucket = "hour" if terms.granularity == "hourly" else "day"
    tops = {f"Highest {bucket}": "yhat", f"Top of the {terms.interval}{NBSP}% interval": "yhat_upper"}
    cards = [] if answer.series[0].crossing.probability is None else [_within(answer)]
    for label, column in tops.items():
        known = ahead.dropna(subset=[column])
        if not known.empty:
            top = known.loc[known[column].idxmax()]
            at = when(top["ds"], terms, granularity=terms.granularity)
            cards.append(Card(label, amount(top[column], terms.unit), at))
    return cards


def _moment(label: str, time: datetime | None, terms: Terms) -> Card:
    """Of an hour the clock big and the day small; there is no room for a zone, which the line under the chart names."""
    if time is None:
        return Card(label, NOTHING)
    day = when(time, terms, granularity=terms.granularity)
    if terms.granularity == "daily":
        return Card(label, day, zone_name(terms.shown_zone, time))
    hour = clock(time, terms.zone)
    return Card(label, hour, day.removesuffix(hour).strip())


def _bitcoin(answer: Answer) -> Card:
    pipeline = queries.status()["components"].get("pipeline", {})
    price, at = pipeline.get("last_price"), pipeline.get("last_at")
    if price is None:
        return Card("Bitcoin", NOTHING, "no price yet")
    return Card("Bitcoin", amount(price, "USD"), age(at, answer.terms))


def _card(label: str, values: pd.Series, expected: float | None, of: str) -> Card:
    last = None if values.empty or pd.isna(values.iloc[-1]) else float(values.iloc[-1])
    if of == "bytes" and not values.any():
        return Card(label, NOTHING, "none was told")
    says = sentences.usual(last, expected, of)
    arrow: Literal["up", "down", "off"] = "off"
    if last is not None and expected and says != "as usual":
        arrow = "up" if last > expected else "down"
    spark = values.tail(SPARK_BUCKETS).astype(float).to_list()
    return Card(label, amount(last, of), says, arrow, spark)
