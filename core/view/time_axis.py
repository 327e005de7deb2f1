"""The time axis of charts: where its ticks stand, what they say in a zone, and as many of them as there is room for.

Vega shows time in the browser's zone, so the scale is UTC, and the places and labels of ticks are made here. Vega also
takes out labels that touch, one here and one there, and may take the day; so for some widths they are chosen here.
"""

import functools
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from itertools import pairwise
from zoneinfo import ZoneInfo

from core.question import Window
from core.view.text import clock, date, local
from core.view.vega import Spec

__all__ = ["GREY", "OF_THE_FOOT", "instant", "ticks", "time_axis"]

GREY = {"expr": "scale('color','marker')"}

# A label past the plot's right edge would shrink it, and stacked charts would no longer line up.
_RIGHT_AT_THE_END = {
    "condition": {"test": "scale('x', datum.value) > width - 30", "value": "right"},
    "value": "center",
}

OF_THE_FOOT = {
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
_CHARACTER, _APART = 6.2, 8  # px of a label's mean character, and between two labels
_WIDTHS = {450: 270, 800: 400}  # px: charts narrower than this have at least so much for the plot
_WIDE = 740


def time_axis(window: Window, zone: ZoneInfo, *, labels: bool) -> Spec:
    """The x axis of a chart of `window`, with or without its labels."""
    marks = ticks(window, zone)
    named = json.dumps(_by_instant(ticks(window, zone, _WIDE)))
    for below, room in sorted(_WIDTHS.items(), reverse=True):
        fewer = json.dumps(_by_instant(ticks(window, zone, room)))
        if fewer != named:
            named = f"containerSize()[0] < {below} ? {fewer} : {named}"
    return {
        "values": [instant(place) for place, _ in marks],
        "tickCount": 2 * len(marks),  # Vega thins what is more than its own idea of enough
        "labelExpr": f"({named})[''+time(datum.value)] || ''",
        "labels": labels,
        "ticks": labels,
        "domain": labels,
        **OF_THE_FOOT,
    }


@functools.lru_cache(maxsize=512)  # four times a chart
def ticks(window: Window, zone: ZoneInfo, room: float = math.inf) -> Sequence[tuple[datetime, str]]:
    """Where the time axis has ticks (naive UTC) and what they say, at full hours and midnights of the zone.

    Where the plot has but `room` px, every second, third … of them, those at midnight first.
    """
    width = window.end - window.start
    step = next((step for limit, step in _STEPS if width <= limit), None)
    if step is not None and step < _DAY:
        places, a_day = _clock_places(window, zone, step), _DAY // step
        of_day = [_minutes(place, zone) // (step // _MINUTE) for place in places]
        choices = [
            _clock_labels(
                [place for place, at in zip(places, of_day, strict=True) if at % nth == 0], window, zone, begin
            )
            for nth in range(1, a_day + 1)
            for begin in (True, False)
            if a_day % nth == 0
        ]
    elif step is not None:
        places = _day_places(window, zone, step // _DAY)
        choices = [_day_labels(places[::nth], zone) for nth in range(1, len(places) + 1)]
    else:
        yearly = width > 1100 * _DAY
        places = _month_places(window, zone, yearly=yearly)
        choices = [_month_labels(places[::nth], zone, yearly=yearly) for nth in range(1, len(places) + 1)]
    fitting = (marks for marks in choices if marks and _fits(marks, width, room))
    return next(fitting, choices[-1] if choices else [])


def instant(moment: datetime) -> Spec:
    """A naive UTC time as Vega-Lite writes it."""
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


def _by_instant(marks: Sequence[tuple[datetime, str]]) -> dict[str, str]:
    return {str((place - datetime(1970, 1, 1)) // timedelta(milliseconds=1)): label for place, label in marks}


def _fits(marks: Sequence[tuple[datetime, str]], width: timedelta, room: float) -> bool:
    """Whether no label touches the next one where the whole width takes `room` px."""
    pairs = pairwise(marks)
    return all(
        (second - first) / width * room >= (len(one) + len(other)) / 2 * _CHARACTER + _APART
        for (first, one), (second, other) in pairs
    )


def _clock_places(window: Window, zone: ZoneInfo, step: timedelta) -> list[datetime]:
    places = {
        place
        for midnight in _dates(window, zone)
        for part in range(_DAY // step)
        for fold in (0, 1)  # where the clock is put back an hour comes twice
        if window.start <= (place := _utc(midnight + part * step, zone, fold)) <= window.end
    }
    return sorted(places)


def _clock_labels(
    places: Sequence[datetime], window: Window, zone: ZoneInfo, begin: bool
) -> list[tuple[datetime, str]]:
    """Each new day is named, the first of several only where they `begin` with it."""
    marks: list[tuple[datetime, str]] = []
    days = [local(place, zone).date() for place in places]
    for place, day, before in zip(places, days, [None, *days], strict=False):
        new_day = day != before and (before is not None or begin or day == days[-1])
        marks.append((place, _clock_label(place, zone, new_day=new_day, day_named=window.end - window.start > _HOUR)))
    return marks


def _clock_label(place: datetime, zone: ZoneInfo, *, new_day: bool, day_named: bool) -> str:
    """The hour; at midnight the date, and at a first tick that is none both. Within an hour the clock is enough."""
    hour = clock(place, zone)
    if not new_day or not day_named:
        return hour
    return date(place, zone) if hour == "00:00" else f"{date(place, zone).rpartition(' ')[0]} {hour}"


def _day_places(window: Window, zone: ZoneInfo, days: int) -> list[datetime]:
    phase = 1 if days == 7 else 0  # the ordinal of a Monday leaves 1
    midnights = (midnight for midnight in _dates(window, zone) if midnight.toordinal() % days == phase)
    return [place for midnight in midnights if window.start <= (place := _utc(midnight, zone)) <= window.end]


def _day_labels(places: Sequence[datetime], zone: ZoneInfo) -> list[tuple[datetime, str]]:
    marks: list[tuple[datetime, str]] = []
    month = None
    for place in places:
        label, its_month = date(place, zone), local(place, zone).month
        marks.append((place, label.rpartition(" ")[0] if its_month == month else label))
        month = its_month
    return marks


def _month_places(window: Window, zone: ZoneInfo, *, yearly: bool) -> list[datetime]:
    firsts = (each for each in _dates(window, zone) if each.day == 1 and (each.month == 1 or not yearly))
    return [place for first in firsts if window.start <= (place := _utc(first, zone)) <= window.end]


def _month_labels(places: Sequence[datetime], zone: ZoneInfo, *, yearly: bool) -> list[tuple[datetime, str]]:
    marks: list[tuple[datetime, str]] = []
    year = None
    for place in places:
        its_year = local(place, zone).year
        name = date(place, zone, year=its_year != year).split(" ", 2)[2]
        marks.append((place, f"{its_year}" if yearly else name))
        year = its_year
    return marks


def _dates(window: Window, zone: ZoneInfo) -> list[datetime]:
    """The midnights, as naive times of the zone, of all days that the window touches."""
    first, last = local(window.start, zone).date(), local(window.end, zone).date()
    return [datetime.combine(first, clock_time()) + day * _DAY for day in range((last - first).days + 1)]


def _minutes(place: datetime, zone: ZoneInfo) -> int:
    """Of the day, on the clock."""
    wall = local(place, zone)
    return 60 * wall.hour + wall.minute


def _utc(wall: datetime, zone: ZoneInfo, fold: int = 0) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC).replace(tzinfo=None)
