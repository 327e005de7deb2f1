"""From a point of a chart or a row of a table to its traces: the choice stands in the link of the page it leads to."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from core.conditions import Condition, written
from core.view import series
from core.view.cells import CHOSEN
from core.view.tables import Table
from core.view.vega import Spec

__all__ = ["PAGE", "chart", "group_of", "rows", "to_traces"]

PAGE = Path(__file__).resolve().parent.parent.parent / "pages" / "traces.py"


def to_traces(params: Mapping[str, str]) -> None:
    """Leave for the list on the page Traces; `params` of its link: `bucket`, `trace` or `where`."""
    st.session_state.pop("tab", None)  # which was open there last
    st.switch_page(PAGE, query_params=dict(params))


def group_of(by: str | None, group: str | None) -> dict[str, str]:
    """The parameter that narrows traces to a group; nothing where nothing is split, or for those without the key."""
    value = None if pd.isna(group) else series.group_of(str(group))
    if by is None or value is None:
        return {}
    return {"where": written([Condition(by, "=", value)])}


def chart(drawn: Spec, key: str, alt: str, also: Mapping[str, str] | None = None) -> None:
    """Draw a chart; a click on one of its cells or dots leads to the traces there, narrowed by `also`."""
    names = [
        param["name"]
        for layer in drawn["layer"]
        for param in layer.get("params", ())
        if param["name"].startswith(CHOSEN)
    ]
    if not names:
        st.vega_lite_chart(drawn, key=key, alt=alt)
        return
    event = st.vega_lite_chart(drawn, key=key, alt=alt, on_select="rerun", selection_mode=names)
    for name in names:
        for point in event["selection"].get(name) or []:
            told = {parameter: point[parameter] for parameter in ("bucket", "trace") if point.get(parameter)}
            if told:
                to_traces(told | dict(also or {}))


def rows(table: Table, key: str, by: str | None = None) -> None:
    """Show `table`; a row that is chosen leads to the traces of its bucket, of the range where that is yet to come,
    and of its group where the numbers are split by `by`.
    """
    row = table.choose(key, "A row that is chosen leads to its traces.")
    if row is not None:
        bucket = table.buckets[row] if table.buckets else None
        at = {"bucket": f"{bucket.isoformat()}Z"} if bucket else {}
        to_traces(at | (group_of(by, table.frame["group"].iloc[row]) if "group" in table.frame else {}))
