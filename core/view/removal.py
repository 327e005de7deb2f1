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
        source = st.selectbox("Source to remove", stored["source"], key="removed", width=300)
        # No dialog: that would close whenever the page refreshes by itself, and under traffic nobody could answer it.
        with st.popover("Remove", icon=":material/delete:", key="removal"):
            _confirm(str(source), int(stored.loc[stored["source"] == source, "rows"].iloc[0]))


def _confirm(source: str, rows: int) -> None:
    st.markdown(f"All {count(rows, 'span')} of **{safe(source)}** will be gone for good.")
    token = asked_token()
    if st.button("Remove it", type="primary") and may_write(token):
        activity.ask_removal(source)
        st.toast(f"{safe(source)} is being removed.", icon=":material/delete:")
