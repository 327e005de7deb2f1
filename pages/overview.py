"""When will it cross, how sure is that, and what to look at first."""

import streamlit as st

from core import queries
from core.view import cards, controls, draw, guards, leading, losses, report, series, tables
from core.view.heading import heading, say

question, now = controls.current()
actions = heading("Overview", question.granularity, question, now)
guards.stop_without_records()
answer = series.ask()
say(answer.sentence())
with actions:
    report.button(answer)

if answer.dots:
    records = queries.points(question, now, draw.MOST_DOTS)
    draw.dots(answer, records)
elif question.by:
    draw.groups(answer)
else:
    draw.forecast(answer, height=300, with_chances=False)

if answer.readiness.stage == "none" and answer.dots:
    cards.row(cards.first_minutes(answer, records))
    losses.caption(question, now)
    cards.history_so_far(answer)
    st.stop()
cards.row(cards.now_and_usual(answer))
cards.beside_the_usual(answer)
losses.caption(question, now)

st.subheader("Look at first", anchor=False)
with st.spinner("Looking through the range"):
    found = queries.anomalies(question, now)
if found.empty:
    st.markdown(f"Nothing unusual in {answer.time}, nothing predicted.")
    st.stop()
table = tables.look_at_first(answer.terms, found)
leading.rows(table, "look-at-first", question.by)
