"""From traces to a forecast in six steps, on the data at hand: a number, a picture, and the same in Python."""

import streamlit as st

from core.view import controls, guards, leading, series, walkthrough
from core.view.heading import heading, say
from core.view.sentences import Sentence

question, now = controls.current()
heading("Walk-through", "hourly", question, now)
guards.stop_without_records()
with st.spinner("Walking through"):
    steps = walkthrough.steps(question, now, series.terms())
say(
    Sentence(
        f"From traces to a forecast in {len(steps)} steps",
        "Each on what is chosen at the left, with the lines of Python that give the same.",
        "examples/aws\\_xray\\_example.ipynb is the same as a notebook.",
    )
)
for number, step in enumerate(steps, start=1):
    st.subheader(f"{number}. {step.title}", anchor=False)
    st.markdown(step.says)
    if step.chart is not None:
        with st.container(gap=None):
            leading.chart(step.chart, f"step-{step.key}", step.alt)
            st.markdown(step.legend)
    with st.expander("In Python", icon=":material/code:", key=f"code-{step.key}"):
        st.code(step.code, language=None)
