"""Frames as tables: for each the columns to show, in their order, with units in the heads and numbers as numbers.

Each function answers with a `Table`, which shows itself. Texts need no escape there: a table shows them as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from core.view.text import NBSP, NOTHING, Terms, amount, between, chance, count, exactly, local, spread, when, zone_name

__all__ = [
    "DAY",
    "MOMENT",
    "Table",
    "ahead",
    "by_flag",
    "found",
    "look_at_first",
    "moments",
    "narrowed",
    "refused",
    "sources",
]

LONG, LONG_PX = 24, 130  # a text of more characters gets this width, so that a phone shows what stands beside it
DAY = "ddd D MMM"
MOMENT = f"{DAY}, HH:mm"


class Table(NamedTuple):
    """Rows, the columns to show of them, and what is said to who does not see it."""

    frame: pd.DataFrame
    columns: dict[str, Any]
    alt: str
    buckets: Sequence[datetime | None] = ()  # of each row, whose traces it leads to (naive UTC); None: yet to come

    def show(self, *, height: int | Literal["auto"] = "auto") -> None:
        """Draw it, `height` px high."""
        st.dataframe(
            self.frame,
            column_config=narrowed(self.frame, self.columns),
            placeholder=NOTHING,
            hide_index=True,
            height=height,
            alt=self.alt,
        )

    def choose(self, key: str, leads: str) -> int | None:
        """Draw it with rows to choose from; the place of the chosen one. `leads`: what choosing one is good for."""
        event = st.dataframe(
            self.frame,
            column_config=narrowed(self.frame, self.columns),
            placeholder=NOTHING,
            hide_index=True,
            alt=f"{self.alt} {leads}",
            key=key,
            on_select="rerun",
            selection_mode="single-row",
        )
        chosen: list[int] = event["selection"]["rows"]
        return chosen[0] if chosen else None


def narrowed(frame: pd.DataFrame, columns: dict[str, Any]) -> dict[str, Any]:
    """`columns`, those with a long text kept narrow, but the last one; a click on a cell shows all of it."""
    return columns | {
        name: st.column_config.TextColumn(head, width=LONG_PX)
        for name, head in list(columns.items())[:-1]
        if isinstance(head, str) and any(len(text) > LONG for text in frame[name] if isinstance(text, str))
    }


def moments(head: str, zone: ZoneInfo, at: datetime, form: str = MOMENT) -> Any:
    """A column of moments, shown in `zone`, which the head names as it is called `at` (naive UTC)."""
    return st.column_config.DatetimeColumn(f"{head} ({zone_name(zone, at)})", format=form, timezone=zone.key)


def ahead(terms: Terms, forecast: pd.DataFrame) -> Table:
    """Hour by hour (or day by day): the middle value, the interval, the chance to be above the threshold."""
    bucket, zone = ("Hour" if terms.granularity == "hourly" else "Day"), terms.shown_zone
    moment = MOMENT if terms.granularity == "hourly" else DAY
    if any(local(time, zone).fold for time in forecast["ds"]):
        moment += " Z"  # the clock is put back, and an hour comes twice
    above = f"Chance above {exactly(terms.threshold, terms.unit)}"
    frame = pd.DataFrame(
        {
            "bucket": forecast["ds"].dt.tz_localize("UTC"),
            "middle": _scaled(forecast["yhat"], terms.unit),
            "low": _scaled(forecast["yhat_lower"], terms.unit),
            "high": _scaled(forecast["yhat_upper"], terms.unit),
            "chance": 100 * forecast["p_above"].astype(float),
        }
    )
    level = f"{terms.interval}{NBSP}%"
    columns = {
        "bucket": moments(bucket, zone, terms.end, moment),
        "middle": _number("Forecast", terms.unit),
        "low": _number(f"Low, {level}", terms.unit),
        "high": _number(f"High, {level}", terms.unit),
        "chance": st.column_config.ProgressColumn(above, format="%.0f %%", min_value=0, max_value=100, color="violet"),
    }
    return Table(frame, columns, f"{count(len(frame), bucket.lower())} ahead with forecast, interval and chance.")


def found(terms: Terms, anomalies: pd.DataFrame) -> Table:
    """The list of Anomalies, newest first; `anomalies` of `queries.anomalies`."""
    rows = anomalies.sort_values("start", ascending=False, kind="stable")
    frame = pd.DataFrame(
        {
            "what": [what(kind, terms) for kind in rows["kind"]],
            "when": [during(start, end, terms) for start, end in zip(rows["start"], rows["end"], strict=True)],
            "lasted": [_lasted(end - start, terms) for start, end in zip(rows["start"], rows["end"], strict=True)],
            "value": _scaled(rows["value"], terms.unit).to_list(),
            "expected": [spread(low, high, terms.unit) for low, high in zip(rows["lower"], rows["upper"], strict=True)],
            "off": [_off(value, middle, terms) for value, middle in zip(rows["value"], rows["expected"], strict=True)],
            "chance": [chance(probability) for probability in rows["probability"]],
            **_groups(rows),
        }
    )
    columns = {
        "what": "What",
        "when": f"When ({zone_name(terms.shown_zone, terms.end)})",
        "lasted": "Lasted",
        "value": _number("Worst", terms.unit),
        "expected": "Expected",
        "off": "Off by",
        "chance": "Chance",
        "group": "Group",
    }
    said = f"{count(len(frame), 'anomaly', 'anomalies')}, newest first."
    return Table(frame, columns, said, _starts(rows))


def look_at_first(terms: Terms, anomalies: pd.DataFrame, *, most: int = 5) -> Table:
    """What Overview says to look at first: predicted, then the newest; `anomalies` of `queries.anomalies`."""
    order = anomalies.assign(behind=anomalies["kind"] != "predicted")
    rows = order.sort_values(["behind", "start"], ascending=[True, False], kind="stable").head(most)
    frame = pd.DataFrame(
        {
            "what": [what(kind, terms) for kind in rows["kind"]],
            "when": [during(start, end, terms) for start, end in zip(rows["start"], rows["end"], strict=True)],
            "much": [_how_much(row, terms) for row in rows.itertuples()],
            **_groups(rows),
        }
    )
    columns = {
        "what": "What",
        "when": f"When ({zone_name(terms.shown_zone, terms.end)})",
        "much": "How much",
        "group": "Group",
    }
    return Table(frame, columns, f"{count(len(frame), 'thing')} to look at first.", _starts(rows))


def by_flag(groups: pd.DataFrame, unit: str, *, key: str = "Flag") -> Table:
    """`queries.groups`: one row a value of an annotation; `group, request_count, avg, p95, error_rate`."""
    frame = pd.DataFrame(
        {
            "group": groups["group"],
            "count": groups["request_count"],
            "avg": _scaled(groups["avg"], unit),
            "p95": _scaled(groups["p95"], unit),
            "failed": 100 * groups["error_rate"].astype(float),
        }
    )
    columns = {
        "group": key,
        "count": st.column_config.NumberColumn("Traces", format="localized"),
        "avg": _number("Mean", unit),
        "p95": _number("p95", unit),
        "failed": st.column_config.NumberColumn("Failed", format="%.1f %%"),
    }
    return Table(frame, columns, f"{count(len(frame), 'row')}: traces, mean, p95 and share failed by {key}.")


def sources(rows: pd.DataFrame, terms: Terms) -> Table:
    """`queries.sources`: what each source holds; `source, rows, oldest, newest`."""
    frame = rows.assign(oldest=rows["oldest"].dt.tz_localize("UTC"), newest=rows["newest"].dt.tz_localize("UTC"))[
        ["source", "rows", "oldest", "newest"]
    ]
    columns = {
        "source": "Source",
        "rows": st.column_config.NumberColumn("Spans", format="localized"),
        "oldest": moments("From", terms.zone, terms.now),
        "newest": moments("To", terms.zone, terms.now),
    }
    return Table(frame, columns, f"{count(len(frame), 'source')} with spans, from and to.")


def refused(reasons: pd.DataFrame) -> Table:
    """What was refused, dropped or left out, by reason; `source, outcome, reason, n, message`, the most first."""
    frame = reasons.sort_values("n", ascending=False, kind="stable")[["source", "outcome", "reason", "n", "message"]]
    columns = {
        "source": "Source",
        "outcome": "Outcome",
        "reason": "Reason",
        "n": st.column_config.NumberColumn("How many", format="localized"),
        "message": "The last one",
    }
    return Table(frame, columns, f"{count(len(frame), 'reason')} with counts.")


def what(kind: str, terms: Terms) -> str:
    """An anomaly's kind in words."""
    line = exactly(terms.threshold, terms.unit)
    return {"predicted": f"Predicted to cross {line}", "observed_threshold": f"Above {line}"}.get(kind, "Unusual")


