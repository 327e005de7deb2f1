"""Which traces there are, the slowest or failed ones first, and one of them in full."""

from core import traces
from core.view import controls, guards, one_trace, series, traced
from core.view.heading import heading, say
from core.view.sentences import the_last

question, now = controls.current()
heading("Traces", "traces", question, now)
if not question.trace:
    guards.stop_without_spans()
terms = series.terms()
time = "this range" if question.start or question.end else the_last(question.range)
totals = traces.totals(question, now)
say(traced.sentence(totals, question, terms, time))
traced.controls(question)
if totals.traces:
    traced.listed(question, now, terms)
if question.trace:
    one_trace.show(question, terms)
