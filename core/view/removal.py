"""Removing a source from the store: asked twice, and only by who may write."""

import streamlit as st

from core import access, activity, queries, settings
from core.errors import AccessDenied
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
        if st.button("Remove", icon=":material/delete:"):
            rows = int(stored.loc[stored["source"] == source, "rows"].iloc[0])
            _confirm(str(source), rows)


@st.dialog("Remove a source")
def _confirm(source: str, rows: int) -> None:
    st.markdown(f"All {count(rows, 'span')} of **{safe(source)}** will be gone for good.")
    token: str | None = st.session_state.get("token")
    if settings.current().api_token and not token:
        token = st.text_input("Token", type="password", help="TRACECAST_API_TOKEN, asked once a visit")
    if not st.button("Remove it", type="primary"):
        return
    try:
        access.check_write(access.caller(st.context.headers, token), settings.current())
    except AccessDenied as denied:
        st.error(safe(str(denied)))
        return
    st.session_state["token"] = token
    activity.ask_removal(source)
    st.toast(f"{safe(source)} is being removed.", icon=":material/delete:")
    st.rerun()
