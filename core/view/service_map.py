"""The tab Service map: who calls whom, how often, how well and how fast; a service leads to its forecast."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st

from core import causes
from core.causes import MOST_CALLS
from core.question import Question, to_params
from core.view.layers import text_form, words
from core.view.leading import chart
from core.view.map_places import places
from core.view.tables import Table
from core.view.text import NBSP, NOTHING, amount, count, per_cent
from core.view.vega import MEANINGS, Layer, Spec, drawn, expr, meaning, number, rows

__all__ = ["MOST_PLACES", "calls", "draw", "forecast_of", "picture", "services"]

MOST_PLACES = 40  # on the map; the tables have all
_HEAD_AT = 0.62  # of the way, so that the heads of two that call each other lie apart
FAILING = 0.05  # from this share on a failure is said on the map
_ROW = 84
_LEGEND = (
    ":small[**●**{0}service, a click opens its forecast \u2003 **○**{0}called, sends no traces here \u2003 "
    ":red[**━**{0}5{0}% or more failed] \u2003 :gray[the arrow leads to who is called; wider is more often]]"
)


def draw(question: Question, now: datetime) -> None:
    """All of the tab, for the range of `question`."""
    with st.spinner("Following the calls"):
        known, made = causes.services(question, now), causes.calls(question, now)
    if known.empty and made.empty:
        st.markdown("No segment of a service lies in this range.")
        return
    noun = count(len(known), "service"), count(len(made), "kind of call", "kinds of calls")
    st.subheader(f"{noun[0]}, {noun[1]}", anchor=False)
    with st.container(gap=None):
        chart(picture(known, made, question), "service_map", _alt(known, made))
        st.markdown(_LEGEND.format(NBSP))
    services(known, question).show()
    if len(made):
        st.subheader("Calls", anchor=False)
        calls(made).show()
    if len(made) == MOST_CALLS:
        st.markdown(f":small[:gray[The {MOST_CALLS} most frequent kinds of calls.]]")


def forecast_of(service: str, question: Question) -> str:
    """Address of the forecast of what a service answers."""
    asked = replace(question, service=service, by=None, scope="segments", trace=None, bucket=None)
    return f"/forecast?{urlencode(to_params(asked))}"


def picture(known: pd.DataFrame, made: pd.DataFrame, question: Question) -> Spec:
    """The map of the most frequent names; `known` and `made` of `causes.services` and `causes.calls`."""
    names = list(dict.fromkeys([*known["service"], *made["caller"], *made["callee"]]))[:MOST_PLACES]
    made = made[made["caller"].isin(names) & made["callee"].isin(names)]
    found = places(made, names)
    tall = pd.Series([place.column for place in found]).value_counts()
    columns, lines = int(tall.index.max()) + 1, int(tall.max())
    # Each column in the middle of the height.
    spots = {one.name: (float(one.column), one.row + (lines - tall[one.column]) / 2) for one in found}
    return drawn(
        [_frame(columns, lines), *_edges(known, made, spots), *_nodes(known, made, spots, columns, question)],
        lines * _ROW,
    )


def services(known: pd.DataFrame, question: Question) -> Table:
    """What each service answered, with a link to its forecast; `known` of `causes.services`."""
    frame = pd.DataFrame({"service": known["service"]} | _numbers(known))
    frame["forecast"] = [forecast_of(service, question) for service in known["service"]]
    columns = {
        "service": "Service",
        **_heads(known),
        "forecast": st.column_config.LinkColumn("Forecast", display_text="Forecast"),
    }
    return Table(frame, columns, f"{count(len(frame), 'service')} with rate, failures and latency.")


def calls(made: pd.DataFrame) -> Table:
    """Who calls whom; `made` of `causes.calls`."""
    frame = pd.DataFrame({name: made[name] for name in ("caller", "callee")} | _numbers(made))
    return Table(frame, {"caller": "From", "callee": "To", **_heads(made)}, f"{count(len(frame), 'kind')} of calls.")


def _heads(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "rate": st.column_config.NumberColumn("Per hour" if _is_seldom(frame) else "Per minute", format="%,.1f"),
        "failed": st.column_config.NumberColumn("Failed", format="%.1f %%"),
        "avg_ms": st.column_config.NumberColumn("Mean (ms)", format="%,.1f"),
        "p95_ms": st.column_config.NumberColumn("95th percentile (ms)", format="%,.1f"),
    }


def _numbers(frame: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "rate": frame["per_minute"].astype(float) * (60 if _is_seldom(frame) else 1),
        "failed": 100 * frame["failed"].astype(float),
        **{name: frame[name].astype(float) for name in ("avg_ms", "p95_ms")},
    }


def _is_seldom(frame: pd.DataFrame) -> bool:
    """Whether all rates are under one a minute, of which a decimal would show little."""
    return bool(frame["per_minute"].max() < 1)


def _rate(per_minute: float) -> str:
    """`12.3 a minute`, `1.2 an hour` where it is seldom."""
    return f"{amount(per_minute, '')} a minute" if per_minute >= 1 else f"{amount(60 * per_minute, '')} an hour"


def _alt(known: pd.DataFrame, made: pd.DataFrame) -> str:
    said = [f"{one.caller} calls {one.callee} {_rate(one.per_minute)}" for one in made.head(12).itertuples()]
    return f"Map of {count(len(known), 'service')} and {count(len(made), 'call')}. {'; '.join(said)}."


def _frame(columns: int, lines: int) -> Layer:
    def scale(top: float) -> Spec:
        return {"domain": [-0.5, top - 0.5], "nice": False, "zero": False}

    corners = rows(t=[0.0, 0.0], y=[0.0, 0.0], m=["history"] * 2)
    encoding = {
        "x": {**number("t"), "scale": scale(columns), "axis": None},
        "y": {**number("y"), "scale": {**scale(lines), "reverse": True}, "axis": None},
        "color": {"field": "m", "type": "nominal", "scale": {"domain": MEANINGS}, "legend": None},
    }
    return Layer("frame", corners, {"type": "point", "opacity": 0, "size": 0}, encoding)


def _edges(known: pd.DataFrame, made: pd.DataFrame, spots: dict[str, tuple[float, float]]) -> list[Layer]:
    """A line a call with a head towards who is called, wider where it is more often, red where it fails, with its share
    unless that stands below what is called; one for the pointer.
    """
    ends = [(*spots[one.caller], *spots[one.callee]) for one in made.itertuples() if one.caller != one.callee]
    made = made[made["caller"] != made["callee"]]
    if not ends:
        return []
    x, y, x2, y2 = (np.array(each) for each in zip(*ends, strict=True))
    share = made["per_minute"].to_numpy() / made["per_minute"].max()
    failing = (made["failed"] >= FAILING).to_numpy()
    lines = rows(
        t=x,
        y=y,
        t2=x2,
        y2=y2,
        w=1 + 4 * np.sqrt(share),
        m=np.where(failing, "fault", "marker"),
        calls=[f"{one.caller} calls {one.callee}" for one in made.itertuples()],
        **_told(made),
    )
    here = {"x": number("t"), "y": number("y")}
    place = {**here, "x2": {"field": "t2"}, "y2": {"field": "y2"}}
    colour = {"field": "m", "type": "nominal"}
    width = {"field": "w", "type": "quantitative", "scale": None, "legend": None}
    told = [{"field": "calls", "type": "nominal", "title": "Call"}, *_TOLD]
    sideways = np.where(x2 > x, "triangle-right", "triangle-left")
    heads = rows(
        t=x + _HEAD_AT * (x2 - x),
        y=y + _HEAD_AT * (y2 - y),
        head=np.where(x2 != x, sideways, np.where(y2 > y, "triangle-down", "triangle-up")),
        m=np.where(failing, "fault", "marker"),
    )
    towards = {**here, "color": colour, "shape": {"field": "head", "type": "nominal", "scale": None}}
    layers = [
        Layer("calls", lines, {"type": "rule", "opacity": 0.6}, {**place, "color": colour, "strokeWidth": width}),
        Layer("heads", heads, {"type": "point", "filled": True, "size": 220, "opacity": 1}, towards),
        Layer("calls_aimed_at", lines, {"type": "rule", "opacity": 0, "strokeWidth": 16}, {**place, "tooltip": told}),
    ]
    told_here = failing & made["callee"].isin(known["service"]).to_numpy()
    if told_here.any():
        shares = [f"{per_cent(share)} failed" for share in made["failed"][told_here]]
        middle = rows(t=((x + x2) / 2)[told_here], y=((y + y2) / 2)[told_here], said=shares)
        said = {**here, "text": {"field": "said", "type": "nominal"}}
        layers += words("failing", middle, text_form("center", dy=-4), said | {"color": meaning("fault")})
    return layers


def _nodes(
    known: pd.DataFrame, made: pd.DataFrame, spots: dict[str, tuple[float, float]], columns: int, question: Question
) -> list[Layer]:
    """A dot a name, with its name and numbers below: full where it is a service, else a ring; of what is only called,
    the numbers of its callers together.
    """
    answered = known.set_index("service")
    numbers = pd.concat([answered, _together(made[~made["callee"].isin(answered.index)])])
    numbers = numbers.reindex(list(spots))
    is_service = numbers.index.isin(answered.index)
    x, y = (np.array(each) for each in zip(*spots.values(), strict=True))
    room = expr(f"width / {columns} - 8")["value"]
    nodes = rows(
        t=x,
        y=y,
        name=list(spots),
        said=[_said(one) for one in numbers.itertuples()],
        opacity=is_service.astype(float),
        href=[forecast_of(name, question) if own else "" for name, own in zip(spots, is_service, strict=True)],
        m=np.where(numbers["failed"] >= FAILING, "fault", "history"),
        **_told(numbers),
    )
    here = {"x": number("t"), "y": number("y")}
    named = {"field": "name", "type": "nominal", "title": "Name"}
    colour = {"field": "m", "type": "nominal"}
    ring = {"type": "point", "filled": True, "size": 260, "opacity": 1}
    form = text_form("center", limit=room)
    told = {"tooltip": [named, *_TOLD]}
    filled = {"field": "opacity", "type": "quantitative", "scale": None, "legend": None}
    link = {"href": {"field": "href", "type": "nominal"}}
    return [
        Layer("ground", nodes, {**ring, "color": {"expr": "background"}}, here),
        Layer("rings", nodes, {**ring, "filled": False, "strokeWidth": 2}, {**here, "color": colour, **told}),
        Layer(
            "nodes", nodes, {**ring, "cursor": "pointer"}, {**here, "color": colour, "opacity": filled, **told, **link}
        ),
        *words(
            "names", nodes, {**form, "dy": 26, "fontWeight": 600}, {**here, "text": named, "color": meaning("history")}
        ),
        *words(
            "numbers",
            nodes,
            {**form, "dy": 41},
            {**here, "text": {"field": "said", "type": "nominal"}, "color": colour},
        ),
    ]


def _together(made: pd.DataFrame) -> pd.DataFrame:
    """What is called, by all its callers: its numbers weighed by how often they call; the percentile is the worst."""
    n = made["n"].astype(float)
    weighed = made.assign(failed=made["failed"] * n, avg_ms=made["avg_ms"] * n).groupby("callee", sort=False)
    sums = weighed[["n", "failed", "avg_ms", "per_minute"]].sum()
    means = sums[["failed", "avg_ms"]].div(sums["n"], axis=0)
    return sums.assign(**means, p95_ms=weighed["p95_ms"].max())


def _said(one: Any) -> str:
    if pd.isna(one.n):
        return ""
    worse = f"{per_cent(one.failed)} failed"  # of three numbers a phone would cut off the last
    mean = amount(one.avg_ms, "ms")
    return f"{worse}, {mean}" if one.failed >= FAILING else f"{mean}, {_rate(one.per_minute)}"


_TOLD = [
    {"field": field, "type": "nominal", "title": title}
    for field, title in {"rate": "Rate", "failures": "Failed", "mean": "Mean", "p95": "95th percentile"}.items()
]


def _told(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The texts of a tooltip."""
    return {
        "rate": [_rate(one) if pd.notna(one) else NOTHING for one in frame["per_minute"]],
        "failures": [per_cent(one) for one in frame["failed"]],
        "mean": [amount(one, "ms") for one in frame["avg_ms"]],
        "p95": [amount(one, "ms") for one in frame["p95_ms"]],
    }
