"""The layers that charts are made of, each in the colour of its meaning; the frame alone owns axes.

Times are naive UTC.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from core.markers import Marker
from core.question import Window
from core.view.axis import LEFT, NARROW, Values
from core.view.sentences import Crossing
from core.view.text import Terms, between, chance, clock, exactly, plain, safe
from core.view.vega import Layer, Spec, expr, fixed, meaning, moments, number, rows, time

__all__ = [
    "HERE",
    "Past",
    "band",
    "crossing_hours",
    "first_crossing",
    "heading",
    "history_line",
    "marker_name",
    "marker_rules",
    "markers_in",
    "named_failed",
    "now_rule",
    "prediction",
    "rings",
    "running_bucket",
    "spans",
    "text_form",
    "threshold_line",
    "words",
    "worst",
]

HERE = {"x": time(), "y": number()}


class Past(NamedTuple):
    """What came, a bucket each, the running one last: when it starts, its value (NaN: nothing came), if it is over."""

    t: NDArray[np.datetime64]
    y: NDArray[np.float64]
    complete: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Past":
        """The chosen buckets of it."""
        return Past(self.t[chosen], self.y[chosen], self.complete[chosen])

    @property
    def rows(self) -> pa.Table:
        """`t` and `y`."""
        return rows(t=self.t, y=self.y)


# Data


def spans(starts: Sequence[datetime] | pd.Series, ends: Sequence[datetime] | pd.Series) -> pa.Table:
    """Rows for marks from `t` to `end`."""
    return rows(t=moments(starts), end=moments(ends))


def worst(found: pd.DataFrame, past: Past) -> Past:
    """The bucket of each observed anomaly that its value is from; `found` of `queries.anomalies`."""
    places = []
    for each in found[found["kind"] != "predicted"].itertuples():
        run = (past.t >= each.start.to_datetime64()) & (past.t < each.end.to_datetime64()) & ~np.isnan(past.y)
        if run.any():
            places.append(np.where(run, np.abs(past.y - each.value), np.inf).argmin())
    return past.where(np.array(places, np.intp))


# Forms


def text_form(align: str, **more: float | str | Spec) -> Spec:
    """A word in a chart, standing on its place."""
    return {"type": "text", "align": align, "baseline": "bottom", "fontSize": 12, **more}


def band(name: str, rows: pa.Table, opacity: float, color: str) -> Layer:
    """Full-height bands from `t` to `end`."""
    form = {"type": "rect", "opacity": opacity, "clip": True}
    return Layer(name, rows, form, {"x": time(), "x2": {"field": "end"}, "color": meaning(color)})


def words(name: str, rows: pa.Table | None, form: Spec, place: Spec) -> list[Layer]:
    """Words on a halo in the colour of the page, so that a line under them does not strike them through."""
    halo = {**form, "stroke": {"expr": "background"}, "strokeWidth": 4, "opacity": 0.8}
    unpainted = {channel: at for channel, at in place.items() if channel != "color"}
    return [Layer(f"{name}_halo", rows, halo, unpainted), Layer(name, rows, form, place)]


# Layers, back to front


def first_crossing(terms: Terms, crossing: Crossing, *, labelled: bool = True) -> list[Layer]:
    """The window of the first crossing, its middle case, and its hours above the plot; no rows where there is none."""
    first, last, middle = crossing.earliest, crossing.latest, crossing.median
    found = []
    if first is not None and last is not None and middle is not None:
        end = last if last > first else last + terms.width
        found = [(first, end, middle, *crossing_hours(terms, crossing))]
    starts, ends, middles, long, short = zip(*found, strict=True) if found else ((),) * 5
    where = rows(t=moments(starts), end=moments(ends), median=moments(middles), long=long, short=short)
    color = meaning("attention")
    layers = [
        band("crossing", where, 0.13, "attention"),
        Layer("crossing_middle", where, {"type": "rule", "strokeWidth": 1.5}, {"x": time("median"), "color": color}),
    ]
    if not labelled:
        return layers
    text = expr(f"containerSize()[0] < {NARROW} ? datum.short : datum.long")
    place = {"x": time("end"), "y": fixed(-6), "text": text, "color": color}
    return [*layers, Layer("crossing_hours", where, text_form("right", fontWeight=600), place)]


def crossing_hours(terms: Terms, crossing: Crossing) -> tuple[str, str]:
    """`first crossing 10:00 to 18:00`, with days where it spans some; second, a shorter one for narrow screens."""
    if crossing.earliest is None or crossing.latest is None:
        return "", ""
    first, last = between(crossing.earliest, crossing.latest, terms, granularity=terms.granularity)
    if terms.granularity == "hourly" and last == clock(crossing.latest, terms.zone):
        first = clock(crossing.earliest, terms.zone)
    hours = first if crossing.earliest == crossing.latest else f"{first} to {last}"
    return f"first crossing {hours}", hours if len(hours) > 16 else f"first crossing {hours}"


def prediction(terms: Terms, past: Past, forecast: pd.DataFrame) -> list[Layer]:
    """Interval and middle value, joined to the last complete bucket where that is the one before them."""
    times, columns = moments(forecast["ds"]), ("yhat", "yhat_lower", "yhat_upper")
    numbers = {name: forecast[name].to_numpy(float) for name in columns}
    done = past.where(past.complete)
    if len(done.t) and len(times) and times[0] - done.t[-1] == np.timedelta64(terms.width) and not np.isnan(done.y[-1]):
        times = np.insert(times, 0, done.t[-1])
        numbers = {name: np.insert(column, 0, done.y[-1]) for name, column in numbers.items()}
    said, bounded = ~np.isnan(numbers["yhat"]), ~np.isnan(sum(numbers.values()))
    if bounded.sum() == 1:  # the joint alone
        bounded[:] = False
    edges = {"x": time(), "y": number("yhat_lower"), "y2": {"field": "yhat_upper"}, "color": meaning("forecast")}
    middle = {"x": time(), "y": number("yhat"), "color": meaning("forecast")}
    line = {"type": "line", "strokeWidth": 2.25, "strokeJoin": "round"}
    bounds = rows(t=times[bounded], **{name: numbers[name][bounded] for name in ("yhat_lower", "yhat_upper")})
    return [
        Layer("interval", bounds, {"type": "area", "opacity": 0.17}, edges),
        Layer("forecast", rows(t=times[said], yhat=numbers["yhat"][said]), line, middle),
    ]


def history_line(past: Past, *, width: float = 1.5) -> list[Layer]:
    """Complete buckets, broken where there are none; a bucket alone between two gaps is a dot."""
    done = past.where(past.complete)
    empty = np.isnan(done.y)
    around = np.concatenate([[True], empty, [True]])
    alone = ~empty & around[:-2] & around[2:]
    line = {"type": "line", "strokeWidth": width, "strokeJoin": "round"}
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 14}
    place = {**HERE, "color": meaning("history")}
    return [Layer("history", done.rows, line, place), Layer("history_alone", done.where(alone).rows, dot, place)]


def running_bucket(past: Past) -> list[Layer]:
    """The bucket that still runs: dashed from the last complete one to a hollow dot."""
    if past.complete.all():
        return []
    at = int(past.complete.argmin())
    if np.isnan(past.y[at]):
        return []
    dash = {"type": "line", "strokeWidth": 1.5, "strokeDash": [2, 3]}
    dot = {"type": "point", "filled": False, "size": 36, "strokeWidth": 1.5, "opacity": 1}
    place = {**HERE, "color": meaning("history")}
    return [
        Layer("running_line", past.where(np.arange(max(at - 1, 0), at + 1)).rows, dash, place),
        Layer("running", past.where(np.array([at])).rows, dot, place),
    ]


def threshold_line(terms: Terms, axis: Values, *, labelled: bool = True) -> list[Layer]:
    """The line with its label on it; beyond the axis only the label, at the top edge, with an arrow."""
    beyond = terms.threshold > axis.high
    text = f"threshold {exactly(terms.threshold, terms.unit)}" + (" ↑" if beyond else "")
    line, height = rows(y=[terms.threshold], text=[text]), fixed(18) if beyond else number()
    color = meaning("threshold")
    layers = []
    if not beyond:
        rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [6, 4]}
        layers.append(Layer("threshold", line, rule, {"y": height, "color": color}))
    if labelled:
        place = {"x": fixed(4), "y": height, "text": {"field": "text", "type": "nominal"}, "color": color}
        layers += words("threshold_label", line, text_form("left", dy=-3, fontWeight=600), place)
    return layers


def now_rule(terms: Terms, window: Window) -> list[Layer]:
    """Where what is known ends, said at the foot of the rule."""
    if not window.start <= terms.end <= window.end:
        return []
    here, color = spans([terms.end], [terms.end]), meaning("marker")
    said = fixed("now" if terms.end == terms.now else "said here")
    foot = {"x": time(), "y": expr("height - 4"), "text": said, "color": color}
    return [
        Layer("now", here, {"type": "rule", "strokeWidth": 1}, {"x": time(), "color": color}),
        *words("now_label", here, text_form("right", dx=-4), foot),
    ]


def markers_in(terms: Terms, window: Window) -> list[Marker]:
    """The markers that touch `window`, by start."""
    return [marker for marker in terms.markers if marker.touches(*window)]


def marker_name(marker: Marker) -> str:
    """`deployment`, `incident: disk full`; what it says on one line."""
    said = plain(safe(marker.text))
    return f"{marker.kind}: {said}" if said else marker.kind


def marker_rules(terms: Terms, window: Window, *, labelled: bool = True) -> list[Layer]:
    """Markers as dotted rules, one that lasts as a band between two; up to five of them named at the top."""
    found = markers_in(terms, window)
    if not found:
        return []
    lasting = [marker for marker in found if marker.end > marker.start]
    edges = [each.start for each in found] + [each.end for each in lasting]
    edges = [edge for edge in edges if window.start <= edge <= window.end]
    rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [1, 3]}
    layers = [
        band("marker_spans", spans([each.start for each in lasting], [each.end for each in lasting]), 0.12, "marker"),
        Layer("markers", spans(edges, edges), rule, {"x": time(), "color": meaning("marker")}),
    ]
    return [*layers, *_marker_labels(found, window)] if labelled else layers


def _marker_labels(found: Sequence[Marker], window: Window) -> list[Layer]:
    """The newest first, none where it would stand on another's; at the end of the window on the left of its rule."""
    room = (window.end - window.start) * 0.17
    chosen: list[Marker] = []
    for marker in reversed(found):
        if len(chosen) < 5 and (not chosen or chosen[-1].start - marker.start > room):
            chosen.append(marker)
    layers = []
    for name, side, late, dx in (("marker_names", "left", False, 4), ("marker_names_at_the_end", "right", True, -4)):
        some = [marker for marker in chosen if (marker.start > window.end - room) == late]
        where = rows(
            t=moments([max(marker.start, window.start) for marker in some]),
            says=[plain(safe(marker.text)) or marker.kind for marker in some],
        )
        text = {"field": "says", "type": "nominal"}
        place = {"x": time(), "y": fixed(14), "text": text, "color": meaning("marker")}
        layers += words(name, where, text_form(side, dx=dx, limit=110), place)
    return layers


