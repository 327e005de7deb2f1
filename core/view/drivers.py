"""The tab Drivers: what sets the slow or the failed records apart, and which steps hold the time."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from core import causes
from core.question import Question, unit
from core.view import controls, share
from core.view.tables import Table
from core.view.text import NBSP, between, count, per_cent, safe, terms, zone, zone_name

__all__ = ["draw", "found", "said", "steps"]

MOST_ROWS = 200  # shown; the CSV has all
MOST_STEPS = 50
_WHICH = {"slow": "Slowest tenth", "failed": "Failed"}


def draw(question: Question, now: datetime) -> None:
    """All of the tab, for the bucket or the range of `question`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        which = st.segmented_control(
            "Which records",
            list(_WHICH),
            format_func=_WHICH.__getitem__,
            default="failed" if question.stat == "error_rate" else "slow",
            required=True,
            key="drivers_of",
            label_visibility="collapsed",
        )
        asked = replace(question, stat="error_rate" if which == "failed" else "avg")
        st.space("stretch")
        address = share.csv("drivers", asked, now)
        st.link_button("Drivers as CSV", address, type="tertiary", icon=":material/download:")
    with st.spinner("Comparing the records"):
        frame = causes.drivers(asked, now)
    st.subheader(said(frame, failed=which == "failed"), anchor=False)
    st.markdown(f":small[:gray[{_small_print(asked, now, frame)}]]")
    if not frame.empty:
        found(frame, asked.measure, failed=which == "failed").show()
    st.subheader("Where the time goes", anchor=False)
    with st.spinner("Adding up the steps"):
        held = causes.steps(asked, now)
    if held.empty:
        st.markdown("No span that has ended lies in this range.")
        return
    steps(held).show()
    st.markdown(
        ":small[:gray[Self time a trace: without what a step waited for in its own steps."
        " Before: a stretch of the same length just before this one.]]"
    )


def said(frame: pd.DataFrame, *, failed: bool) -> str:
    """The first driver in a sentence of Markdown, or that there is none."""
    whose = "failed records" if failed else "slow records"
    significant = frame[frame["significant"]] if len(frame) else frame
    if significant.empty:
        return f"Nothing sets the {whose} apart"
    first = significant.iloc[0]
    what = " is ".join(safe(_short(first[name])) for name in ("key", "value"))
    return f"In {per_cent(first['share_slow'])} of the {whose} {what}, in {per_cent(first['share_all'])} of all"


def found(frame: pd.DataFrame, measure: str, *, failed: bool) -> Table:
    """The drivers, significant ones first; `frame` of `causes.drivers`."""
    rows = frame.head(MOST_ROWS)
    whose = "failed" if failed else "slow"
    factor, name = {"bytes": (0.001, "kB")}.get(unit(measure), (1.0, unit(measure)))
    shown = pd.DataFrame(
        {
            "key": rows["key"],
            "value": rows["value"],
            "share_slow": 100 * rows["share_slow"],
            "share_all": 100 * rows["share_all"],
            "effect": rows["effect_ms"] * factor,
            "n": rows["n"],
            "significant": ["Yes" if one else "No" for one in rows["significant"]],
        }
    )
    share_of: dict[str, Any] = {"format": "%.1f %%", "min_value": 0, "max_value": 100}
    columns = {
        "key": "What",
        "value": "Is",
        "share_slow": st.column_config.ProgressColumn(f"Of the {whose}", color="violet", **share_of),
        "share_all": st.column_config.ProgressColumn("Of all", color="gray", **share_of),
        "effect": st.column_config.NumberColumn(
            f"Median differs ({name})" if name else "Median differs", format="%+,.1f"
        ),
        "n": st.column_config.NumberColumn("Records", format="localized"),
        "significant": "A driver",
    }
    drivers = int(frame["significant"].sum())
    return Table(shown, columns, f"{count(len(shown), 'value')} with their shares, {count(drivers, 'driver')} first.")


def steps(frame: pd.DataFrame) -> Table:
    """The steps with the most self time; `frame` of `causes.steps`."""
    rows = frame.head(MOST_STEPS)
    shown = pd.DataFrame({name: rows[name] for name in ("step", "service")})
    shown["share"] = 100 * rows["share"]
    shown = shown.join(rows[["self_ms", "self_ms_before", "change_ms", "n"]])
    shown["change_ms"] = shown["change_ms"].round(1) + 0.0  # else what is hardly less would be shown as -0.0
    columns = {
        "step": "Step",
        "service": "Service",
        "share": st.column_config.ProgressColumn(
            "Of the time", format="%.1f %%", min_value=0, max_value=100, color="gray"
        ),
        "self_ms": st.column_config.NumberColumn("Self time (ms)", format="%,.1f"),
        "self_ms_before": st.column_config.NumberColumn("Before (ms)", format="%,.1f"),
        "change_ms": st.column_config.NumberColumn("Change (ms)", format="%+,.1f"),
        "n": st.column_config.NumberColumn("Spans", format="localized"),
    }
    first = shown.iloc[0]
    return Table(shown, columns, f"{count(len(shown), 'step')}, the one with the most time first: {first['step']}.")


def _small_print(question: Question, now: datetime, frame: pd.DataFrame) -> str:
    said_of = terms(question, 1.0, now, now, zone(controls.zone()))
    start, end = between(*causes.looked_at(question, now), said_of)
    parts = [f"{start} to {end} {zone_name(said_of.zone, said_of.now)}."]
    if len(frame):
        significant = int(frame["significant"].sum())
        tested = f"{count(significant)} of {count(len(frame), 'value')} that were compared"
        parts.append(f"{tested} stand out more than chance allows (Fisher's exact test, 1{NBSP}% false finds).")
        if len(frame) > MOST_ROWS:
            parts.append(f"The first {MOST_ROWS} are shown, the CSV has all.")
    else:
        parts.append("No value is on some records and not on others, or all of them took the same time.")
    if question.service is not None:
        parts.append(f"Records of {safe(question.service)}.")
    if question.q or question.where:
        parts.append("Search and conditions of the list do not narrow this.")
    return " ".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
