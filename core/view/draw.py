"""Charts on the page, each with its key and its text for who does not see it, and a legend where they end."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from core import queries
from core.view import captions, charts, costs, leading
from core.view.series import Answer, Series, group_of
from core.view.text import count, measure_noun

__all__ = ["MOST_DOTS", "anomalies", "cost", "dots", "forecast", "groups", "price"]

MOST_DOTS = 5_000
MOST_GROUPS = 12


def forecast(answer: Answer, *, height: int, with_chances: bool) -> None:
    """History and forecast; below it the chance of each bucket if wanted, and the whole range."""
    terms, value, (series, *_) = answer.terms, answer.value, answer.series
    seen = terms, series.history, series.forecast
    with st.container(gap=None):
        leading.chart(
            charts.main(*seen, series.crossing, value=value, height=height),
            "main",
            captions.alt_main(*seen, series.crossing, value=value),
        )
        if with_chances and series.forecast["p_above"].notna().any():
            leading.chart(charts.chances(*seen), "chances", captions.alt_chances(terms, series.forecast))
        strip = charts.strip(*seen, value=value, name=_range_name(answer))
        if strip is not None:
            leading.chart(strip, "strip", captions.alt_strip(*seen, value=value))
        st.markdown(
            captions.legend(captions.main_parts(*seen, series.crossing, value=value), terms, charts.whole(*seen))
        )


def dots(answer: Answer, records: pd.DataFrame) -> None:
    """Each of `records` (of `queries.points`) in the part of the range that is shown so."""
    terms = replace(answer.terms, name=f"{measure_noun(answer.question.measure)} of each trace")
    asked = terms, records, answer.dots or answer.window
    parts = ["record", *(["failed"] if records["failed"].any() else []), "threshold"]
    with st.container(gap=None):
        leading.chart(charts.dots(*asked, value="value"), "dots", captions.alt_dots(*asked, value="value"))
        st.markdown(captions.legend(parts, terms, asked[2]))


def groups(answer: Answer) -> None:
    """A small chart for each group, three a row, the likeliest to cross first."""
    shown = answer.series[:MOST_GROUPS]
    small = charts.small_multiples(
        answer.terms,
        {each.group: each.history for each in shown},
        {each.group: each.forecast for each in shown},
        {each.group: each.crossing for each in shown},
        value=answer.value,
    )
    by_name = {each.group: each for each in shown}
    for row in range(0, len(small), 3):
        for column, one in zip(st.columns(3), small[row : row + 3], strict=False):
            series = by_name[one.group]
            with column:
                said = captions.alt_small(
                    answer.terms, one.group, series.history, series.forecast, series.crossing, value=answer.value
                )
                of_group = leading.group_of(answer.question.by, one.group)
                leading.chart(one.chart, f"small-{row}-{one.group}", said, of_group)
    parts = ["observed", "forecast", "interval", "threshold", "crossing"]
    st.markdown(captions.legend(parts, answer.terms, answer.window))
    others, left_out = len(answer.series) - len(shown), queries.left_out(answer.question, answer.now)
    notes = []
    if others:
        notes.append(f"{count(others, 'more group is', 'more groups are')} less likely to cross; the CSV has all.")
    if left_out:
        smaller = count(left_out, "smaller group is", "smaller groups are")
        notes.append(f"{smaller} left out: the 200 largest are forecast.")
    if notes:
        st.markdown(f":small[:gray[{' '.join(notes)}]]")


def cost(answer: Answer) -> None:
    """What the threshold would have cost, and others beside it, for the first of the series."""
    with st.spinner("Looking back over 14 days"):
        told = queries.cost(answer.question, answer.now, group_of(answer.series[0].group))
    if told is None:
        st.markdown(
            ":gray[No chance was said yet of anything that came: two days of history are needed, and one more.]"
        )
        return
    sentences, picture = st.columns([5, 9], gap="large")
    with sentences:
        for paragraph in costs.said(answer.terms, told, answer.question.p):
            st.markdown(paragraph)
    if len(told.curve):
        with picture, st.container(gap=None):
            leading.chart(costs.chart(answer.terms, told), "cost", costs.alt(answer.terms, told))
            st.markdown(costs.legend(answer.terms, told))


def anomalies(answer: Answer, series: Series, found: pd.DataFrame) -> None:
    """The whole range of `series` with what was `found` in it (of `queries.anomalies`)."""
    seen = answer.terms, series.history, series.forecast, found
    with st.container(gap=None):
        leading.chart(
            charts.anomalies(*seen, value=answer.value), "anomalies", captions.alt_anomalies(*seen, value=answer.value)
        )
        parts = captions.anomaly_parts(series.forecast, found)
        st.markdown(captions.legend(parts, answer.terms, charts.whole(*seen[:3])))


def price(answer: Answer, prices: pd.DataFrame, flagged: pd.DataFrame) -> None:
    """The price, and below it the latency, on one time axis."""
    terms, window, history = answer.terms, answer.window, answer.series[0].history
    with st.container(gap=None):
        leading.chart(charts.price(terms, prices, flagged, window), "price", captions.alt_price(terms, prices, window))
        leading.chart(
            charts.latency_under_price(terms, history, window, value=answer.value),
            "latency",
            captions.alt_latency_under_price(terms, history, window, value=answer.value),
        )
        flags = [flag for flag in ("high", "extreme") if flagged["flag"].eq(flag).any()]
        st.markdown(captions.legend(["price", *flags, "latency", "threshold"], terms, window))


def _range_name(answer: Answer) -> str:
    asked = answer.question
    return "range" if asked.start or asked.end else asked.range
