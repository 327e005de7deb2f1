"""The layers that charts are made of, each in the colour of its meaning; the frame alone owns axes.

`past`: `t` (aware UTC), `y`, `complete`; one row a bucket, null where nothing came, the running bucket last.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from core.question import Window
from core.view.axis import LEFT, NARROW, Values, aware
from core.view.sentences import Crossing
from core.view.text import Terms, between, chance, clock, exactly
from core.view.vega import Layer, Spec, expr, fixed, meaning, number, time

__all__ = [
    "HERE",
    "band",
    "crossing_hours",
    "first_crossing",
    "heading",
    "history_line",
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


# Data


def spans(starts: Sequence[datetime] | pd.Series, ends: Sequence[datetime] | pd.Series) -> pd.DataFrame:
    """Rows for marks from `t` to `end` (aware)."""
    return pd.DataFrame({"t": aware(starts), "end": aware(ends)})


def worst(found: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """The bucket of each observed anomaly that its value is from; `found` of `queries.anomalies`. Returns `t, y`."""
    rows = []
    for each in found[found["kind"] != "predicted"].itertuples():
        run = past[past["t"].between(each.start.tz_localize("UTC"), each.end.tz_localize("UTC"), inclusive="left")]
        distance = (run["y"] - each.value).abs().dropna()
        if len(distance):
            rows.append(run.loc[[distance.idxmin()], ["t", "y"]])
    return pd.concat(rows) if rows else past.loc[[], ["t", "y"]]


# Forms


def text_form(align: str, **more: float | str | Spec) -> Spec:
    """A word in a chart, standing on its place."""
    return {"type": "text", "align": align, "baseline": "bottom", "fontSize": 12, **more}


def band(name: str, rows: pd.DataFrame, opacity: float, color: str) -> Layer:
    """Full-height bands from `t` to `end`."""
    form = {"type": "rect", "opacity": opacity, "clip": True}
    return Layer(name, rows, form, {"x": time(), "x2": {"field": "end"}, "color": meaning(color)})


def words(name: str, rows: pd.DataFrame | None, form: Spec, place: Spec) -> list[Layer]:
    """Words on a halo in the colour of the page, so that a line under them does not strike them through."""
    halo = {**form, "stroke": {"expr": "background"}, "strokeWidth": 4, "opacity": 0.8}
    unpainted = {channel: at for channel, at in place.items() if channel != "color"}
    return [Layer(f"{name}_halo", rows, halo, unpainted), Layer(name, rows, form, place)]


# Layers, back to front


def first_crossing(terms: Terms, crossing: Crossing, *, labelled: bool = True) -> list[Layer]:
    """The window of the first crossing, its middle case, and its hours above the plot; no rows where there is none."""
    first, last, middle = crossing.earliest, crossing.latest, crossing.median
    rows = pd.DataFrame({"t": aware([]), "end": aware([]), "median": aware([]), "long": [], "short": []})
    if first is not None and last is not None and middle is not None:
        end = last if last > first else last + terms.width
        long, short = crossing_hours(terms, crossing)
        rows = spans([first], [end]).assign(median=aware([middle]), long=long, short=short)
    color = meaning("attention")
    layers = [
        band("crossing", rows, 0.13, "attention"),
        Layer("crossing_middle", rows, {"type": "rule", "strokeWidth": 1.5}, {"x": time("median"), "color": color}),
    ]
    if not labelled:
        return layers
    text = expr(f"containerSize()[0] < {NARROW} ? datum.short : datum.long")
    place = {"x": time("end"), "y": fixed(-6), "text": text, "color": color}
    return [*layers, Layer("crossing_hours", rows, text_form("right", fontWeight=600), place)]


def crossing_hours(terms: Terms, crossing: Crossing) -> tuple[str, str]:
    """`first crossing 10:00 to 18:00`, with days where it spans some; second, a shorter one for narrow screens."""
    if crossing.earliest is None or crossing.latest is None:
        return "", ""
    first, last = between(crossing.earliest, crossing.latest, terms, granularity=terms.granularity)
    if terms.granularity == "hourly" and last == clock(crossing.latest, terms.zone):
        first = clock(crossing.earliest, terms.zone)
    hours = first if crossing.earliest == crossing.latest else f"{first} to {last}"
    return f"first crossing {hours}", hours if len(hours) > 16 else f"first crossing {hours}"


def prediction(terms: Terms, past: pd.DataFrame, forecast: pd.DataFrame) -> list[Layer]:
    """Interval and middle value, joined to the last complete bucket where that is the one before them."""
    times, columns = aware(forecast["ds"]), ("yhat", "yhat_lower", "yhat_upper")
    numbers = {name: forecast[name].to_numpy(float) for name in columns}
    joint = past[past["complete"]].tail(1).dropna(subset=["y"])
    if len(joint) and len(times) and times[0] - joint["t"].iloc[0] == terms.width:
        times = times.insert(0, joint["t"].iloc[0])
        numbers = {name: np.insert(column, 0, joint["y"].iloc[0]) for name, column in numbers.items()}
    ahead = pd.DataFrame({"t": times, **numbers})
    bounded = ahead.dropna()
    bounds = bounded if len(bounded) > 1 else bounded.head(0)  # more than the joint
    edges = {"x": time(), "y": number("yhat_lower"), "y2": {"field": "yhat_upper"}, "color": meaning("forecast")}
    middle = {"x": time(), "y": number("yhat"), "color": meaning("forecast")}
    line = {"type": "line", "strokeWidth": 2.25, "strokeJoin": "round"}
    return [
        Layer("interval", bounds, {"type": "area", "opacity": 0.17}, edges),
        Layer("forecast", ahead.dropna(subset=["yhat"]), line, middle),
    ]


def history_line(past: pd.DataFrame, *, width: float = 1.5) -> list[Layer]:
    """Complete buckets, broken where there are none; a bucket alone between two gaps is a dot."""
    complete = past.loc[past["complete"], ["t", "y"]]
    empty = complete["y"].isna()
    alone = complete[~empty & empty.shift(1, fill_value=True) & empty.shift(-1, fill_value=True)]
    line = {"type": "line", "strokeWidth": width, "strokeJoin": "round"}
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 14}
    place = {**HERE, "color": meaning("history")}
    return [Layer("history", complete, line, place), Layer("history_alone", alone, dot, place)]


def running_bucket(past: pd.DataFrame) -> list[Layer]:
    """The bucket that still runs: dashed from the last complete one to a hollow dot."""
    running = ~past["complete"].to_numpy()
    if not running.any() or np.isnan(past["y"].to_numpy()[running][0]):
        return []
    at = int(running.argmax())
    tail, joint = past.iloc[at : at + 1][["t", "y"]], past.iloc[max(at - 1, 0) : at][["t", "y"]]
    dash = {"type": "line", "strokeWidth": 1.5, "strokeDash": [2, 3]}
    dot = {"type": "point", "filled": False, "size": 36, "strokeWidth": 1.5, "opacity": 1}
    place = {**HERE, "color": meaning("history")}
    return [Layer("running_line", pd.concat([joint, tail]), dash, place), Layer("running", tail, dot, place)]


def threshold_line(terms: Terms, axis: Values, *, labelled: bool = True) -> list[Layer]:
    """The line with its label on it; beyond the axis only the label, at the top edge, with an arrow."""
    beyond = terms.threshold > axis.high
    text = f"threshold {exactly(terms.threshold, terms.unit)}" + (" ↑" if beyond else "")
    rows, height = pd.DataFrame({"y": [terms.threshold], "text": [text]}), fixed(18) if beyond else number()
    color = meaning("threshold")
    layers = []
    if not beyond:
        rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [6, 4]}
        layers.append(Layer("threshold", rows, rule, {"y": height, "color": color}))
    if labelled:
        place = {"x": fixed(4), "y": height, "text": {"field": "text", "type": "nominal"}, "color": color}
        layers += words("threshold_label", rows, text_form("left", dy=-3, fontWeight=600), place)
    return layers


def now_rule(terms: Terms, window: Window) -> list[Layer]:
    """Where what is known ends, said at the foot of the rule."""
    if not window.start <= terms.end <= window.end:
        return []
    rows, color = spans([terms.end], [terms.end]), meaning("marker")
    said = fixed("now" if terms.end == terms.now else "said here")
    foot = {"x": time(), "y": expr("height - 4"), "text": said, "color": color}
    return [
        Layer("now", rows, {"type": "rule", "strokeWidth": 1}, {"x": time(), "color": color}),
        *words("now_label", rows, text_form("right", dx=-4), foot),
    ]


def rings(past: pd.DataFrame, found: pd.DataFrame | None) -> list[Layer]:
    """Around the worst bucket of each observed anomaly."""
    if found is None or found.empty:
        return []
    form = {"type": "point", "filled": False, "size": 110, "strokeWidth": 2, "opacity": 1}
    return [Layer("unusual", worst(found, past), form, {**HERE, "color": meaning("attention")})]


def named_failed(failed: pd.DataFrame, window: Window) -> list[Layer]:
    """The word beside up to five of the failed (`t, y`), newest first, none where it would stand on another's."""
    room = (window.end - window.start) * 0.14  # the word on a phone
    end = aware([window.end])[0]
    chosen: list[int] = []
    for index, moment in failed["t"].iloc[::-1].items():
        if len(chosen) < 5 and (not chosen or failed["t"][chosen[-1]] - moment > room):
            chosen.append(index)
    named = failed.loc[chosen, ["t", "y"]]
    late = named["t"] > end - room
    place = {**HERE, "text": fixed("failed"), "color": meaning("fault")}
    return [
        Layer("failed_names", named[~late], text_form("left", baseline="middle", dx=7), place),
        Layer("failed_names_at_the_end", named[late], text_form("right", baseline="middle", dx=-7), place),
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
