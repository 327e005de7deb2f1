"""Which traces there are, the slowest or failed ones first, one of them in full, and what all of them tell."""

import streamlit as st

from core import traces
from core.view import compare, controls, drivers, guards, losses, one_trace, sentences, series, service_map, traced
from core.view.heading import heading, say

question, now = controls.current()
heading("Traces", "traces", question, now)
if not question.trace:  # which is found whatever the source
    guards.stop_without_spans()
terms, totals = series.terms(), traces.totals(question, now)
if not (totals.traces or question.trace or traced.narrowed(question)):
    guards.stop_with_nothing_in_range()
words = st.container()  # which depend on the tab that is open
names = ["Traces", "Drivers", "Service map", "Compare"]
if "tab" not in st.query_params and (question.start2 or question.end2):
    # Not as `default`: another default makes other tabs, of which the first is open.
    st.session_state.setdefault("tab", "Compare")
listed, driven, mapped, compared = st.tabs(names, key="tab", bind="query-params")  # what is open is computed alone
with words:
    said = traced.sentence(totals, question, terms, sentences.time(question))
    say(said if listed.open else said._replace(grey=""))
    losses.caption(question, now)
if driven.open:
    with driven:
        drivers.draw(question, now)
if mapped.open:
    with mapped:
        service_map.draw(question, now)
if compared.open:
    with compared:
        compare.draw(question, now)
if listed.open:
    with listed:
        traced.controls(question)
        if totals.traces:
            traced.listed(question, now, terms)
        elif traced.narrowed(question):
            st.button("Take all conditions away", on_click=traced.widen)
        if question.trace:
            one_trace.show(question, terms)
