"""The layers that charts are made of, each in the colour of its meaning; the frame alone owns axes.

`past`: `t` (aware UTC), `y`, `complete`; one row a bucket, null where nothing came, the running bucket last.
"""

import json
from collections.abc import Sequence
from datetime import datetime

import altair as alt
import pandas as pd

from core.question import Window
from core.view.axis import LEFT, Values, aware, meaning, x
from core.view.sentences import Crossing
from core.view.text import Terms, between, chance, clock, exactly

__all__ = [
    "Y",
    "crossing_hours",
    "first_crossing",
    "heading",
    "history_line",
    "instants",
    "named_failed",
    "now_rule",
    "once",
    "prediction",
    "rings",
    "running_bucket",
    "span",
    "threshold_line",
    "worst",
]

Y = alt.Y("y:Q", title=None)


# Data


def instants(moments: Sequence[datetime] | pd.Series) -> pd.Series:
    """Naive UTC times as aware ones."""
    return aware(pd.Series(moments).reset_index(drop=True).astype("datetime64[us]"))


def span(start: datetime, end: datetime) -> pd.DataFrame:
    """One row for a mark from `t` to `end` (aware)."""
    return pd.DataFrame({"t": instants([start]), "end": instants([end])})


def once() -> pd.DataFrame:
    """One row for a mark whose place needs no data."""
    return pd.DataFrame({"one": [1]})