def rings(past: Past, found: pd.DataFrame | None) -> list[Layer]:
    """Around the worst bucket of each observed anomaly."""
    if found is None or found.empty:
        return []
    form = {"type": "point", "filled": False, "size": 110, "strokeWidth": 2, "opacity": 1}
    return [Layer("unusual", worst(found, past).rows, form, {**HERE, "color": meaning("attention")})]


def named_failed(failed: pd.DataFrame, window: Window) -> list[Layer]:
    """The word beside up to five of the failed (`t, y`), newest first, none where it would stand on another's."""
    room = (window.end - window.start) * 0.14  # the word on a phone
    chosen: list[int] = []
    for index, moment in failed["t"].iloc[::-1].items():
        if len(chosen) < 5 and (not chosen or failed["t"][chosen[-1]] - moment > room):
            chosen.append(index)
    named = failed.loc[chosen, ["t", "y"]]
    late = named["t"] > window.end - room
    place = {**HERE, "text": fixed("failed"), "color": meaning("fault")}
    return [
        Layer("failed_names", rows(**named[~late]), text_form("left", baseline="middle", dx=7), place),
        Layer("failed_names_at_the_end", rows(**named[late]), text_form("right", baseline="middle", dx=-7), place),
    ]


def heading(group: str, probability: float | None) -> list[Layer]:
    """Above a small chart: its group at the left, its chance at the right, magenta from 50 % on."""
    attention = probability is not None and round(100 * probability) >= 50
    name = {"x": fixed(-LEFT), "y": fixed(-8), "text": fixed(group), "color": meaning("history")}
    said = {
        "y": fixed(-8),
        "text": fixed(chance(probability)),
        "color": meaning("attention" if attention else "marker"),
    }
    return [
        Layer("group", None, text_form("left", fontWeight=600, limit={"expr": "width"}), name),
        Layer("group_chance", None, text_form("right", fontWeight=600), {"x": expr("width"), **said}),
    ]
