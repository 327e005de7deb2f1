"""One function per chart: frames in (naive UTC), Vega-Lite of fixed height out, its layers back to front.

Ink for what happened, blue for what is said to come, amber for the threshold, magenta for what to look at. `history` is
what `queries.metrics` answers with (`bucket`, `complete` and the column named by `value`; a gap is null), `forecast`
what `queries.forecast` does (`ds, yhat, yhat_lower, yhat_upper, p_above`), both of one group and ordered by time.
Show a chart with `st.vega_lite_chart(chart, key=…, alt=…)`, stacked ones in `st.container(gap=None)`; `alt` is what
`core.view.captions` says of it.
"""

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.question import Window, bucket_end, bucket_start
from core.view.axis import GREY, LEFT, Values, frame, values
from core.view.cells import CHOSEN, Row, cells, forecast_rows, history_rows, marked, moment
from core.view.layers import (
    HERE,
    Past,
    band,
    first_crossing,
    heading,
    history_line,
    marker_rules,
    named_failed,
    now_rule,
    prediction,
    rings,
    running_bucket,
    spans,
    text_form,
    threshold_line,
)
from core.view.sentences import Crossing
from core.view.text import NBSP, NOTHING, Terms, amount
from core.view.vega import Layer, Spec, drawn, expr, fixed, meaning, moments, number, rows, time

__all__ = [
    "Small",
    "anomalies",
    "chances",
    "dots",
    "latency_under_price",
    "main",
    "past_of",
    "price",
    "shown",
    "small_multiples",
    "strip",
    "whole",
]

_FLAGS = {"high": "circle", "extreme": "diamond"}


class Small(NamedTuple):
    """One of the small charts of a split: its group, the group's chance of crossing, and the chart."""

    group: str
    probability: float | None
    chart: Spec


# Which part of time, and what is in it


def shown(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame) -> Window:
    """What `main` and `chances` show: the last two horizons (24 buckets at least) of the range, and the horizon."""
    now = bucket_start(terms.end, terms.granularity)
    start = now - max(2 * terms.horizon, 24) * terms.width
    if len(history):
        start = max(start, min(history["bucket"].iloc[0].to_pydatetime(), now - terms.width))
    return Window(start, terms.until if len(forecast) else bucket_end(terms.end, terms.granularity))


def whole(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame) -> Window:
    """What `strip` and `anomalies` show: all of `history`, and the horizon."""
    start, end = shown(terms, history, forecast)
    return Window(min(start, history["bucket"].iloc[0].to_pydatetime()) if len(history) else start, end)


def past_of(history: pd.DataFrame, value: str, window: Window) -> Past:
    """The buckets inside `window` as the layers take them."""
    starts = moments(history["bucket"])
    inside = (starts >= np.datetime64(window.start)) & (starts < np.datetime64(window.end))
    came = history[value].to_numpy(float, na_value=math.nan)
    return Past(starts, came, history["complete"].to_numpy(bool)).where(inside)


# Charts


def main(
    terms: Terms,
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    crossing: Crossing,
    *,
    value: str,
    unusual: pd.DataFrame | None = None,
    height: int = 300,
) -> Spec:
    """History, interval, forecast, threshold and where it is crossed. `unusual`: of `queries.anomalies`, ringed."""
    window = shown(terms, history, forecast)
    past = past_of(history, value, window)
    axis = _values(terms, past.y, forecast)
    return drawn(
        [
            *frame(window, terms.shown_zone, axis),
            *first_crossing(terms, crossing),
            *prediction(terms, past, forecast),
            *history_line(past),
            *running_bucket(past),
            *threshold_line(terms, axis),
            *now_rule(terms, window),
            *marker_rules(terms, window),
            *rings(past, unusual),
            *cells(history_rows(terms, past) + forecast_rows(terms, forecast, past), terms.width),
        ],
        height,
    )


def strip(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame, *, value: str, name: str) -> Spec | None:
    """The whole range in 84 px, what `main` shows of it shaded, the range's `name` at its left.

    None where `main` shows it all.
    """
    part, window = shown(terms, history, forecast), whole(terms, history, forecast)
    if window == part:
        return None
    past = past_of(history, value, window)
    axis = values(past.y.tolist(), terms.unit, "", threshold=terms.threshold)._replace(labels={}, title="")
    place = {"x": fixed(-LEFT), "y": expr("height / 2"), "text": fixed(name)}
    return drawn(
        [
            *frame(window, terms.shown_zone, axis),
            band("shown", spans([part.start], [part.end]), 0.1, "forecast"),
            *history_line(past, width=1),
            *threshold_line(terms, axis, labelled=False),
            *marker_rules(terms, window, labelled=False),
            Layer("range", None, text_form("left", baseline="middle", color=GREY), place),
        ],
        84,
    )


