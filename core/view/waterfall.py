"""The waterfall of one trace: a bar for each span, the critical path blue, what failed red, the rest quiet.

Up to `MOST_NAMED` spans have a row each, their names at the left; more of them share rows, those of a depth together,
and only wide bars are named. `spans` is what `core.traces.one` answers with.
"""

import json
import re
from typing import Any

import numpy as np
import pandas as pd

from core import traces
from core.view.axis import GREY, NARROW, values
from core.view.text import NBSP, amount, count
from core.view.vega import MEANINGS, Layer, Spec, drawn, meaning, number, rows

__all__ = ["MOST_NAMED", "alt", "chart", "legend", "line"]

MOST_NAMED = 60
ROW, LANE = 26, 22  # px
FOR_NAMES = f"(containerSize()[0] < {NARROW} ? 116 : 240)"  # px at the left
FOR_WORDS = 96  # px at the right, for what a bar took
_DEEPEST = 12  # steps of the indent, so that the name of a deep span is still seen
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_EM_SPACE = "\u2003"
_LONGEST = 120  # characters of a name


def chart(spans: pd.DataFrame) -> Spec:
    """26 px a span and 24 for the axis; above `MOST_NAMED` spans 22 px a line."""
    named = len(spans) <= MOST_NAMED
    places = np.arange(len(spans)) if named else traces.lanes(spans)
    deep = int(places.max(initial=0)) + 1
    bars = _bars(spans, places)
    bars = bars.append_column("words", [_words(spans)]) if named else bars
    layers = _frame(spans, deep, named=named)
    for kind, color, opacity in (("other", "marker", 0.5), ("critical", "forecast", 1), ("failed", "fault", 1)):
        layers.append(_layer(kind, bars.filter(_is(spans, kind)), color, opacity))
    if named:
        took = {"type": "text", "align": "left", "baseline": "middle", "dx": 5, "fontSize": 12, "color": GREY}
        place = {"x": number("end"), "y": number("middle"), "text": {"field": "words", "type": "nominal"}}
        return drawn([*layers, Layer("took", bars, took, place)], ROW * deep + 24)
    wide = bars.filter(spans["length_ms"].to_numpy(float) > 0.06 * _total(spans))
    inside = {
        "type": "text",
        "align": "left",
        "baseline": "middle",
        "dx": 4,
        "fontSize": 12,
        "limit": {"expr": "scale('x', datum.end) - scale('x', datum.t) - 8"},
        "fill": {"expr": f"datum.kind == 'other' ? scale('color', '{MEANINGS[0]}') : background"},
    }
    place = {"x": number("t"), "y": number("middle"), "text": {"field": "Span", "type": "nominal"}}
    return drawn([*layers, Layer("names", wide, inside, place)], LANE * deep + 24)


def legend(spans: pd.DataFrame) -> str:
    """The line of Markdown under it."""
    words = {
        "critical": ":blue[■ critical path]",
        "other": ":gray[■ other spans]",
        "failed": ":red[■ failed]",
    }
    said = [word for kind, word in words.items() if _is(spans, kind).any()]
    if len(spans) > MOST_NAMED:
        said.append(f":gray[{count(len(spans), 'span')}, those of a depth together; point at one, or see All spans]")
    return f":small[{f'{_EM_SPACE} '.join(word.replace(' ', NBSP) for word in said)}]"


def alt(spans: pd.DataFrame) -> str:
    """The trace in a sentence: how many spans, how long, and what was on the critical path."""
    path = spans[spans["critical"]].nlargest(3, "self_ms")
    held = ", ".join(f"{line(row.name, 40)} {amount(row.self_ms, 'ms')}" for row in path.itertuples(index=False))
    failed = int(spans["failed"].sum())
    return (
        f"Waterfall of {count(len(spans), 'span')} over {amount(_total(spans), 'ms')}, {count(failed)} failed. "
        f"On the critical path, without their children: {held}."
    )


def line(text: Any, longest: int = _LONGEST) -> str:
    """A name on one line and of bearable length; a chart and a table show its characters as they are."""
    plain = _UNSHOWN.sub(" ", str(text))
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def _total(spans: pd.DataFrame) -> float:
    return float((spans["offset_ms"] + spans["length_ms"]).max())


def _is(spans: pd.DataFrame, kind: str) -> Any:
    failed, critical = spans["failed"].to_numpy(bool), spans["critical"].to_numpy(bool)
    return {"failed": failed, "critical": critical & ~failed, "other": ~critical & ~failed}[kind]


