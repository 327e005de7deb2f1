"""What every page begins with: its name, whether its data are simulated, its actions, and its sentence."""

from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.question import Question
from core.view import share
from core.view.sentences import Sentence

__all__ = ["heading", "say"]

SIMULATED = (
    "A made-up service, computed here, so that every page has something to show. Choose another source at the left."
)


def heading(name: str, table: str, question: Question, now: datetime) -> DeltaGenerator:
    """The first line of the page `name`; `table` is the CSV that holds its numbers.
    Answers with the place of its actions, for more of them.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.markdown(f"**{name}**", width="content")
            if question.source == "sample":
                st.badge("Simulated data", icon=":material/experiment:", color="gray", help=SIMULATED)
        st.space("stretch")
        actions = st.container(horizontal=True, vertical_alignment="center", width="content")
        with actions:
            share.actions(table, question, now)
    return actions


def say(sentence: Sentence) -> None:
    """The title and the one line under it."""
    st.title(sentence.title, anchor=False)
    if sentence.line:
        st.markdown(sentence.line)