def worst(found: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """The bucket of each observed anomaly that its value is from; `found` of `queries.anomalies`. Returns `t, y`."""
    rows = []
    for each in found[found["kind"] != "predicted"].itertuples():
        run = past[past["t"].between(each.start.tz_localize("UTC"), each.end.tz_localize("UTC"), inclusive="left")]
        distance = (run["y"] - each.value).abs().dropna()
        if len(distance):
            rows.append(run.loc[[distance.idxmin()], ["t", "y"]])
    return pd.concat(rows) if rows else past.loc[[], ["t", "y"]]


# Layers, back to front


def first_crossing(terms: Terms, crossing: Crossing, *, labelled: bool = True) -> list[alt.Chart]:
    """The window of the first crossing, its middle case, and its hours above the plot."""
    if crossing.earliest is None or crossing.latest is None or crossing.median is None:
        return []
    end = crossing.latest if crossing.latest > crossing.earliest else crossing.latest + terms.width
    band = alt.Chart(span(crossing.earliest, end)).mark_rect(opacity=0.13, clip=True)
    rule = alt.Chart(span(crossing.median, end)).mark_rule(strokeWidth=1.5)
    layers = [
        band.encode(x=x(), x2="end", color=meaning("attention")),
        rule.encode(x=x(), color=meaning("attention")),
    ]
    if not labelled:
        return layers
    long, short = (json.dumps(hours) for hours in crossing_hours(terms, crossing))
    label = alt.Chart(span(end, end)).mark_text(align="right", baseline="bottom", fontSize=12, fontWeight=600)
    text = alt.value(alt.ExprRef(f"containerSize()[0] < 600 ? {short} : {long}"))
    return [*layers, label.encode(x=x(), y=alt.value(-6), text=text, color=meaning("attention"))]


def crossing_hours(terms: Terms, crossing: Crossing) -> tuple[str, str]:
    """`first crossing 10:00 to 18:00`, with days where it spans some; second, a shorter one for narrow screens."""
    if crossing.earliest is None or crossing.latest is None:
        return "", ""
    first, last = between(crossing.earliest, crossing.latest, terms, granularity=terms.granularity)
    if terms.granularity == "hourly" and last == clock(crossing.latest, terms.zone):
        first = clock(crossing.earliest, terms.zone)
    hours = first if crossing.earliest == crossing.latest else f"{first} to {last}"
    return f"first crossing {hours}", hours if len(hours) > 16 else f"first crossing {hours}"


def prediction(terms: Terms, past: pd.DataFrame, forecast: pd.DataFrame) -> list[alt.Chart]:
    """Interval and middle value, joined to the last complete bucket where that is the one before them."""
    numbers = ["yhat", "yhat_lower", "yhat_upper"]
    ahead = forecast[numbers].astype(float).reset_index(drop=True).assign(t=instants(forecast["ds"]))
    joint = past[past["complete"]].tail(1).dropna(subset=["y"])
    if len(joint) and len(ahead) and ahead["t"].iloc[0] - joint["t"].iloc[0] == terms.width:
        start = joint[["t"]].assign(**dict.fromkeys(numbers, joint["y"]))
        ahead = pd.concat([start, ahead], ignore_index=True)
    bounded = ahead.dropna()
    bounds = alt.Chart(bounded if len(bounded) > 1 else bounded.head(0)).mark_area(opacity=0.17)
    middle = alt.Chart(ahead.dropna(subset=["yhat"])).mark_line(strokeWidth=2.25, strokeJoin="round")
    low, mid = (alt.Y(f"{name}:Q", title=None) for name in ("yhat_lower", "yhat"))
    return [
        bounds.encode(x=x(), y=low, y2="yhat_upper", color=meaning("forecast")),
        middle.encode(x=x(), y=mid, color=meaning("forecast")),
    ]


def history_line(past: pd.DataFrame, *, width: float = 1.5) -> list[alt.Chart]:
    """Complete buckets, broken where there are none; a bucket alone between two gaps is a dot."""
    complete = past[past["complete"]]
    empty = complete["y"].isna()
    alone = complete[~empty & empty.shift(1, fill_value=True) & empty.shift(-1, fill_value=True)]
    line = alt.Chart(complete[["t", "y"]]).mark_line(strokeWidth=width, strokeJoin="round")
    dots = alt.Chart(alone[["t", "y"]]).mark_point(filled=True, opacity=1, size=14)
    return [layer.encode(x=x(), y=Y, color=meaning("history")) for layer in (line, dots)]


def running_bucket(past: pd.DataFrame) -> list[alt.Chart]:
    """The bucket that still runs: dashed from the last complete one to a hollow dot."""
    tail = past[~past["complete"]].head(1).dropna(subset=["y"])
    if tail.empty:
        return []
    joint = past[past["complete"]].tail(1).dropna(subset=["y"])
    dash = alt.Chart(pd.concat([joint, tail])[["t", "y"]]).mark_line(strokeWidth=1.5, strokeDash=[2, 3])
    dot = alt.Chart(tail[["t", "y"]]).mark_point(filled=False, size=36, strokeWidth=1.5, opacity=1)
    return [layer.encode(x=x(), y=Y, color=meaning("history")) for layer in (dash, dot)]


def threshold_line(terms: Terms, axis: Values, *, labelled: bool = True) -> list[alt.Chart]:
    """The line with its label on it; beyond the axis only the label, at the top edge, with an arrow."""
    beyond = terms.threshold > axis.high
    text = f"threshold {exactly(terms.threshold, terms.unit)}" + (" ↑" if beyond else "")
    place = alt.value(18) if beyond else alt.YDatum(terms.threshold)
    base = alt.Chart(once()).encode(x=alt.value(4), y=place, text=alt.value(text))
    paper = alt.ExprRef("background")  # behind the words, so that a line under them does not strike them through
    halo = base.mark_text(
        align="left", baseline="bottom", dy=-3, fontSize=12, fontWeight=600, stroke=paper, strokeWidth=4, opacity=0.8
    )
    label = base.mark_text(align="left", baseline="bottom", dy=-3, fontSize=12, fontWeight=600)
    words = [halo, label.encode(color=meaning("threshold"))]
    if beyond:
        return words if labelled else []
    rule = alt.Chart(once()).mark_rule(strokeWidth=1.5, strokeDash=[6, 4])
    line = rule.encode(y=alt.YDatum(terms.threshold), color=meaning("threshold"))
    return [line, *words] if labelled else [line]


def now_rule(terms: Terms, window: Window) -> list[alt.Chart]:
    """Where what is known ends, said at the foot of the rule."""
    if not window.start <= terms.end <= window.end:
        return []
    base = alt.Chart(span(terms.end, terms.end))
    word = base.mark_text(align="right", baseline="bottom", dx=-4, fontSize=12)
    said = "now" if terms.end == terms.now else "said here"
    foot = alt.value(alt.ExprRef("height - 4"))
    return [
        base.mark_rule(strokeWidth=1).encode(x=x(), color=meaning("marker")),
        word.encode(x=x(), y=foot, text=alt.value(said), color=meaning("marker")),
    ]


def rings(past: pd.DataFrame, found: pd.DataFrame | None) -> list[alt.Chart]:
    """Around the worst bucket of each observed anomaly."""
    if found is None or found.empty:
        return []
    marks = alt.Chart(worst(found, past)).mark_point(filled=False, size=110, strokeWidth=2, opacity=1)
    return [marks.encode(x=x(), y=Y, color=meaning("attention"))]


def named_failed(failed: pd.DataFrame, window: Window) -> list[alt.Chart]:
    """The word beside up to five of the failed (`t, y`), newest first, none where it would stand on another's."""
    room = (window.end - window.start) * 0.14  # the word on a phone
    end = instants([window.end]).iloc[0]
    chosen: list[int] = []
    for index, time in failed["t"].iloc[::-1].items():
        if len(chosen) < 5 and (not chosen or failed["t"][chosen[-1]] - time > room):
            chosen.append(index)
    late = failed["t"][chosen] > end - room
    base = alt.Chart(failed.loc[late.index[~late], ["t", "y"]])
    at_the_end = alt.Chart(failed.loc[late.index[late], ["t", "y"]])
    words = [
        base.mark_text(align="left", baseline="middle", dx=7, fontSize=12),
        at_the_end.mark_text(align="right", baseline="middle", dx=-7, fontSize=12),
    ]
    return [word.encode(x=x(), y=Y, text=alt.value("failed"), color=meaning("fault")) for word in words]


def heading(group: str, probability: float | None) -> list[alt.Chart]:
    """Above a small chart: its group at the left, its chance at the right, magenta from 50 % on."""
    attention = probability is not None and round(100 * probability) >= 50
    base = alt.Chart(once())
    name = base.mark_text(align="left", baseline="bottom", fontSize=12, fontWeight=600, limit=alt.ExprRef("width"))
    right = base.mark_text(align="right", baseline="bottom", fontSize=12, fontWeight=600)
    return [
        name.encode(x=alt.value(-LEFT), y=alt.value(-8), text=alt.value(group), color=meaning("history")),
        right.encode(
            x=alt.value(alt.ExprRef("width")),
            y=alt.value(-8),
            text=alt.value(chance(probability)),
            color=meaning("attention" if attention else "marker"),
        ),
    ]