def _bars(spans: pd.DataFrame, places: Any) -> Any:
    offset, length = spans["offset_ms"].to_numpy(float), spans["length_ms"].to_numpy(float)
    kinds = np.select([_is(spans, "failed"), _is(spans, "critical")], ["failed", "critical"], "other")
    duration, itself = spans["duration_ms"].to_list(), spans["self_ms"].to_list()
    said = {ms: amount(ms, "ms") for ms in {*duration, *itself, *offset.tolist()}}  # most take all of it themselves
    return rows(
        t=offset,
        end=offset + length,
        top=places + 0.12,
        bottom=places + 0.88,
        middle=places + 0.5,
        kind=kinds,
        Span=[line(name) for name in spans["name"].to_list()],
        Service=[line(service) for service in spans["service"].fillna("–").to_list()],
        Duration=[said[ms] for ms in duration],
        Itself=[said[ms] for ms in itself],
        Begins=[f"after {said[ms]}" for ms in offset.tolist()],
        Notes=[flags or "–" for flags in spans["flags"].to_list()],
    )


def _words(spans: pd.DataFrame) -> list[str]:
    return [
        " ".join([amount(ms, "ms"), *(["failed"] if failed else []), *(["⚠"] if flags else [])])
        for ms, failed, flags in zip(spans["duration_ms"], spans["failed"], spans["flags"], strict=True)
    ]


def _layer(kind: str, bars: Any, color: str, opacity: float) -> Layer:
    form = {"type": "rect", "opacity": opacity, "cornerRadius": 2}
    # A line around it, so that a span of no length is still seen.
    edge = {"stroke": {"expr": f"scale('color', '{color}')"}, "strokeWidth": 1}
    names = ("Span", "Service", "Duration", "Itself", "Begins", "Notes")
    place = {
        "x": number("t"),
        "x2": {"field": "end"},
        "y": number("top"),
        "y2": {"field": "bottom"},
        "color": meaning(color),
        "tooltip": [{"field": name, "type": "nominal", "title": name} for name in names],
    }
    return Layer(kind, bars, {**form, **edge}, place)


def _frame(spans: pd.DataFrame, deep: int, *, named: bool) -> list[Layer]:
    """Owns both axes and the colours, and draws nothing: time from 0 on above, names at the left."""
    total = _total(spans)
    axis = values([0.0, max(total, 0.001)], "ms", "")
    marks = {str(at): label if label[-1] == "s" else f"{label}{NBSP}ms" for at, label in axis.labels.items()}
    times = {
        "orient": "top",
        "values": [index * axis.step for index in axis.labels],
        "labelExpr": f"({json.dumps(marks)})[''+round(datum.value/{axis.step!r})]",
        "labelColor": GREY,
        "labelFontSize": 12,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridOpacity": 0.7,
        "title": None,
    }
    at_left: Spec | None = None
    if named:
        names = {
            str(index): "\u200b" + NBSP * 3 * min(depth, _DEEPEST) + line(name)
            for index, (name, depth) in enumerate(zip(spans["name"], spans["depth"], strict=True))
        }
        at_left = {
            "values": [index + 0.5 for index in range(len(spans))],
            "tickCount": len(spans),
            "labelExpr": f"({json.dumps(names)})[''+floor(datum.value)]",
            "labelAlign": "left",
            "labelPadding": {"expr": f"{FOR_NAMES}"},
            "labelLimit": {"expr": f"{FOR_NAMES} - 8"},
            "minExtent": {"expr": f"{FOR_NAMES}"},
            "maxExtent": {"expr": f"{FOR_NAMES}"},
            "labelFontSize": 12,
            "labelColor": {"expr": f"scale('color', '{MEANINGS[0]}')"},
            "labelOverlap": False,
            "domain": False,
            "ticks": False,
            "grid": False,
            "title": None,
        }
    room = {"rangeMax": {"expr": f"width - {FOR_WORDS if named else 4}"}}
    x = {"domain": [0, max(total, axis.step * max(axis.labels, default=1) if total == 0 else total)], "nice": False}
    y = {"domain": [0, deep], "nice": False, "reverse": True}
    corners = rows(t=[0.0, total], y=[0.0, float(deep)], m=["history"] * 2)
    return [
        Layer(
            "frame",
            corners,
            {"type": "point", "opacity": 0, "size": 0},
            {
                "x": {"field": "t", "type": "quantitative", "scale": {**x, **room}, "axis": times},
                "y": {"field": "y", "type": "quantitative", "scale": y, "axis": at_left},
                "color": {"field": "m", "type": "nominal", "scale": {"domain": MEANINGS}, "legend": None},
            },
        )
    ]
