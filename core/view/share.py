"""What leaves the page: its link, the one that keeps its numbers and the one that moves, and its table as CSV."""

from dataclasses import replace
from datetime import datetime
from urllib.parse import urlencode

import streamlit as st

from core import export, queries, settings
from core.downloads import TABLES
from core.question import Question, to_params
from core.view.controls import OF_VIEW

__all__ = ["actions", "csv", "fixed", "link", "moving"]


def fixed(question: Question, now: datetime) -> Question:
    """`question` with the start and end that it has at `now`: whoever asks it later gets the same numbers."""
    start, end = queries.window(question, now)
    return replace(question, range="14d", start=start, end=end)


def moving(question: Question) -> Question:
    """`question` as of whenever it is asked."""
    return replace(question, start=None, end=None)


def csv(table: str, question: Question, now: datetime) -> str:
    """Address of the table behind the numbers that the page shows for `question` at `now`."""
    return f"/api/v1/{table}.csv?{urlencode(to_params(fixed(question, now)))}"


def link(question: Question) -> str:
    """The address of the page on screen for `question`."""
    page = (st.context.url or "").rstrip("/") + "/"
    opened = {name: st.query_params[name] for name in OF_VIEW if name in st.query_params}
    return f"{page}?{urlencode(to_params(question) | opened)}"


def actions(table: str, question: Question, now: datetime) -> None:
    """Draw "Copy link" and "Download CSV"."""
    with st.popover("Copy link", type="tertiary", icon=":material/link:"):
        st.markdown("**With these numbers**, whenever it is opened")
        st.code(link(fixed(question, now)), language=None, wrap_lines=True)
        st.markdown("**With the numbers of the day**, up to when it is opened")
        st.code(link(moving(question)), language=None, wrap_lines=True)
    if not settings.current().login:
        st.link_button("Download CSV", csv(table, question, now), type="tertiary", icon=":material/download:")
        return
    # Then the routes ask for the token, which who is logged in on a page does not have.
    st.download_button(
        "Download CSV",
        lambda: b"".join(export.csv(TABLES[table](question, now))),
        f"{queries.file_stem(question, now)}-{table}.csv",
        "text/csv",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )
