"""Removing a source from the store: asked twice, and only by who may write."""

import streamlit as st

from core import access, activity, queries, settings
from core.view.permission import asked_token, may_write
from core.view.text import count, safe

__all__ = ["remove_a_source", "told"]


def told() -> bool:
    """Whether this visitor may see the details of errors."""
    who = access.caller(st.context.headers, st.session_state.get("token"))
    return access.is_trusted(who, settings.current())


def remove_a_source() -> None:
    """A choice of source and a button that asks before it does anything."""
    stored = queries.sources()
    if stored.empty:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = str(st.selectbox("Source to remove", stored["source"], key="removed", width=300))
        if st.button("Remove", icon=":material/delete:"):
            st.session_state["asked_to_remove"] = source
    if st.session_state.get("asked_to_remove") == source:
        _confirm(source, int(stored.loc[stored["source"] == source, "rows"].iloc[0]))


def _confirm(source: str, rows: int) -> None:
    # On the page itself: a dialog would close whenever the page refreshes, a popover opens below the page's end.
    place = st.empty()
    with place.container():
        st.markdown(f"All {count(rows, 'span')} of **{safe(source)}** will be gone for good.")
        token = asked_token()
        with st.container(horizontal=True):
            agreed = st.button("Remove it")
            kept = st.button("Keep it")
    if kept or (agreed and may_write(token)):
        del st.session_state["asked_to_remove"]
        place.empty()
        if agreed:
            activity.ask_removal(source)
            st.toast(f"{safe(source)} is being removed.", icon=":material/delete:")
