"""How far off forecasts were, whether intervals and chances kept their word, and whether repeating would do."""

import streamlit as st

from core import queries
from core.view import controls, draw, guards, leading, replayed, series, verdict
from core.view.heading import heading, say
from core.view.watch import progress

question, now = controls.current()
heading("Accuracy", "accuracy", question, now)
guards.stop_without_records()
terms, group = series.terms(), None
if question.by:
    names = [each.group for each in series.ask().series[: draw.MOST_GROUPS]]
    group = series.group_of(st.selectbox("Group", names, width=300))
told, chances = queries.backtest(question, now, group), queries.reliability(question, now, group)
say(verdict.sentence(terms, told, chances, question.service))
if not told.cutoffs:
    st.stop()
if told.done < told.total:
    progress(lambda: queries.backtest(question, now, group), told)


@st.fragment
def replay() -> None:
    """One forecast, chosen below it; to look at another runs nothing else."""
    picture, days = st.container(gap=None), len(told.cutoffs)
    day = st.slider("Forecast", 1, days, days, format="day %d", label_visibility="collapsed") if days > 1 else 1
    cutoff = told.cutoffs[day - 1]
    with picture:
        leading.chart(replayed.replay(terms, told, cutoff), "replay", replayed.alt_replay(terms, told, cutoff))
        st.markdown(replayed.replay_legend(terms))
    st.markdown(verdict.replay(terms, told, cutoff))


verdict.scores(terms, told).show()
if not verdict.has_ours(told):
    st.stop()
left, right = st.columns(2, gap="large")
with left:
    st.subheader("What was said, and what came", anchor=False)
    replay()
with right:
    st.subheader("Does 70 % mean 70 %?", anchor=False)
    leading.chart(replayed.chances(chances), "reliability", replayed.alt_chances(chances))
    st.markdown(f":gray[{verdict.chances(terms)} {verdict.skill(chances)}]")

st.subheader("How far ahead", anchor=False)
verdict.ahead(terms, told).show()
with st.expander("Each forecast"):
    verdict.each(terms, told).show()
