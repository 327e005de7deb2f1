"""History, interval, threshold, and where it is crossed, hour by hour or day by day."""

import streamlit as st

from core import queries
from core.view import cards, controls, draw, guards, losses, marked, series, tables
from core.view.heading import heading, say
from core.view.text import safe

question, now = controls.current()
heading("Forecast", "forecast", question, now)
guards.stop_without_records()
answer = series.ask()
say(answer.sentence())

if question.by:
    draw.groups(answer)
elif answer.readiness.stage == "none" and answer.dots:
    draw.dots(answer, queries.points(question, now, draw.MOST_DOTS))
else:
    draw.forecast(answer, height=340, with_chances=True)
losses.caption_of_stat(question, now)
if answer.readiness.stage == "none":
    cards.history_so_far(answer)
    marked.section(question, answer.terms)
    st.stop()
cards.row(cards.crossing(answer))

first = answer.series[0]
of = f": {safe(first.group)}" if first.group else ""
st.subheader(f"What this threshold would have cost{of}", anchor=False)
looking_back = st.container()  # filled last: it may take a moment

by = "Hour by hour" if question.granularity == "hourly" else "Day by day"
st.subheader(f"{by}{of}", anchor=False)
table = tables.ahead(answer.terms, first.forecast)
table.show(height=248)

marked.section(question, answer.terms)

with looking_back:
    draw.cost(answer)
