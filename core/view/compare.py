"""The tab Compare: this range against another, by default the one just before."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import causes
from core.causes import PERCENTILES, Latencies
from core.question import Question, Window, unit
from core.view import controls, share
from core.view.axis import Values, plane, values
from core.view.leading import chart
from core.view.tables import Table
from core.view.text import (
    NBSP,
    NOTHING,
    Terms,
    amount,
    between,
    count,
    measure_noun,
    per_cent,
    safe,
    spread,
    terms,
    zone,
    zone_name,
)
from core.view.traced import chosen
from core.view.vega import Layer, Spec, drawn, meaning, number, rows

__all__ = ["curves", "draw", "drivers", "said", "statistics"]

HEIGHT = 260
MOST_ROWS = 200
_LEGEND = ":small[**━**{0}this range \u2003 :gray[╌{0}the other]]"
_NAMED = {50: "Median", 90: "90th percentile", 95: "95th percentile", 99: "99th percentile", 100: "Slowest"}


def draw(question: Question, now: datetime) -> None:
    """All of the tab, with the controls for the range to compare with."""
    _controls(question, now)
    windows = causes.looked_at(question, now), causes.before(question, now)
    first, second = (causes.latencies(question, window) for window in windows)
    shown = terms(question, 1.0, now, now, zone(controls.zone()))
    shown = replace(shown, unit=unit(question.measure), name=measure_noun(question.measure))
    st.subheader(said(first, second, shown), anchor=False)
    st.markdown(f":small[:gray[{_small_print(windows, first, second, shown)}]]")
    if not first.n or not second.n:
        return
    with st.container(gap=None):
        chart(curves(first, second, shown), "compare", _alt(first, second, shown))
        st.markdown(_LEGEND.format(NBSP))
    statistics(first, second, shown).show()
    st.subheader("Drivers in both", anchor=False)
    with st.spinner("Comparing the records"):
        beside = causes.drivers_beside(question, now)
    if beside.empty:
        st.markdown("In neither of them does anything set the slow records apart.")
        return
    drivers(beside, shown).show()


def said(first: Latencies, second: Latencies, terms: Terms) -> str:
    """The medians in a sentence of Markdown."""
    if not first.n:
        return "No records in this range"
    if not second.n:
        return "No records to compare with"
    here, there = (_at(each, 50) for each in (first, second))
    if not np.isfinite(here) or not np.isfinite(there):
        return "Nothing was measured in one of the ranges"
    noun = f"Median {safe(terms.name.lower() if terms.unit else terms.name)} {amount(here, terms.unit)}"
    if amount(here, terms.unit) == amount(there, terms.unit):
        return f"{noun}, as in the other range"
    apart = amount(abs(here - there), terms.unit)
    return f"{noun}, {apart} {'above' if here > there else 'below'} the other range"


def curves(first: Latencies, second: Latencies, terms: Terms) -> Spec:
    """Which share of the records stayed under a value, in both; 260 px. The axis ends where both have 99 %."""
    held = [each.percentiles[np.isfinite(each.percentiles)] for each in (first, second)]
    last = max(_at(each, 99) for each in (first, second))
    least = min(float(one.min()) for one in held)
    across = values([least, last], terms.unit, "", zero=False)
    across = across._replace(labels={at: label for at, label in across.labels.items() if at * across.step <= last})
    of = f" ({terms.unit})" if terms.unit in ("ms", "s", "USD") else ""  # others stand at the ticks
    title = f"Share of records, by {terms.name.lower() if terms.unit else terms.name}{of}"
    up = Values(0.0, 1.0, 0.25, {n: f"{25 * n}{NBSP}%" for n in range(5)}, title)
    at = np.array(PERCENTILES) / 100
    line = {"type": "line", "clip": True}
    here = {"x": number("t"), "y": number()}
    other = rows(t=second.percentiles, y=at)
    own = rows(
        t=first.percentiles,
        y=at,
        share=[f"{one:g}{NBSP}%" for one in PERCENTILES],
        this=[amount(one, terms.unit) for one in first.percentiles],
        that=[amount(one, terms.unit) for one in second.percentiles],
    )
    told = [
        {"field": field, "type": "nominal", "title": title}
        for field, title in {"share": "Share under it", "this": "This range", "that": "The other"}.items()
    ]
    aimed = {"type": "point", "opacity": 0, "size": 400, "clip": True}
    return drawn(
        [
            *plane(across, up),
            Layer("other", other, {**line, "strokeDash": [5, 4]}, {**here, "color": meaning("marker")}),
            Layer("this", own, {**line, "strokeWidth": 2}, {**here, "color": meaning("history")}),
            Layer("aimed_at", own, aimed, {**here, "tooltip": told}),
        ],
        HEIGHT,
        above=22,
    )


def statistics(first: Latencies, second: Latencies, terms: Terms) -> Table:
    """Counts, shares and percentiles side by side, in words, since their units differ."""
    lines = [
        ("Records", count(first.n), count(second.n), _change(first.n, second.n, "requests")),
        ("Failed", per_cent(first.failed), per_cent(second.failed), _points(first.failed, second.failed)),
        ("Mean", *_both(first.mean, second.mean, terms.unit)),
    ]
    lines += [(name, *_both(_at(first, at), _at(second, at), terms.unit)) for at, name in _NAMED.items()]
    frame = pd.DataFrame(lines, columns=["what", "this", "other", "change"])
    columns: dict[str, Any] = {"what": "What", "this": "This range", "other": "The other", "change": "Change"}
    return Table(frame, columns, f"{count(len(frame), 'statistic')} of both ranges.")


def drivers(beside: pd.DataFrame, terms: Terms) -> Table:
    """The drivers of either, side by side; `beside` of `causes.drivers_beside`."""
    rows = beside.head(MOST_ROWS)
    where = {(True, True): "Both", (True, False): "This range", (False, True): "The other", (False, False): "Neither"}
    frame = pd.DataFrame({name: rows[name] for name in ("key", "value")})
    for name in ("share_slow", "share_slow2", "share_all", "share_all2"):
        frame[name] = 100 * rows[name].astype(float)
    frame["effect"], frame["effect2"] = rows["effect_ms"], rows["effect_ms2"]
    frame["driver"] = [where[bool(a), bool(b)] for a, b in zip(rows["significant"], rows["significant2"], strict=True)]
    heads = {
        "share_slow": "Of the slow",
        "share_slow2": "Other: of the slow",
        "share_all": "Of all",
        "share_all2": "Other: of all",
    }
    name = f" ({terms.unit})" if terms.unit else ""
    columns: dict[str, Any] = {
        "key": "What",
        "value": "Is",
        **{key: st.column_config.NumberColumn(head, format="%.1f %%") for key, head in heads.items()},
        "effect": st.column_config.NumberColumn(f"Median differs{name}", format="%+,.1f"),
        "effect2": st.column_config.NumberColumn(f"Other: median differs{name}", format="%+,.1f"),
        "driver": "A driver in",
    }
    return Table(frame, columns, f"{count(len(frame), 'value')} with their shares in both ranges.")


def _controls(question: Question, now: datetime) -> None:
    """The range to compare with, which is kept in the link as it was typed, and the CSV."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _typed("start2", "Compare with, from (UTC)", "the time before")
        _typed("end2", "To (UTC)", "as long as this range")
        st.space("stretch")
        address = share.csv("compare", question, now)
        st.link_button("Comparison as CSV", address, type="tertiary", icon=":material/download:")


