"""What all charts share: the colours of the theme, the value axis with its unit, the frame.

A change from light to dark does not run the script again, so colours are named by their meaning and looked up in the
theme by the browser.
"""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from core.question import Window
from core.view.text import NBSP
from core.view.time_axis import GREY, OF_THE_FOOT, instant, time_axis
from core.view.vega import MEANINGS, Layer, Spec, expr, fixed, rows

__all__ = ["GREY", "LEFT", "NARROW", "Values", "frame", "plane", "values"]

LEFT = 44  # px for the labels of values, the same in all charts, so that stacked ones line up
NARROW = 600  # px; narrower charts say less
RIGHT = 6  # px for half a dot

_MINUTE_MS = 60_000


class Values(NamedTuple):
    """A value axis: from where to where, and its ticks with their labels."""

    low: float
    high: float
    step: float
    labels: dict[int, str]  # by how many steps from 0
    title: str


# Values


def values(
    numbers: Sequence[float], unit: str, name: str, *, threshold: float | None = None, zero: bool = True
) -> Values:
    """The value axis for `numbers` (of `unit`; not finite ones don't count), with room for the threshold's label.

    From 0 unless `zero` is false. A threshold above three times the largest number does not stretch it: it is then
    above `high`.
    """
    finite = [number for number in numbers if math.isfinite(number)]
    largest, least = (max(finite), min(finite)) if finite else (0.0, 0.0)
    room = 0.04 * (largest - least or abs(largest) or 1)
    low = min(0.0, least * 1.04) if zero else least - room
    high = max(largest * 1.04, low) if zero else largest + room
    stretched = threshold is not None and high < threshold * 1.2 and (threshold <= 3 * largest or largest <= 0)
    if threshold is not None and stretched:
        high = threshold * 1.2
    if high <= low:
        high = low + 1
    size = _MINUTE_MS if unit == "ms" and high >= 10 * _MINUTE_MS else 1  # of the unit that the labels say
    step = size * _step((high - low) / 5 / size, whole=unit == "requests")
    top = math.ceil(high / step) * step
    if stretched:
        high = math.ceil(2 * high / step) * step / 2  # a threshold moved a little leaves the axis as it is
    elif top - low <= 1.06 * (high - low):
        high = top  # ends on a line of the grid
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    labels = {index: _tick(index * step, high, unit) for index in range(first, last + 1)}
    return Values(low, high, step, labels, f"{name} ({unit})" if unit in ("ms", "s", "USD") else name)


def _step(least: float, *, whole: bool) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not under `least`; at least 1 if `whole`."""
    if whole and least <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    factors = [1, 2, 5, 10] if whole and power < 10 else [1, 2, 2.5, 5, 10]
    return next(factor * power for factor in factors if factor * power >= least * (1 - 1e-9))


def _tick(value: float, high: float, unit: str) -> str:
    """Label of a tick. Bytes and shares say their unit, which the title then leaves out; ms say s, on long axes min."""
    if unit == "share":
        return f"{_short(100 * value)}{NBSP}%"
    if unit == "ms" and high >= 10 * _MINUTE_MS and value:
        return f"{_short(value / _MINUTE_MS)}{NBSP}min"
    if unit == "ms" and abs(value) >= 1_000:
        return f"{_short(value / 1_000)}{NBSP}s"
    if unit == "bytes":
        steps = ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB"))
        power, name = next((step for step in steps if high >= 10 ** step[0]), (0, "B"))
        return f"{_short(value / 10**power)}{NBSP}{name}"
    for power, name in ((9, "bn"), (6, "M")):
        if high >= 10**power:
            return f"{_short(value / 10**power)}{NBSP}{name}" if value else "0"
    return _short(value)


def _short(value: float) -> str:
    text = f"{float(f'{value:.6g}'):,.6f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


# The frame


def frame(window: Window, zone: ZoneInfo, axis: Values, *, labels: bool = True) -> list[Layer]:
    """First layers of every chart: one owns both axes, their domains and the colours; then room, and the title."""
    times = {"type": "utc", "domain": [instant(window.start), instant(window.end)], "nice": False}
    x = {"field": "t", "type": "temporal", "scale": times, "axis": time_axis(window, zone, labels=labels)}
    return _first_layers(np.array(window, "M8[us]"), x, axis)


def plane(across: Values, up: Values) -> list[Layer]:
    """`frame` of a chart with values on both axes: `across` in the field `t`, its title to be said in that of `up`."""
    places = {str(index): label for index, label in across.labels.items()}
    axis = {
        **OF_THE_FOOT,
        "values": [index * across.step for index in across.labels],
        "labelExpr": f"({json.dumps(places)})[''+round(datum.value/{across.step!r})]",
    }
    numbers = {"domain": [across.low, across.high], "nice": False, "zero": False}
    x = {"field": "t", "type": "quantitative", "scale": numbers, "axis": axis}
    return _first_layers(np.array([across.low, across.high]), x, up)


def _first_layers(ends: ArrayLike, x: Spec, axis: Values) -> list[Layer]:
    corners = rows(t=ends, y=[axis.low, axis.high], m=["history"] * 2)
    numbers = {"domain": [axis.low, axis.high], "nice": False, "zero": False}
    nothing = {"type": "point", "opacity": 0, "size": 0}
    y = {"field": "y", "type": "quantitative", "scale": numbers, "axis": _value_axis(axis)}
    color = {"field": "m", "type": "nominal", "scale": {"domain": MEANINGS}, "legend": None}
    layers = [
        Layer("frame", corners, nothing, {"x": x, "y": y, "color": color}),
        # Keeps as much room at the right as a dot on the edge needs, so that all charts are equally wide.
        Layer("edge", None, nothing, {"x": expr(f"width + {RIGHT}")}),
    ]
    if axis.title:
        # A mark: the axis' own title is lost when layers without one are merged.
        form = {"type": "text", "align": "left", "baseline": "bottom", "fontSize": 12, "color": GREY}
        layers.append(Layer("title", None, form, {"x": fixed(-LEFT), "y": fixed(-8), "text": fixed(axis.title)}))
    return layers


def _value_axis(axis: Values) -> Spec:
    places = {str(index): label for index, label in axis.labels.items()}
    return {
        "values": [index * axis.step for index in axis.labels],
        "tickCount": 2 * len(axis.labels),
        "labelExpr": f"({json.dumps(places)})[''+round(datum.value/{axis.step!r})]",
        "minExtent": LEFT,
        "maxExtent": LEFT,
        "labelPadding": 6,
        "labelOverlap": False,
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridOpacity": 0.7,
        "labelColor": GREY,
        "labelFontSize": 12,
        "title": None,
    }
