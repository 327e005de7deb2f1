"""Who may see the pages where `[auth]` stands in the secrets: whoever logged in with a provider that it names."""

from collections.abc import Mapping

import streamlit as st

from core import settings
from core.view.text import safe

__all__ = ["require"]


def require() -> None:
    """End the script for a visitor who is not logged in, with a button for each way to do so."""
    if not settings.current().login:
        return
    if st.user.get("is_logged_in"):
        with st.sidebar:
            st.button("Log out", on_click=st.logout, type="tertiary", icon=":material/logout:")
        return
    st.title("Log in to see this page", anchor=False)
    for provider in _providers(st.secrets["auth"]):
        name = f" with {safe(provider)}" if provider else ""
        st.button(f"Log in{name}", key=f"login {provider}", on_click=st.login, args=[provider], icon=":material/login:")
    st.stop()


def _providers(auth: Mapping[str, object]) -> list[str | None]:
    """The names of the sub-tables of `[auth]`; `None`, the default one, where its keys stand in `[auth]` itself."""
    default: list[str | None] = [None] if "client_id" in auth else []
    return default + [name for name, table in auth.items() if isinstance(table, Mapping) and "client_id" in table]
