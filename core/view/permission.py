"""Who may write by a button: the same rule as for HTTP; a token is asked for once a visit."""

import streamlit as st

from core import access, settings
from core.errors import AccessDenied
from core.view.text import safe

__all__ = ["asked_token", "may_write"]


def asked_token() -> str | None:
    """The token of this visit; a field to type it where one is needed and not known yet."""
    token: str | None = st.session_state.get("token")
    if settings.current().api_token and not token:
        token = st.text_input("Token", type="password", help="TRACECAST_API_TOKEN, asked once a visit")
    return token


def may_write(token: str | None) -> bool:
    """Whether this visitor may write; else the page says why not."""
    try:
        access.check_write(access.caller(st.context.headers, token), settings.current())
    except AccessDenied as denied:
        asked = "That is not the token" if token else "Type the token first"
        st.error(f"{asked}: it is what TRACECAST_API_TOKEN says." if denied.status == 401 else safe(str(denied)))
        return False
    st.session_state["token"] = token
    return True
