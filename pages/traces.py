"""Which traces there are, the slowest or failed ones first, and one of them in full."""

import streamlit as st

from core import traces
from core.view import controls, guards, one_trace, series, traced
from core.view.heading import heading, say
from core.view.sentences import the_last

question, now = controls.current()
heading("Traces", "traces", question, now)
if not question.trace:  # which is found whatever the source
    guards.stop_without_spans()
terms, totals = series.terms(), traces.totals(question, now)
if not (totals.traces or question.trace or traced.narrowed(question)):
    guards.stop_with_nothing_in_range()
time = "this range" if question.start or question.end else the_last(question.range)
say(traced.sentence(totals, question, terms, time))
traced.controls(question)
if totals.traces:
    traced.listed(question, now, terms)
elif traced.narrowed(question):
    st.button("Take all conditions away", on_click=traced.widen, type="primary")
if question.trace:
    one_trace.show(question, terms)