def _typed(name: str, label: str, placeholder: str) -> None:
    state, key = st.session_state, f"compare_{name}"
    state[key] = st.query_params.get(name, "")
    st.text_input(label, key=key, placeholder=placeholder, on_change=lambda: chosen(**{name: state[key] or None}))


def _at(each: Latencies, percentile: float) -> float:
    return float(each.percentiles[PERCENTILES.index(percentile)])


def _both(here: float, there: float, of: str) -> tuple[str, str, str]:
    return amount(here, of), amount(there, of), _change(here, there, of)


def _change(here: float, there: float, of: str) -> str:
    """`+12.3 ms, +14 %`."""
    if not np.isfinite(here - there):
        return NOTHING
    apart = amount(abs(here - there), of)
    sign = "+" if here > there else "−" if here < there else ""
    part = f", {sign}{per_cent(abs(here - there) / abs(there))}" if there and here != there else ""
    return f"{sign}{apart}{part}"


def _points(here: float, there: float) -> str:
    """Of shares: `+0.3 points`."""
    apart = 100 * (here - there)
    return f"{apart:+.1f} points".replace("-", "−") if np.isfinite(apart) else NOTHING


def _small_print(windows: tuple[Window, Window], first: Latencies, second: Latencies, terms: Terms) -> str:
    (start, end), (start2, end2) = (between(*window, terms) for window in windows)
    return (
        f"{start} to {end} ({count(first.n, 'record')}) against {start2} to {end2} ({count(second.n, 'record')}), "
        f"{zone_name(terms.zone, terms.now)}."
    )


def _alt(first: Latencies, second: Latencies, terms: Terms) -> str:
    told = [spread(_at(each, 5), _at(each, 95), terms.unit) for each in (first, second)]
    return f"Nine in ten records took {told[0]} in this range, {told[1]} in the other."
