"""The list of traces: its order, search and conditions, kept in the link, and the rows, one of which can be opened.

These parameters are not bound to their widgets, since other pages link to them, and Streamlit refuses to set what is
bound: the link is the truth, each run sets the widgets by it, and each change of a widget writes it.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import pandas as pd
import streamlit as st

from core import conditions, queries, traces
from core.conditions import COMPARISONS, STATUSES, Condition
from core.question import SORTS, Question
from core.traces import Totals
from core.view.sentences import Sentence
from core.view.tables import MOMENT, moments
from core.view.text import NOTHING, Terms, amount, count, safe, when, zone_name

__all__ = ["chosen", "controls", "listed", "narrowed", "sentence", "widen"]

ORDERS = dict(zip(SORTS, ("Slowest", "Newest", "Failed"), strict=True))
ROWS_HIGH = 218  # px: five rows and the head of the sixth, so that more are felt to follow


def sentence(totals: Totals, question: Question, terms: Terms, time: str) -> Sentence:
    """`7,214 traces, 58 failed, the slowest 2.31 s`, and what they are of."""
    if not totals.traces:
        return Sentence(f"No trace matches in {time}", "Take a condition away, or choose a longer range at the left.")
    title = f"{count(totals.traces, 'trace')}, {count(totals.failed)} failed, the slowest"
    of = f"of {safe(question.service)}" if question.service else "of all services"
    if question.bucket is not None:
        bucket = "hour" if question.granularity == "hourly" else "day"
        at = when(question.bucket, terms, granularity=question.granularity)
        time = f"the {bucket} {at} {zone_name(terms.shown_zone, question.bucket)}"
    return Sentence(
        f"{title} {amount(totals.slowest_ms, 'ms')}", f"In {time}, {of}.", "Choose a row to open its trace below."
    )


def controls(question: Question) -> None:
    """Order, search and conditions in one row, and below it what is set."""
    state = st.session_state
    state["traces_order"] = question.sort or SORTS[0]
    state["traces_text"] = question.q or ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Order",
            SORTS,
            format_func=ORDERS.__getitem__,
            key="traces_order",
            label_visibility="collapsed",
            on_change=lambda: _write("sort", state["traces_order"]),
            width="content",
        )
        st.text_input(
            "Search",
            key="traces_text",
            placeholder="Trace id, or any text",
            help="In a name, an address, an annotation or an error. An id is found whatever the range.",
            label_visibility="collapsed",
            icon=":material/search:",
            width=240,  # on a phone and beside the sidebar of a tablet there is room for Filter beside it
            on_change=_search,
        )
        with st.popover("Filter", icon=":material/filter_alt:", width="content"):
            _add_condition(question)
    _set_conditions(question)


def listed(question: Question, now: datetime, terms: Terms) -> None:
    """The first rows of the list, one to be chosen; all of them, to be scrolled, where there are more."""
    totals = traces.totals(question, now)
    if totals.traces > traces.FIRST and st.toggle(f"Scroll through all {count(totals.traces)}", key="traces_all"):
        with st.spinner("Reading all of them"):
            _all(traces.everything(question, now), terms)
        return
    rows = traces.first(question, now)
    frame = pd.DataFrame(
        {
            "started_at": rows["started_at"].dt.tz_localize("UTC"),
            "duration_ms": rows["duration_ms"],
            "status": [
                "Fault" if fault else "Throttled" if throttle else "Error" if error else "OK"
                for error, fault, throttle in zip(rows["error"], rows["fault"], rows["throttle"], strict=True)
            ],
            "service": rows["service"],
            "name": rows["name"],
            "span_count": rows["span_count"].mask(rows["summary_only"]),
            "trace": [traces.shown_id(trace_id) for trace_id in rows["trace_id"]],
        }
    )
    key = f"traces-{blake2b(''.join(rows['trace_id']).encode(), digest_size=8).hexdigest()}"
    opened = rows.index[rows["trace_id"] == traces.identified(question.trace)].to_list()
    st.dataframe(
        frame,
        column_config=_columns(terms, float(rows["duration_ms"].max())),
        placeholder=NOTHING,
        hide_index=True,
        height=min(ROWS_HIGH, 37 + 35 * len(frame)),
        key=key,
        on_select=lambda: _open_row(key, frame["trace"].to_list()),
        selection_mode="single-row",
        selection_default={"selection": {"rows": opened}},
        alt=f"{count(len(frame), 'trace')}, {ORDERS[question.sort or SORTS[0]].lower()} first.",
    )


def narrowed(question: Question) -> bool:
    """Whether more than the range narrows the list."""
    return any((question.service, question.bucket, question.q, question.where))


def widen() -> None:
    """Take away what narrows the list, but its range."""
    chosen(bucket=None, q=None, where=None)
    st.session_state["service"] = None


def chosen(**values: str | None) -> None:
    """Write parameters of this page to the link."""
    for name, value in values.items():
        _write(name, value)


def _all(frame: pd.DataFrame, terms: Terms) -> None:
    """Every row, fetched as it is scrolled to; Streamlit then selects no rows, so the id is a button."""
    st.dataframe(
        frame,
        column_config={
            **_columns(terms, float(frame["duration_ms"].max())),
            "trace": st.column_config.ButtonColumn("Trace", type="tertiary", key="traces_click", on_click=_open_click),
        },
        placeholder=NOTHING,
        hide_index=True,
        height=2 * ROWS_HIGH,
        lazy=True,
        alt=f"{count(len(frame), 'trace')}, all that match.",
    )


def _columns(terms: Terms, longest_ms: float) -> dict[str, Any]:
    return {
        "started_at": moments("Time", terms.zone, terms.now, f"{MOMENT}:ss"),
        "duration_ms": st.column_config.ProgressColumn(
            "Duration (ms)",
            format="%,.1f",
            min_value=0.0,
            max_value=longest_ms if longest_ms > 0 else 1.0,
            color="gray",
        ),
        "status": "Status",
        "service": st.column_config.TextColumn("Service", width=130),
        "name": st.column_config.TextColumn("Name", width=150),
        "span_count": st.column_config.NumberColumn("Spans", format="localized"),
        "trace": "Trace",
    }


def _add_condition(question: Question) -> None:
    """A key, a comparison and a value, and the button that adds them to the conditions."""
    keys = [*traces.KEYS, *queries.annotation_keys(question.source)["key"]]
    with st.form("traces_condition", border=False):
        key = st.selectbox("What", keys, help="A trace matches when one of its spans does.")
        comparison = st.selectbox("Comparison", COMPARISONS, help="~ means: contains")
        value = st.text_input("Value", placeholder=", ".join(STATUSES))
        if not st.form_submit_button("Add"):
            return
    try:
        added = conditions.parse(conditions.written([Condition(key, comparison, value)]))
    except ValueError:
        st.error(f"{safe(key)} {safe(comparison)} {safe(value) or NOTHING} can't be used: see what the value may be.")
        return
    chosen(where=conditions.written([*conditions.parse(question.where or ""), *added]))
    st.rerun()


def _set_conditions(question: Question) -> None:
    """What narrows the list, each to be taken away."""
    texts = [conditions.written([one]) for one in conditions.parse(question.where or "")]
    if texts:
        st.session_state["traces_where"] = texts
        st.multiselect(
            "Conditions",
            texts,
            key="traces_where",
            label_visibility="collapsed",
            on_change=lambda: _write("where", ",".join(st.session_state["traces_where"])),
        )
    if question.bucket is not None:
        bucket = "hour" if question.granularity == "hourly" else "day"
        st.button(
            f"Only one {bucket}: show the whole range",
            type="tertiary",
            icon=":material/close:",
            on_click=lambda: _write("bucket", None),
        )


def _search() -> None:
    text = st.session_state["traces_text"].strip()
    if traces.identified(text):
        chosen(trace=text, q=None)
    else:
        _write("q", text)


def _open_row(key: str, ids: list[str]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    _write("trace", ids[rows[0]] if rows else None)


def _open_click() -> None:
    _write("trace", st.session_state["traces_click"]["label"])


def _write(name: str, value: str | None) -> None:
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)