def chances(terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame) -> Spec:
    """The chance of each bucket ahead to be above the threshold, 104 px, on the time axis of `main` above it."""
    bucket = "hour" if terms.granularity == "hourly" else "day"
    title = f"Chance that the {bucket} is above the threshold"
    axis = Values(0, 1, 0.5, {0: f"0{NBSP}%", 1: f"50{NBSP}%", 2: f"100{NBSP}%"}, title)
    known = forecast.dropna(subset=["p_above"])
    times = moments(known["ds"])
    ahead = rows(t=times, end=times + np.timedelta64(terms.width), p_above=known["p_above"].to_numpy(float))
    bar = {"type": "rect", "opacity": 0.75, "x2Offset": -1, "clip": True}
    place = {"x": time(), "x2": {"field": "end"}, "y": number("p_above"), "y2": {"datum": 0}}
    window = shown(terms, history, forecast)
    return drawn(
        [
            *frame(window, terms.shown_zone, axis, labels=False),
            Layer("chances", ahead, bar, {**place, "color": meaning("attention")}),
            *marker_rules(terms, window, labelled=False),
            *cells(forecast_rows(terms, forecast), terms.width, shift=terms.width / 2),
        ],
        104,
        above=14,
    )


def dots(terms: Terms, records: pd.DataFrame, window: Window, *, value: str, height: int = 300) -> Spec:
    """Each record as a dot before a thin line, the failed ones as red triangles, up to five of them named where there
    is room for words.

    `records`: `trace_id`, `timestamp`, `failed`, `service` and the column named by `value`, in the unit of `terms`,
    whose `name` is the title; those without a value are left out. Where there are many, the dots are smaller and there
    is no line. A click on a dot chooses its trace.
    """
    points = _points(terms, records, value)
    axis = values(points["y"].to_list(), terms.unit, terms.name, threshold=terms.threshold)
    few, many = len(points) <= 200, len(points) > 500
    size = 60 if few else 9 if many else 25
    tips = [{"field": name.lower(), "type": "nominal", "title": name} for name in ("Time", "Observed", "Service")]
    good, failed = points[~points["failed"]], points[points["failed"]]
    through = points.loc[[] if many else points.index, ["t", "y"]]
    line = {"type": "line", "strokeWidth": 1, "opacity": 0.35}
    form = {"type": "point", "filled": True, "cursor": "pointer"}
    dot = {**form, "opacity": 0.6 if many else 1, "size": size}
    triangle = {**form, "shape": "triangle-up", "opacity": 1, "size": max(size, 40)}
    ink, red = {**HERE, "color": meaning("history")}, {**HERE, "color": meaning("fault"), "tooltip": tips}
    return drawn(
        [
            *frame(window, terms.zone, axis),
            Layer("through", rows(**through), line, ink),
            Layer("records", rows(**good), dot, {**ink, "tooltip": tips}, [_choice(CHOSEN)]),
            *threshold_line(terms, axis),
            *marker_rules(terms, window),
            Layer("failed", rows(**failed), triangle, red, [_choice(f"{CHOSEN}_failed")]),
            *(named_failed(failed, window) if few else []),
        ],
        height,
    )


def anomalies(
    terms: Terms, history: pd.DataFrame, forecast: pd.DataFrame, found: pd.DataFrame, *, value: str, height: int = 300
) -> Spec:
    """The whole range and the horizon; each of `found` (of `queries.anomalies`) is a band, its worst bucket ringed."""
    window = whole(terms, history, forecast)
    past = past_of(history, value, window)
    axis = _values(terms, past.y, forecast)
    return drawn(
        [
            *frame(window, terms.shown_zone, axis),
            band("anomalies", spans(found["start"], found["end"]), 0.13, "attention"),
            *prediction(terms, past, forecast),
            *history_line(past, width=1.25),
            *threshold_line(terms, axis),
            *now_rule(terms, window),
            *marker_rules(terms, window),
            *rings(past, found),
            *cells(history_rows(terms, past, found) + forecast_rows(terms, forecast, past), terms.width),
        ],
        height,
    )


def small_multiples(
    terms: Terms,
    histories: dict[str, pd.DataFrame],
    forecasts: dict[str, pd.DataFrame],
    crossings: dict[str, Crossing],
    *,
    value: str,
) -> list[Small]:
    """A chart of 170 px for each group of `histories`, likeliest to cross first, all on the same two axes."""
    none = pd.DataFrame({"ds": [], "yhat": [], "yhat_lower": [], "yhat_upper": [], "p_above": []})
    ahead = {group: forecasts.get(group, none) for group in histories}
    windows = [shown(terms, histories[group], ahead[group]) for group in histories]
    if not windows:
        return []
    window = Window(min(part.start for part in windows), max(part.end for part in windows))
    pasts = {group: past_of(history, value, window) for group, history in histories.items()}
    came = [y for past in pasts.values() for y in past.y]
    axis = _values(terms, came, pd.concat(ahead.values()))._replace(title="")
    small = []
    for group, past in pasts.items():
        crossing = crossings.get(group, Crossing())
        layers = [
            *frame(window, terms.shown_zone, axis),
            *first_crossing(terms, crossing, labelled=False),
            *prediction(terms, past, ahead[group]),
            *history_line(past),
            *running_bucket(past),
            *threshold_line(terms, axis, labelled=False),
            *marker_rules(terms, window, labelled=False),
            *heading(group, crossing.probability),
            *cells(history_rows(terms, past) + forecast_rows(terms, ahead[group], past), terms.width),
        ]
        small.append(Small(group, crossing.probability, drawn(layers, 170)))
    return sorted(small, key=lambda each: (-(each.probability or 0), each.group))


