"""What Streamlit runs for each visitor: the pages, the sidebar that they share, and then the chosen page."""

import logging
from pathlib import Path

import streamlit as st

from core import queries
from core.errors import TracecastError
from core.view import controls, login, pulled, sentences, series
from core.view.text import safe
from core.view.turns import turn
from core.view.watch import watch

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent.parent / "pages"

log = logging.getLogger(__name__)

st.set_page_config(page_icon=str(HERE / "icon.svg"), layout="wide", initial_sidebar_state=300)
page = st.navigation(
    {
        "": [
            st.Page(PAGES / "overview.py", title="Overview", icon=":material/monitoring:", default=True),
            st.Page(PAGES / "forecast.py", title="Forecast", icon=":material/trending_up:"),
            st.Page(PAGES / "anomalies.py", title="Anomalies", icon=":material/notifications:"),
            st.Page(PAGES / "traces.py", title="Traces", icon=":material/account_tree:"),
            st.Page(PAGES / "price.py", title="Price", icon=":material/currency_bitcoin:"),
        ],
        "Trust": [
            st.Page(PAGES / "accuracy.py", title="Accuracy", icon=":material/rule:"),
            st.Page(PAGES / "sources.py", title="Sources", icon=":material/input:"),
            st.Page(PAGES / "walkthrough.py", title="Walk-through", icon=":material/school:"),
        ],
    }
)
try:
    with turn():
        login.require()
        controls.sidebar(page.title)
        question, _ = controls.current()
        st.set_page_config(page_title=f"{page.title}: {sentences.subject(question, series.terms())}")
        if question.source.startswith("aws:"):
            with st.sidebar:
                watch(lambda: pulled.stamp(question))
        elif question.source != "sample" and question.end is None:
            with st.sidebar:
                watch(lambda: (queries.version(question.source), queries.version("prices")))
        if controls.notices():
            st.info(sentences.ignored(controls.notices()), icon=":material/info:")
        page.run()
except TracecastError as error:
    log.error("%s: %s", page.title, error)
    st.error(safe(str(error)))
except Exception:  # the edge: whatever went wrong, the visitor gets a sentence and the log the rest
    log.exception("%s could not be drawn.", page.title)
    st.error(sentences.own_fault())