def during(start: pd.Timestamp, end: pd.Timestamp, terms: Terms) -> str:
    """`tomorrow 10:00 to 18:00`, of days `Thu 26 Nov to Sat 28 Nov`, the last day included."""
    if terms.granularity == "daily":
        last = end - terms.width
        days = [when(day, terms, granularity="daily") for day in (start, last)]
        return days[0] if days[0] == days[1] else " to ".join(days)
    return " to ".join(between(start, end, terms))


def _starts(rows: pd.DataFrame) -> list[datetime | None]:
    return [
        None if kind == "predicted" else start.to_pydatetime()
        for kind, start in zip(rows["kind"], rows["start"], strict=True)
    ]


def _groups(rows: pd.DataFrame) -> dict[str, list[str | None]]:
    """The column `group` of what is split, else none."""
    return {"group": rows["group"].to_list()} if "group" in rows else {}


def _lasted(time: pd.Timedelta, terms: Terms) -> str:
    return f"{round(time / terms.width)}{NBSP}{'h' if terms.granularity == 'hourly' else 'd'}"


def _off(value: float, expected: float | None, terms: Terms) -> str:
    """How far from the middle of what was expected: `22.0 ms above`."""
    if expected is None or pd.isna(value - expected):
        return NOTHING
    return f"{amount(abs(value - expected), terms.unit)} {'above' if value >= expected else 'below'}"


def _how_much(row: Any, terms: Terms) -> str:
    if row.kind == "predicted":
        return f"{amount(row.value, terms.unit)} in the middle case, {chance(row.probability)} likely"
    if pd.isna(row.lower) or pd.isna(row.upper):
        return amount(row.value, terms.unit)
    return f"{amount(row.value, terms.unit)}, expected {spread(row.lower, row.upper, terms.unit)}"


def _scaled(numbers: pd.Series, unit: str) -> pd.Series:
    """Shares in per cent, bytes in kB, so that a head can name the unit and a column still sorts."""
    factor = {"share": 100.0, "bytes": 0.001}.get(unit, 1.0)
    return numbers.astype(float) * factor


def _number(head: str, unit: str) -> Any:
    if unit == "share":
        return st.column_config.NumberColumn(head, format="%.1f %%")
    if unit == "requests":
        return st.column_config.NumberColumn(head, format="%,.0f")
    name = {"bytes": "kB"}.get(unit, unit)
    return st.column_config.NumberColumn(f"{head} ({name})" if name else head, format="%,.1f" if unit else "%,.3g")
