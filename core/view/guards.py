"""Nothing to show? One sentence on what to do, and the page ends; below these guards it knows that it has data."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from core import queries
from core.view import controls, pulled, senders, sentences
from core.view.heading import say
from core.view.sentences import Sentence
from core.view.series import terms

__all__ = ["stop_with_nothing_in_range", "stop_without_records", "stop_without_spans"]

SOURCES = Path(__file__).resolve().parent.parent.parent / "pages" / "sources.py"


def stop_without_spans() -> None:
    """End the page of a source that never had a span, with the ways to change that."""
    question, _ = controls.current()
    pulled.offer()
    oldest, _ = queries.reach(question.source)
    if oldest is not None:
        return
    say(sentences.no_spans(question.source))
    if question.source == "live":
        st.code(senders.sdk_lines(), language=None)
        st.code(senders.boto3_lines(), language=None)
    if question.source == "otlp":
        st.code(senders.otlp_lines(), language=None)
    with st.container(horizontal=True, vertical_alignment="center"):
        if question.source != "sample":
            st.button("Show the sample instead", on_click=_choose, kwargs={"source": "sample"})
        label = "Import a file" if question.source.startswith("file:") else "Other ways to send traces"
        st.page_link(SOURCES, label=label, icon=":material/input:")
    st.stop()


def stop_without_records() -> None:
    """As `stop_without_spans`, and for a range in which nothing counts."""
    stop_without_spans()
    question, now = controls.current()
    if queries.metrics(question, now)["request_count"].sum() > 0:
        return
    if (
        question.scope == "annotated"
        and queries.metrics(replace(question, scope="segments"), now)["request_count"].sum()
    ):
        say(Sentence("These traces carry no annotations", "Their segments can be measured instead."))
        st.button("Measure segments", on_click=_choose, kwargs={"scope": "segments"})
        st.stop()
    stop_with_nothing_in_range()


def stop_with_nothing_in_range() -> None:
    """End the page with what the source has instead, and a button that shows it."""
    question, now = controls.current()
    oldest, newest = queries.reach(question.source)
    start, end = queries.window(question, now)
    if oldest is not None and newest is not None:
        say(sentences.nothing_in_range(start, end, oldest, newest, terms()))
    st.button("Show all there is", on_click=_choose, kwargs={"range": "all", "start": "", "end": ""})
    st.stop()


def _choose(**values: str) -> None:
    for name, value in values.items():
        st.session_state[name] = value
