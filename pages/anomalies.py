"""What should not be: ahead, and in the range."""

import streamlit as st

from core import queries
from core.view import controls, draw, guards, leading, losses, sentences, series, tables
from core.view.heading import heading, say
from core.view.sentences import Sentence
from core.view.text import safe

question, now = controls.current()
heading("Anomalies", "anomalies", question, now)
guards.stop_without_records()
answer = series.ask()
with st.spinner("Looking through the range"):
    found = queries.anomalies(question, now)
ahead = int(found["kind"].eq("predicted").sum())
title = sentences.ahead_and_behind(ahead, len(found) - ahead, answer.time)
say(Sentence(title, "", answer.small_print))

shown, own = answer.most_found(found)
if shown.group:
    st.subheader(f"Most in {safe(shown.group)}", anchor=False)
draw.anomalies(answer, shown, own)
losses.caption_of_stat(question, now)
if found.empty:
    st.stop()
table = tables.found(answer.terms, found)
leading.rows(table, "found", question.by)