def price(terms: Terms, prices: pd.DataFrame, flagged: pd.DataFrame, window: Window) -> Spec:
    """The price over `window`, 270 px, with the records of flag `high` and `extreme` as shapes on it.

    `prices`: `time, price_usd`, ordered; the line is broken where two are more than two hours apart. `flagged`:
    `timestamp, price_usd, flag`; other flags are left out.
    """
    line = pd.DataFrame({"t": prices["time"], "y": prices["price_usd"].to_numpy(float)})
    bin_ = max((window.end - window.start) / 2000, timedelta(minutes=1))  # more than a line can show
    line = line.groupby((line["t"] - line["t"].min()) // bin_).tail(1)
    late = line.loc[line["t"].diff() > timedelta(hours=2), "t"]
    breaks = pd.DataFrame({"t": late - timedelta(milliseconds=1), "y": math.nan})
    broken = pd.concat([line, breaks]).sort_values("t")
    axis = values(line["y"].to_list(), "USD", "Price", zero=False)
    said = [
        Row(
            time,
            {"Time": moment(time, terms, granularity="hourly"), "Price": amount(y, "USD")},
            bucket_start(time, terms.granularity),
        )
        for time, y in zip(line["t"], line["y"], strict=True)
    ]
    place = {**HERE, "color": meaning("price")}
    shapes = []
    for flag, shape in _FLAGS.items():
        some = flagged[flagged["flag"] == flag]
        marks = rows(t=some["timestamp"], y=some["price_usd"].astype(float))
        form = {"type": "point", "shape": shape, "filled": True, "opacity": 1, "size": 60}
        shapes.append(Layer(f"flag_{flag}", marks, form, place))
    return drawn(
        [
            *frame(window, terms.zone, axis),
            Layer("price", rows(**broken), {"type": "line", "strokeWidth": 2, "strokeJoin": "round"}, place),
            *shapes,
            *marker_rules(terms, window),
            *cells(marked(said, terms, timedelta(hours=1)), max(bin_, _usual_step(line["t"]))),
        ],
        270,
    )


def latency_under_price(terms: Terms, history: pd.DataFrame, window: Window, *, value: str) -> Spec:
    """The history on the time axis of `price` above it, 190 px."""
    past = past_of(history, value, window)
    axis = values(past.y.tolist(), terms.unit, terms.name, threshold=terms.threshold)
    return drawn(
        [
            *frame(window, terms.zone, axis),
            *history_line(past),
            *running_bucket(past),
            *threshold_line(terms, axis),
            *marker_rules(terms, window, labelled=False),
            *cells(history_rows(terms, past), terms.width),
        ],
        190,
        above=14,
    )


def _values(terms: Terms, came: Iterable[float], forecast: pd.DataFrame) -> Values:
    ahead = forecast["yhat_upper"].fillna(forecast["yhat"]).astype(float)
    return values([*came, *ahead], terms.unit, terms.name, threshold=terms.threshold)


def _points(terms: Terms, records: pd.DataFrame, value: str) -> pd.DataFrame:
    """Records with a value, by time: `t`, `y`, `failed`, `trace`, and what the pointer says."""
    known = records.dropna(subset=[value]).sort_values("timestamp", kind="stable").reset_index(drop=True)
    return pd.DataFrame(
        {
            "t": known["timestamp"],
            "y": known[value].astype(float),
            "failed": known["failed"].astype(bool),
            "trace": known["trace_id"],
            "time": [moment(time, terms, granularity="seconds") for time in known["timestamp"]],
            "observed": [amount(y, terms.unit) for y in known[value]],
            "service": known["service"].fillna(NOTHING).astype(str),
        }
    )


def _choice(name: str) -> Spec:
    """A click on a dot chooses its `trace`."""
    return {"name": name, "select": {"type": "point", "on": "click", "fields": ["trace"], "toggle": False}}


def _usual_step(moments: pd.Series) -> timedelta:
    """The middle distance between two of them, at most an hour."""
    step = moments.diff().median()
    return timedelta(hours=1) if pd.isna(step) else min(step.to_pytimedelta(), timedelta(hours=1))
