"""What a Bitcoin costs, and whether the latency follows it."""

import streamlit as st

from core import queries
from core.view import controls, draw, guards, leading, losses, prices, series, tables
from core.view.heading import heading, say

question, now = controls.current()
told = prices.told(question, now)
heading("Price", told.table, question, now)
guards.stop_without_records()
if told.frame.empty:
    say(prices.nothing())
    st.stop()
answer = series.ask()
say(prices.sentence(answer, told))
draw.price(answer, told.frame, told.flagged)

by_flag = queries.groups(question, "flag", now)
if by_flag["group"].notna().any():
    st.subheader("Latency by flag", anchor=False)
    table = tables.by_flag(by_flag, answer.measure_unit)
    leading.rows(table, "by-flag", "flag")
    losses.caption(question, now)
