"""What all charts share: the colours of the theme, the time axis in a zone, the value axis with its unit, the frame.

Two facts of Streamlit and Vega shape it. A change from light to dark does not run the script again, so colours are
named by their meaning and looked up in the theme by the browser. Vega shows time in the browser's zone, so the scale is
UTC, and the places and labels of ticks are made here.
"""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from core.question import Window
from core.view.text import NBSP, clock, date, local
from core.view.vega import MEANINGS, Layer, Spec, expr, fixed, rows

__all__ = ["GREY", "LEFT", "NARROW", "Values", "frame", "plane", "ticks", "values"]

GREY = {"expr": "scale('color','marker')"}
LEFT = 44  # px for the labels of values, the same in all charts, so that stacked ones line up
NARROW = 600  # px; narrower charts say less
RIGHT = 6  # px for half a dot

# A label past the plot's right edge would shrink it, and stacked charts would no longer line up.
_RIGHT_AT_THE_END = {
    "condition": {"test": "scale('x', datum.value) > width - 30", "value": "right"},
    "value": "center",
}

_OF_THE_FOOT = {
    "labelOverlap": "greedy",
    "labelSeparation": 8,
    "labelFlush": False,
    "labelAlign": _RIGHT_AT_THE_END,
    "labelColor": GREY,
    "labelFontSize": 12,
    "labelPadding": 4,
    "tickColor": GREY,
    "title": None,
    "domainOpacity": 0.7,
    "grid": True,
    "gridOpacity": 0.7,
}

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = [  # up to this width, a tick each this long
    (15 * _MINUTE, _MINUTE),
    (_HOUR, 10 * _MINUTE),
    (7 * _HOUR, _HOUR),
    (30 * _HOUR, 3 * _HOUR),
    (80 * _HOUR, 12 * _HOUR),
    (16 * _DAY, _DAY),
    (32 * _DAY, 2 * _DAY),
    (200 * _DAY, 7 * _DAY),
]


class Values(NamedTuple):
    """A value axis: from where to where, and its ticks with their labels."""

    low: float
    high: float
    step: float
    labels: dict[int, str]  # by how many steps from 0
    title: str


# Time


def ticks(window: Window, zone: ZoneInfo) -> list[tuple[datetime, str]]:
    """Where the time axis has ticks (naive UTC) and what they say, at full hours and midnights of the zone."""
    width = window.end - window.start
    step = next((step for limit, step in _STEPS if width <= limit), None)
    if step is None:
        return _months(window, zone, yearly=width > 1100 * _DAY)
    return _clock_ticks(window, zone, step) if step < _DAY else _day_ticks(window, zone, step // _DAY)


def _clock_ticks(window: Window, zone: ZoneInfo, step: timedelta) -> list[tuple[datetime, str]]:
    places = {
        place
        for midnight in _dates(window, zone)
        for part in range(_DAY // step)
        for fold in (0, 1)  # where the clock is put back an hour comes twice
        if window.start <= (place := _utc(midnight + part * step, zone, fold)) <= window.end
    }
    marks: list[tuple[datetime, str]] = []
    for place in sorted(places):
        new_day = not marks or local(place, zone).date() != local(marks[-1][0], zone).date()
        marks.append((place, _clock_label(place, zone, new_day=new_day, day_named=window.end - window.start > _HOUR)))
    return marks


def _clock_label(place: datetime, zone: ZoneInfo, *, new_day: bool, day_named: bool) -> str:
    """The hour; at midnight the date, and at a first tick that is none both. Within an hour the clock is enough."""
    hour = clock(place, zone)
    if not new_day or not day_named:
        return hour
    return date(place, zone) if hour == "00:00" else f"{date(place, zone).rpartition(' ')[0]} {hour}"


def _day_ticks(window: Window, zone: ZoneInfo, days: int) -> list[tuple[datetime, str]]:
    marks: list[tuple[datetime, str]] = []
    month = None
    for midnight in _dates(window, zone):
        place = _utc(midnight, zone)
        if midnight.toordinal() % days != (1 if days == 7 else 0) or not window.start <= place <= window.end:
            continue  # the ordinal of a Monday leaves 1
        label = date(place, zone)
        marks.append((place, label.rpartition(" ")[0] if midnight.month == month else label))
        month = midnight.month
    return marks


def _months(window: Window, zone: ZoneInfo, *, yearly: bool) -> list[tuple[datetime, str]]:
    marks: list[tuple[datetime, str]] = []
    for midnight in _dates(window, zone):
        place = _utc(midnight, zone)
        if midnight.day != 1 or (yearly and midnight.month != 1) or not window.start <= place <= window.end:
            continue
        name = date(place, zone, year=not marks or midnight.month == 1).split(" ", 2)[2]
        marks.append((place, f"{midnight.year}" if yearly else name))
    return marks


def _dates(window: Window, zone: ZoneInfo) -> list[datetime]:
    """The midnights, as naive times of the zone, of all days that the window touches."""
    first, last = local(window.start, zone).date(), local(window.end, zone).date()
    return [datetime.combine(first, clock_time()) + day * _DAY for day in range((last - first).days + 1)]


def _utc(wall: datetime, zone: ZoneInfo, fold: int = 0) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC).replace(tzinfo=None)


def _time_axis(window: Window, zone: ZoneInfo, *, labels: bool) -> Spec:
    marks = ticks(window, zone)
    named = {str(_milliseconds(place)): label for place, label in marks}
    labelled = f"({json.dumps(named)})"
    if 30 * _HOUR < window.end - window.start <= 80 * _HOUR:  # where there is room for few, days say more than hours
        midnights = {place: "" if ":" in label else label for place, label in named.items()}
        labelled = f"(containerSize()[0] < {NARROW} ? {json.dumps(midnights)} : {json.dumps(named)})"
    return {
        "values": [_instant(place) for place, _ in marks],
        "tickCount": 2 * len(marks),  # Vega thins what is more than its own idea of enough
        "labelExpr": f"{labelled}[''+time(datum.value)]",
        "labels": labels,
        "ticks": labels,
        "domain": labels,
        **_OF_THE_FOOT,
    }


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)


def _instant(moment: datetime) -> Spec:
    return {
        "year": moment.year,
        "month": moment.month,
        "date": moment.day,
        "hours": moment.hour,
        "minutes": moment.minute,
        "seconds": moment.second,
        "milliseconds": moment.microsecond // 1000,
        "utc": True,
    }


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
    step = _step((high - low) / 5, whole=unit == "requests")
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
    """Label of a tick. Bytes and shares say their unit, which the title then leaves out; so do ms from 1 s on."""
    if unit == "share":
        return f"{_short(100 * value)}{NBSP}%"
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
    times = {"type": "utc", "domain": [_instant(window.start), _instant(window.end)], "nice": False}
    x = {"field": "t", "type": "temporal", "scale": times, "axis": _time_axis(window, zone, labels=labels)}
    return _first_layers(np.array(window, "M8[us]"), x, axis)


def plane(across: Values, up: Values) -> list[Layer]:
    """`frame` of a chart with values on both axes: `across` in the field `t`, its title to be said in that of `up`."""
    places = {str(index): label for index, label in across.labels.items()}
    axis = {
        **_OF_THE_FOOT,
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
