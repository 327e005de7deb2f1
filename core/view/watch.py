"""Live refresh: the page runs again when what it shows has changed, and only then."""

from collections.abc import Callable, Hashable

import streamlit as st

from core.queries import Backtest

__all__ = ["progress", "until", "watch"]

EVERY_S = 2.0
AT_WORK_S = 0.25


def watch(stamp: Callable[[], Hashable]) -> None:
    """Run the page again as soon as `stamp` answers something else than now; asked every two seconds, which is cheap.

    To be called before the page asks for what it shows, so that nothing is missed in between.
    """
    seen = stamp()

    @st.fragment(run_every=EVERY_S)
    def look() -> None:
        if stamp() != seen:
            st.rerun()

    look()


def until(holds: Callable[[], bool]) -> None:
    """Run the page again as soon as `holds` does; asked every two seconds, which is cheap."""

    @st.fragment(run_every=EVERY_S)
    def look() -> None:
        if holds():
            st.rerun()

    look()


def progress(work: Callable[[], Backtest], seen: Backtest) -> None:
    """How far a backtest has come; the page runs again for each model that is there, `seen` being what it shows."""

    @st.fragment(run_every=AT_WORK_S)
    def look() -> None:
        now = work()
        if now.done == now.total or len(now.rows) != len(seen.rows):
            st.rerun()
        st.progress(now.done / now.total, f"{now.done} of {now.total} forecasts replayed")

    look()
