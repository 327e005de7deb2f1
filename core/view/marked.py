"""Markers on the page: set one, see them all, leave one out of the forecast, remove it."""

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core import markers
from core.errors import QuestionError
from core.markers import Marker
from core.question import Question, to_params
from core.view.permission import asked_token, may_write
from core.view.tables import Table
from core.view.text import Terms, between, count, local, safe, when, zone_name

__all__ = ["section", "table", "without"]


def section(question: Question, terms: Terms) -> None:
    """All markers, what can be done with the chosen one, and a form for another."""
    st.subheader("Deployments and incidents", anchor=False)
    if terms.markers:
        _list(question, terms)
    else:
        st.markdown(":gray[None is marked yet. A marker stands on every chart, and can be left out of the forecast.]")
    with st.expander("Set a marker", icon=":material/flag:"):
        _form(terms)


def table(question: Question, terms: Terms) -> Table:
    """The markers of `terms`, newest first."""
    shown = terms.markers[::-1]
    frame = pd.DataFrame(
        {
            "kind": [marker.kind.capitalize() for marker in shown],
            "when": [_during(marker, terms) for marker in shown],
            "text": [marker.text for marker in shown],
            "left_out": ["left out" if _is_left_out(marker, question) else "counts" for marker in shown],
        }
    )
    columns = {
        "kind": "What",
        "when": f"When ({zone_name(terms.zone, terms.end)})",
        "text": "Text",
        "left_out": "In the forecast",
    }
    return Table(frame, columns, f"{count(len(frame), 'marker')}, newest first.")


def without(question: Question, marker: Marker) -> str:
    """The parameter `exclude` with the hours of `marker` left out besides, or counted again where they were."""
    kept = tuple(pair for pair in question.exclude if pair != marker.hours)
    asked = kept if _is_left_out(marker, question) else (*kept, marker.hours)
    return to_params(replace(question, exclude=asked)).get("exclude", "")


def _is_left_out(marker: Marker, question: Question) -> bool:
    return marker.hours in question.exclude


def _during(marker: Marker, terms: Terms) -> str:
    if marker.start == marker.end:
        return when(marker.start, terms)
    return " to ".join(between(marker.start, marker.end, terms))


def _list(question: Question, terms: Terms) -> None:
    told = table(question, terms)
    row = told.choose(
        f"markers-{hash(terms.markers)}",
        "A row that is chosen can be left out of the forecast, or removed.",
    )
    if row is None:
        st.markdown(":small[:gray[Choose a row to leave it out of the forecast, or to remove it.]]")
        return
    marker = terms.markers[::-1][row]
    token = asked_token()
    with st.container(horizontal=True):
        words = "Count it in the forecast" if _is_left_out(marker, question) else "Leave it out of the forecast"
        st.button(words, icon=":material/timeline:", on_click=_exclude, args=(without(question, marker),))
        removed = st.button("Remove the marker", icon=":material/delete:")
    if removed and may_write(token):
        markers.remove(marker.id)
        st.rerun()


def _exclude(text: str) -> None:
    st.session_state["exclude"] = text


def _form(terms: Terms) -> None:
    zone = zone_name(terms.zone, terms.end)
    st.session_state.setdefault("marker_start", local(terms.now, terms.zone).replace(tzinfo=None, microsecond=0))
    with st.form("marker", border=False):
        kind, start, end = st.columns(3)
        with kind:
            said = st.selectbox("What", markers.KINDS, format_func=str.capitalize)
        with start:
            began = st.datetime_input(f"Start ({zone})", key="marker_start", step=60, required=True)
        with end:
            ended = st.datetime_input(f"End ({zone}), empty for a moment", None, step=60)
        text = st.text_input("Text", max_chars=markers.MAX_TEXT, placeholder="Version 4.2 rolled out")
        token = asked_token()
        if not st.form_submit_button("Set the marker") or not may_write(token):
            return
    asked = {"kind": said, "start": _utc(began, terms), "end": _utc(ended, terms), "text": text}
    try:
        markers.add(markers.read(asked))
    except QuestionError as error:
        st.error(safe(str(error)))
    else:
        st.rerun()


def _utc(wall: datetime | None, terms: Terms) -> str | None:
    return None if wall is None else wall.replace(tzinfo=terms.zone).astimezone(UTC).isoformat()
